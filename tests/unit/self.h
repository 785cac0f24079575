/* SPDX-License-Identifier: Apache-2.0 */
/* What a test observes of its own process, and of children that it forks. */
#ifndef TESTS_UNIT_SELF_H
#define TESTS_UNIT_SELF_H

/* Returns the number of open descriptors, to compare with an earlier number. */
unsigned count_descriptors(void);

/*
 * Calls `child` in a forked process, which exits with the result. Returns the exit status. Fails
 * the test if a signal ended the process.
 */
int exit_status_of(int (*child)(void));

/* From take_descriptors to give_descriptors no descriptor can be opened (EMFILE). */
void take_descriptors(void);
void give_descriptors(void);

#endif

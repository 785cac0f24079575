/* SPDX-License-Identifier: Apache-2.0 */
/* What tests say of files. */
#ifndef TESTS_UNIT_FILES_H
#define TESTS_UNIT_FILES_H

/* Fails the test unless the file is there and holds just that text, of at most 1,000 bytes. */
void assert_file(const char *path, const char *expected);

#endif

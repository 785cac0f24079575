/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a container's restrictions turn off. A Pod may run as any user, without capabilities, and
 * with a read-only root file system. The daemon then does what the kernel allows.
 */
#ifndef ENVD_RIGHTS_H
#define ENVD_RIGHTS_H

/* Logs at the start what is off and why: one line for capabilities, one for the file system. */
void rights_report(void);

#endif

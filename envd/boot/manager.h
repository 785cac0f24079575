/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a service manager passes in the environment (systemd.exec(5)): each variable is for one
 * process.
 */
#ifndef ENVD_MANAGER_H
#define ENVD_MANAGER_H

/*
 * The decimal number in a variable, which is then removed so that no child inherits it. 0 if the
 * variable is absent or malformed.
 */
unsigned long manager_take_number(const char *name);

#endif

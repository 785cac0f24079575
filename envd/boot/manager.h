/* SPDX-License-Identifier: Apache-2.0 */
/* Reads variables that a service manager sets for one process (systemd.exec(5)). */
#ifndef ENVD_MANAGER_H
#define ENVD_MANAGER_H

/*
 * Returns the decimal number in the variable, or 0 if the variable is absent or malformed. Removes
 * the variable from the environment, so that no child inherits it.
 */
unsigned long manager_take_number(const char *name);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quota DEVICE UID KIBIBYTES: sets the quota of a user on a file system with quotas (quotactl(2),
 * Q_SETQUOTA).
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/quota.h>

int main(int argc, char **argv)
{
	struct dqblk limits = {.dqb_valid = QIF_BLIMITS};

	if (argc != 4)
		return 2;
	limits.dqb_bhardlimit = strtoull(argv[3], NULL, 10); /* in blocks of 1,024 bytes */
	if (quotactl(QCMD(Q_SETQUOTA, USRQUOTA), argv[1], atoi(argv[2]), (void *)&limits) == 0)
		return 0;
	perror(argv[1]);
	return 1;
}

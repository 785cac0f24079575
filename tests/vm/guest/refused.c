/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes each system call that the built-in profile refuses, by this architecture's number and with
 * arguments that the kernel itself refuses otherwise, and prints "NAME ERRNO", 0 for
 * success; and getppid, which it allows.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CALL(name)                                                                                 \
	{                                                                                          \
#name, SYS_##name                                                                  \
	}

static const struct {
	const char *name;
	long number;
} calls[] = {
	CALL(io_uring_setup),
	CALL(io_uring_enter),
	CALL(io_uring_register),
	CALL(bpf),
	CALL(userfaultfd),
	CALL(kexec_load),
	CALL(kexec_file_load),
	CALL(init_module),
	CALL(finit_module),
	CALL(delete_module),
	CALL(keyctl),
	CALL(add_key),
	CALL(request_key),
	CALL(perf_event_open),
	CALL(open_by_handle_at),
	CALL(fsopen),
	CALL(fsconfig),
	CALL(fsmount),
	CALL(fspick),
	CALL(acct),
};

static void print(const char *name, long result)
{
	printf("%s %d\n", name, result < 0 ? errno : 0);
}

int main(void)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		print(calls[i].name, syscall(calls[i].number, -1L, -1L, -1L, -1L, -1L, -1L));
	print("socket", socket(AF_VSOCK, SOCK_STREAM, 0));
	print("getppid", syscall(SYS_getppid));
	return 0;
}

# SPDX-License-Identifier: Apache-2.0
"""Filters of system calls: -seccomp, -seccomp-dir, X-Envd-Seccomp, -no-new-privs."""

import json
import os
import platform
import shutil
import signal
import subprocess

import pytest

from conftest import ENVD, WORLD, Daemon, Failed

# Calls by number that Python cannot make by name: x86-64, arm64.
NUMBERS = {"io_uring_setup": (425, 425), "bpf": (321, 280), "userfaultfd": (323, 282),
           "kexec_load": (246, 104), "init_module": (175, 105), "finit_module": (313, 273),
           "delete_module": (176, 106), "keyctl": (250, 219), "add_key": (248, 217),
           "request_key": (249, 218), "perf_event_open": (298, 241), "open_by_handle_at": (304, 265),
           "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
           "acct": (163, 89)}
ARM = platform.machine() == "aarch64"
REFUSED = {name: 38 if name.startswith(("io_uring", "fs")) else 1 for name in NUMBERS}
CALLER = """
import ctypes, errno, sys
libc = ctypes.CDLL(None, use_errno=True)
for number in sys.argv[1:]:
    r = libc.syscall(int(number), -1, 0, 0, 0, 0, 0)
    print(number, r, ctypes.get_errno())
"""


@pytest.fixture(scope="module")
def world():
    """A directory that every user may read, with profiles in it."""
    path = os.path.join(WORLD, "seccomp")
    os.mkdir(path, 0o755)
    write(path, "quiet", {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]})
    write(path, "broken", {"defaultAction": "SCMP_ACT_NOTIFY"})
    with open(os.path.join(path, "caller.py"), "w", encoding="ascii") as f:
        f.write(CALLER)
    return path


def write(path, name, profile):
    with open(os.path.join(path, f"{name}.json"), "w", encoding="ascii") as f:
        json.dump(profile, f)


@pytest.fixture(scope="module")
def filtered(world):
    """A daemon with the default profile."""
    d = Daemon("-seccomp", "default", "-seccomp-dir", world)
    yield d.client
    d.stop()


@pytest.fixture(scope="module")
def unfiltered(world):
    d = Daemon("-seccomp-dir", world)
    yield d.client
    d.stop()


@pytest.fixture
def unprivileged():
    d = Daemon("-seccomp", "default", "-no-new-privs")
    yield d.client
    d.stop()


def fails(code, text, call, *arguments, **how):
    with pytest.raises(Failed) as failed:
        call(*arguments, **how)
    assert failed.value.code == code and text in failed.value.message, failed.value.message


def results(client, world, names, user="root", **how):
    """What calls return: {name: errno}, 0 for none."""
    numbers = {str(NUMBERS[name][ARM]): name for name in names}
    lines = client.output(f"python3 {world}/caller.py {' '.join(numbers)}", user=user, **how)
    answers = (line.split() for line in lines)
    return {numbers[number]: 0 if int(r) >= 0 else int(error) for number, r, error in answers}


@pytest.mark.parametrize("user", ["root", "user"])
def test_what_the_default_refuses(filtered, world, user):
    """Each call that attacks go through, for root and for another user, whose filter is installed
    after he has become that user."""
    assert results(filtered, world, REFUSED, user=user) == REFUSED


def test_filters_are_off_by_default(unfiltered, world):
    """The kernel, and no filter, refuses these: other errors than those of the profile."""
    assert "Seccomp:\t0" in unfiltered.output("cat /proc/self/status")
    assert results(unfiltered, world, ["open_by_handle_at", "keyctl"]) == \
        {"open_by_handle_at": 14, "keyctl": 95}


def test_families_of_sockets(filtered):
    """AF_ALG and the like are refused, whatever the upper half of the argument is: the kernel takes
    the lower one."""
    script = """
import ctypes, socket
libc = ctypes.CDLL(None, use_errno=True)
for family in (1, 2, 10, 16):
    socket.socket(family, socket.SOCK_DGRAM).close()
for family in (38, 40, 21, 30, 38 | 1 << 32):
    r = libc.syscall(%d, ctypes.c_long(family), 2, 0)
    print(r, ctypes.get_errno())
""" % (198 if ARM else 41)
    assert filtered.run("python3", "-c", script, user="root").out["stdout"] == b"-1 97\n" * 5


def test_doors_of_other_architectures(filtered):
    """A call by the numbers of x32 (bit 30), which on arm64 are no numbers at all, finds nothing."""
    script = ("import ctypes; libc = ctypes.CDLL(None, use_errno=True); "
              "print(libc.syscall(0x40000000 | 39), ctypes.get_errno())")
    assert filtered.run("python3", "-c", script, user="root").out["stdout"] == b"-1 38\n"


@pytest.mark.skipif(ARM, reason="the instruction exists on x86-64 only")
def test_the_door_of_32_bit_programs(filtered):
    """A 64-bit process can make 32-bit calls by int 0x80. Their numbers are others, so a filter of 64-bit
    calls alone would let them pass: here getpid, bpf and socketcall."""
    script = """
import ctypes, mmap
for number in (20, 357, 102):
    code = (b"\\x53\\x31\\xdb\\x31\\xc9\\x31\\xd2\\xb8" + number.to_bytes(4, "little") +
            b"\\xcd\\x80\\x5b\\xc3")
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    print(ctypes.CFUNCTYPE(ctypes.c_int)(address)())
"""
    stream = filtered.run("python3", "-c", script, user="root")
    assert stream.out["stdout"] == b"-38\n" * 3, stream.out


def test_set_user_id_programs(filtered, unprivileged):
    """su is root as soon as it runs, although a filter is installed; with -no-new-privs it is not."""
    for client, uid in ((filtered, "0"), (unprivileged, None)):
        stream = client.start("su", "-c", "true", user="user", stdin=True,
                              envs={"PATH": "/usr/bin:/bin"})
        with open(f"/proc/{stream.pid}/status", encoding="ascii") as f:
            ids = next(line for line in f if line.startswith("Uid:")).split()[1:]
        assert ids[1] == (uid or ids[0]) and ids[0] != "0", ids
        client.kill(stream.pid)
        stream.drain()


def test_privileges_stay(filtered):
    """The filter does not need no_new_privs: set-user-ID programs go on to help. Of the capability
    that installs it nothing is left."""
    status = filtered.output("cat /proc/self/status", user="user")
    assert "NoNewPrivs:\t0" in status and "Seccomp:\t2" in status
    assert "CapEff:\t0000000000000000" in status and "CapPrm:\t0000000000000000" in status
    plain = [line for line in status if line.startswith("CapInh")]
    assert plain == ["CapInh:\t0000000000000000"]


def test_no_new_privs(world):
    daemon = Daemon("-no-new-privs", "-seccomp", os.path.join(world, "quiet.json"))
    status = daemon.client.output("cat /proc/self/status", user="user")
    assert "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status
    daemon.stop()


def test_profiles_by_name(unfiltered, world):
    """A file in Docker's format; the error it names; calls that this kernel does not know are left out."""
    ask = {"X-Envd-Seccomp": "quiet"}
    stream = unfiltered.sh("mkdir /tmp/never", headers=ask, user="user").drain()
    assert b"No space left on device" in stream.out["stderr"]
    assert "Seccomp:\t0" in unfiltered.output("cat /proc/self/status", headers={"X-Envd-Seccomp": "none"})
    assert results(unfiltered, world, ["bpf"], headers={"X-Envd-Seccomp": "default"}) == {"bpf": 1}


def test_names_that_are_none(unfiltered):
    """A wrong name is refused, a missing file and a wrong one are named; nothing runs unfiltered."""
    for name in ("../quiet", ".quiet", "", "a b", "x" * 65):
        fails("invalid_argument", "X-Envd-Seccomp", unfiltered.run, "true",
              headers={"X-Envd-Seccomp": name})
    fails("not_found", "absent", unfiltered.run, "true", headers={"X-Envd-Seccomp": "absent"})
    fails("failed_precondition", "broken.json", unfiltered.run, "true",
          headers={"X-Envd-Seccomp": "broken"})


@pytest.mark.parametrize("profile, call", [
    ({"defaultAction": "SCMP_ACT_ERRNO"}, "execve"),
    ({"defaultAction": "SCMP_ACT_KILL_PROCESS"}, "execve"),
    ({"defaultAction": "SCMP_ACT_TRACE"}, "execve"),
    ({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["execve"], "action": "SCMP_ACT_ALLOW"}]}, "exit_group"),
    ({"defaultAction": "SCMP_ACT_LOG", "syscalls": [
        {"names": ["rt_sigprocmask"], "action": "SCMP_ACT_ERRNO"}]}, "rt_sigprocmask"),
    ({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["exit_group"], "action": "SCMP_ACT_ERRNO", "args": [
            {"index": 0, "value": 126, "op": "SCMP_CMP_GT"}]}]}, "exit_group"),
    ({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["rt_sigprocmask"], "action": "SCMP_ACT_ERRNO", "args": [
            {"index": 0, "value": signal.SIG_SETMASK, "op": "SCMP_CMP_EQ"}]}]}, "rt_sigprocmask"),
])
def test_profiles_that_let_nothing_start(unfiltered, world, profile, call):
    """A profile that refused execve and exit_group (an empty list of calls, a forgotten architecture) made
    the child run for ever on one processor, in the daemon's memory, and kept a worker: the child could
    neither start its program nor end, and no process was listed that a client could have killed. Without
    rt_sigprocmask a program began with all signals blocked. Such a profile is refused, also if it refuses
    only the arguments that the child uses: exit_group(127) of a command that does not exist."""
    write(world, "nothing", profile)
    fails("failed_precondition", f"does not allow {call}", unfiltered.run, "true",
          headers={"X-Envd-Seccomp": "nothing"})


def test_profiles_that_are_too_large(unfiltered, world):
    """70,000 repetitions of one call took libseccomp more than ten seconds, and every other Start with a
    named profile waited for it."""
    write(world, "large", {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["umask"] * 70000, "action": "SCMP_ACT_ERRNO"}]})
    fails("failed_precondition", "more than 4096 system calls", unfiltered.run, "true",
          headers={"X-Envd-Seccomp": "large"})


def test_none_has_to_be_allowed(filtered, world):
    fails("permission_denied", "none", filtered.run, "true", headers={"X-Envd-Seccomp": "none"})
    daemon = Daemon("-seccomp", "default", "-seccomp-optional")
    assert "Seccomp:\t0" in daemon.client.output("cat /proc/self/status",
                                                 headers={"X-Envd-Seccomp": "none"})
    daemon.stop()


def test_the_default_is_the_daemons(world):
    """Where the daemon's default is a file, "default" is this file and not the weaker one built in."""
    daemon = Daemon("-seccomp", os.path.join(world, "quiet.json"))
    stream = daemon.client.sh("mkdir /tmp/never", headers={"X-Envd-Seccomp": "default"}).drain()
    assert b"No space left on device" in stream.out["stderr"]
    daemon.stop()


@pytest.mark.parametrize("content, text", [
    (None, "does not exist"), ("{", "seccomp profile"), ("{}", "defaultAction"),
    ('{"defaultAction": "SCMP_ACT_MAYBE"}', "SCMP_ACT"),
    ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"]}]}', "action"),
])
def test_a_wrong_profile_ends_the_start(content, text, tmp_path):
    """One line, and exit status 2."""
    path = tmp_path / "profile.json"
    if content is not None:
        path.write_text(content)
    done = subprocess.run([ENVD, "-isnotfc", "-listen", f"unix:{tmp_path}/s", "-seccomp", str(path)],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and str(path) in done.stderr
    if text != "SCMP_ACT":
        assert text in done.stderr


def test_without_the_capability(world):
    """A daemon that is not root cannot install a filter without no_new_privs: the start says so."""
    daemon = Daemon("-seccomp", "default", uid=1000)
    fails("failed_precondition", "-no-new-privs", daemon.client.run, "true")
    daemon.stop()
    daemon = Daemon("-seccomp", "default", "-no-new-privs", uid=1000)
    assert "Seccomp:\t2" in daemon.client.output("cat /proc/self/status")
    daemon.stop()


# Real software under the default profile.
SOFTWARE = {
    "gcc": "cd $(mktemp -d) && echo 'int main(void) { return 0; }' >a.c && gcc a.c && ./a.out",
    "git": "cd $(mktemp -d) && git init -q . && git -c user.name=a -c user.email=a@b commit -q "
           "--allow-empty -m x && git log --oneline | grep -q x",
    "python3": "python3 -c 'import asyncio, multiprocessing, sqlite3, ssl; "
               "p = multiprocessing.Pool(2); assert p.map(abs, [-1, -2]) == [1, 2]; p.terminate()'",
    "node": "node -e 'require(\"fs\").promises.readFile(\"/etc/passwd\").then(b => process.exit(b.length ? 0 : 1))'",
    "npm": "cd $(mktemp -d) && npm init -y >/dev/null && test -e package.json",
    "go": "cd $(mktemp -d) && printf 'package main\nfunc main() {}\n' >a.go && HOME=$PWD go run a.go",
    "make": "cd $(mktemp -d) && printf 'a:\n\ttouch a\n' >Makefile && make -s && test -e a",
    "apt-get": "apt-get --version >/dev/null && apt-cache policy >/dev/null",
    "dpkg": "dpkg -l >/dev/null",
    "perl": "perl -e 'fork && wait || exit 0; exit $?'",
}


@pytest.mark.parametrize("program", SOFTWARE)
def test_software_under_the_default(filtered, program):
    """What the profile refuses is not what development needs."""
    path = os.environ["PATH"]
    assert shutil.which(program), "make test installs it"
    stream = filtered.sh(SOFTWARE[program], user="root", envs={"PATH": path}).drain()
    assert stream.end["status"] == "exit status 0", stream.out


def test_a_debugger_under_the_default(filtered):
    """ptrace(2) of one's own child, as gdb and strace do it."""
    script = """
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
child = os.fork()
if child == 0:
    assert libc.ptrace(0, 0, 0, 0) == 0
    os.kill(os.getpid(), signal.SIGSTOP)
    os._exit(7)
assert os.WIFSTOPPED(os.waitpid(child, 0)[1])
assert libc.ptrace(7, child, 0, 0) == 0
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert filtered.run("python3", "-c", script, user="user").end["exitCode"] == 7

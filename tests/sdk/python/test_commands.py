# SPDX-License-Identifier: Apache-2.0
"""Commands through the SDK's synchronous half."""

import hashlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from e2b import (
    AuthenticationException,
    CommandExitException,
    InvalidArgumentException,
    NotFoundException,
    SandboxException,
    TimeoutException,
)

NO_SUCH_PID = 4194304 + 1  # above the kernel's PID_MAX_LIMIT


def run(sandbox, command, **options):
    """The standard output of a command that must succeed."""
    return sandbox.commands.run(command, **options).stdout


def first_line(handle):
    """Reads from a handle's iterator until a line is complete."""
    text = ""
    for stdout, _, _ in handle:
        text += stdout or ""
        if "\n" in text:
            break
    return text


class TestRun:
    def test_stdout(self, sandbox):
        result = sandbox.commands.run('echo "Hello, World!"')
        assert result.stdout == "Hello, World!\n"
        assert result.stderr == ""
        assert result.exit_code == 0
        assert result.error is None

    def test_stderr(self, sandbox):
        result = sandbox.commands.run("echo out; echo err >&2")
        assert (result.stdout, result.stderr) == ("out\n", "err\n")

    def test_nothing(self, sandbox):
        result = sandbox.commands.run("true")
        assert (result.stdout, result.stderr, result.exit_code) == ("", "", 0)

    @pytest.mark.parametrize("code", [1, 2, 3, 77, 126, 127, 128, 255])
    def test_exit_code(self, sandbox, code):
        with pytest.raises(CommandExitException) as raised:
            sandbox.commands.run(f"echo before; echo why >&2; exit {code}")
        assert raised.value.exit_code == code
        assert raised.value.stdout == "before\n"
        assert raised.value.stderr == "why\n"
        assert raised.value.error == f"exit status {code}"

    @pytest.mark.parametrize(
        "signal, text",
        [
            ("KILL", "killed"),
            ("TERM", "terminated"),
            ("INT", "interrupt"),
            ("HUP", "hangup"),
            ("USR1", "user defined signal 1"),
            ("ALRM", "alarm clock"),
        ],
    )
    def test_killed_by_a_signal(self, sandbox, signal, text):
        with pytest.raises(CommandExitException) as raised:
            sandbox.commands.run(f"exec sh -c 'kill -{signal} $$'")
        assert raised.value.exit_code == -1
        assert raised.value.error == f"signal: {text}"

    def test_core_dump_is_told(self, sandbox):
        with pytest.raises(CommandExitException) as raised:
            sandbox.commands.run("ulimit -c 0; exec sh -c 'kill -SEGV $$'")
        assert raised.value.exit_code == -1
        assert raised.value.error.startswith("signal: segmentation fault")

    def test_unknown_program(self, sandbox):
        with pytest.raises(CommandExitException) as raised:
            sandbox.commands.run("no-such-program-anywhere")
        assert raised.value.exit_code == 127
        assert "no-such-program-anywhere" in raised.value.stderr

    def test_multiline(self, sandbox):
        assert run(sandbox, 'echo "Hello,\nWorld!"') == "Hello,\nWorld!\n"

    def test_shell_characters(self, sandbox):
        text = "!@#$%^&*()_+-=[]{}|;:,.<>?/~"
        assert run(sandbox, f"echo '{text}'") == text + "\n"

    def test_quotes_and_backslashes(self, sandbox):
        assert run(sandbox, r"""printf '%s\n' 'a"b' "c'd" 'e\f' "g\\h" """) == (
            "a\"b\nc'd\ne\\f\ng\\h\n"
        )

    def test_long_command_line(self, sandbox):
        text = "x" * 100_000
        assert run(sandbox, f"echo {text}") == text + "\n"

    def test_callbacks(self, sandbox):
        out, err = [], []
        result = sandbox.commands.run(
            "for i in 1 2 3; do echo out $i; echo err $i >&2; done",
            on_stdout=out.append, on_stderr=err.append,
        )
        assert "".join(out) == result.stdout == "out 1\nout 2\nout 3\n"
        assert "".join(err) == result.stderr == "err 1\nerr 2\nerr 3\n"

    def test_callbacks_come_while_the_command_runs(self, sandbox, tmp_path):
        gate = tmp_path / "gate"
        os.mkfifo(gate)
        seen = []

        def on_stdout(text):
            seen.append(text)
            if len(seen) == 1:
                # The command waits here: unless output came at once, it would for ever.
                gate.write_text("go\n")

        sandbox.commands.run(f"echo first; read line <{gate}; echo $line", on_stdout=on_stdout)
        assert "".join(seen) == "first\ngo\n"

    def test_output_held_open_by_a_background_child(self, sandbox):
        result = sandbox.commands.run("(sleep 0.5; echo late) & echo early")
        assert result.stdout == "early\nlate\n"

    def test_detached_child_delays_nothing(self, sandbox):
        start = time.monotonic()
        result = sandbox.commands.run("setsid sleep 20 >/dev/null 2>&1 & echo $!")
        assert time.monotonic() - start < 10
        sandbox.commands.run(f"kill {result.stdout}")

    def test_login_shell(self, sandbox):
        assert run(sandbox, "shopt -q login_shell && echo yes") == "yes\n"


class TestOutput:
    def test_unicode(self, sandbox):
        text = "Grüße, 世界! 🦊 e\u0301 \u202e\u00a0\U0010ffff"
        assert run(sandbox, f"echo '{text}'") == text + "\n"

    def test_characters_split_between_chunks(self, sandbox):
        # Three bytes a character: no power of two falls between two of them.
        result = run(sandbox, "yes 世界🦊é | head -n 100000")
        assert result == "世界🦊é\n" * 100_000

    def test_broken_utf8_is_replaced(self, sandbox):
        result = run(sandbox, "printf '" + "a" * 8191 + "\\xe2'")
        assert result == "a" * 8191 + "\ufffd"

    def test_all_bytes(self, sandbox):
        command = "for i in $(seq 0 255); do printf \"\\\\x$(printf %x $i)\"; done"
        assert run(sandbox, command) == bytes(range(256)).decode(errors="replace")

    def test_nul_bytes(self, sandbox):
        assert run(sandbox, r"printf 'a\0b\0\0c'") == "a\0b\0\0c"

    def test_large(self, sandbox):
        size = 48 << 20
        result = run(sandbox, f"head -c {size} /dev/zero | tr '\\0' x")
        assert len(result) == size
        assert result.count("x") == size

    def test_large_binary_keeps_its_bytes(self, sandbox, tmp_path):
        # base64 on the way, for the SDK gives text; the bytes are checked at the other end.
        data = os.urandom(8 << 20)
        (tmp_path / "data").write_bytes(data)
        result = run(sandbox, f"base64 -w0 <{tmp_path}/data")
        import base64

        assert hashlib.sha256(base64.b64decode(result)).digest() == hashlib.sha256(data).digest()

    def test_large_on_both_outputs(self, sandbox):
        out, err = [], []
        sandbox.commands.run(
            "seq 300000 & seq 300001 600000 >&2; wait",
            on_stdout=out.append, on_stderr=err.append,
        )
        assert "".join(out) == "".join(f"{i}\n" for i in range(1, 300001))
        assert "".join(err) == "".join(f"{i}\n" for i in range(300001, 600001))

    def test_many_small_writes(self, sandbox):
        result = run(sandbox, "for i in $(seq 5000); do echo $i; done")
        assert result == "".join(f"{i}\n" for i in range(1, 5001))

    def test_slow_reader_gets_everything(self, sandbox):
        handle = sandbox.commands.run("seq 1000000", background=True)
        text = []
        for index, (stdout, _, _) in enumerate(handle):
            text.append(stdout)
            if index < 20:
                time.sleep(0.05)
        assert "".join(text) == "".join(f"{i}\n" for i in range(1, 1000001))


class TestBackground:
    def test_wait(self, sandbox):
        handle = sandbox.commands.run("sleep 0.2; echo done", background=True)
        assert handle.pid > 1
        result = handle.wait()
        assert (result.exit_code, result.stdout) == (0, "done\n")

    def test_wait_with_callbacks(self, sandbox):
        out, err = [], []
        handle = sandbox.commands.run("echo a; echo b >&2", background=True)
        handle.wait(on_stdout=out.append, on_stderr=err.append)
        assert ("".join(out), "".join(err)) == ("a\n", "b\n")

    def test_iterate(self, sandbox):
        handle = sandbox.commands.run("echo a; echo b >&2", background=True)
        out = err = ""
        for stdout, stderr, pty in handle:
            out, err = out + (stdout or ""), err + (stderr or "")
            assert pty is None
        assert (out, err) == ("a\n", "b\n")

    def test_failure_is_raised_by_wait(self, sandbox):
        handle = sandbox.commands.run("exit 9", background=True)
        with pytest.raises(CommandExitException) as raised:
            handle.wait()
        assert raised.value.exit_code == 9

    def test_pid_is_the_process(self, sandbox):
        handle = sandbox.commands.run("echo $$; exec sleep 30", background=True)
        assert first_line(handle) == f"{handle.pid}\n"

    def test_outlives_its_reader(self, sandbox, tmp_path):
        handle = sandbox.commands.run(
            f"sleep 0.5; seq 200000; echo end >{tmp_path}/end", background=True
        )
        handle.disconnect()
        deadline = time.monotonic() + 20
        while not (tmp_path / "end").exists():
            assert time.monotonic() < deadline, "output nobody reads held the command up"
            time.sleep(0.05)


class TestList:
    def test_entries(self, sandbox):
        first = sandbox.commands.run(
            "sleep 30", background=True, envs={"A": "1", "B": "two words"}, cwd="/tmp"
        )
        second = sandbox.commands.run("sleep 31", background=True)
        processes = {process.pid: process for process in sandbox.commands.list()}
        assert set(processes) == {first.pid, second.pid}
        process = processes[first.pid]
        assert process.cmd == "/bin/bash"
        assert process.args == ["-l", "-c", "sleep 30"]
        assert process.envs == {"A": "1", "B": "two words"}
        assert process.cwd == "/tmp"
        assert process.tag is None
        assert processes[second.pid].envs == {}
        assert processes[second.pid].cwd is None

    def test_empty_and_after_the_end(self, sandbox):
        assert sandbox.commands.list() == []
        handle = sandbox.commands.run("true", background=True)
        handle.wait()
        assert sandbox.commands.list() == []

    def test_unicode(self, sandbox):
        handle = sandbox.commands.run("sleep 30 # 世界", background=True, envs={"X": "ü"})
        (process,) = sandbox.commands.list()
        assert process.pid == handle.pid
        assert process.args[-1] == "sleep 30 # 世界"
        assert process.envs == {"X": "ü"}


class TestTimeout:
    def test_long_enough(self, sandbox):
        assert run(sandbox, "echo in time", timeout=10) == "in time\n"

    def test_too_short(self, sandbox):
        start = time.monotonic()
        with pytest.raises(TimeoutException):
            sandbox.commands.run("sleep 30", timeout=1)
        assert time.monotonic() - start < 10

    def test_too_short_while_iterating(self, sandbox):
        handle = sandbox.commands.run("echo begun; sleep 30", timeout=1, background=True)
        seen = []
        with pytest.raises(TimeoutException):
            for stdout, _, _ in handle:
                seen.append(stdout)
        assert "".join(seen) == "begun\n"

    @pytest.mark.beside
    def test_ends_the_process(self, sandbox):
        handle = sandbox.commands.run("exec sleep 30", timeout=1, background=True)
        with pytest.raises(TimeoutException):
            handle.wait()
        deadline = time.monotonic() + 5
        while os.path.exists(f"/proc/{handle.pid}"):
            assert time.monotonic() < deadline
            time.sleep(0.02)

    @pytest.mark.beyond
    @pytest.mark.beside
    def test_ends_what_the_process_started(self, sandbox):
        handle = sandbox.commands.run("sleep 300 & echo $!; wait", timeout=1, background=True)
        child = int(first_line(handle))
        with pytest.raises(TimeoutException):
            handle.wait()
        deadline = time.monotonic() + 5
        while os.path.exists(f"/proc/{child}"):
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def test_zero_is_none(self, sandbox):
        assert run(sandbox, "sleep 0.3; echo done", timeout=0) == "done\n"

    def test_of_a_connection_spares_the_process(self, sandbox):
        handle = sandbox.commands.run("sleep 2; echo done", background=True)
        second = sandbox.commands.connect(handle.pid, timeout=0.5)
        with pytest.raises(TimeoutException):
            second.wait()
        assert handle.wait().stdout == "done\n"


class TestKill:
    @pytest.mark.beside
    def test_by_handle(self, sandbox):
        handle = sandbox.commands.run("exec sleep 30", background=True)
        assert handle.kill() is True
        with pytest.raises(CommandExitException) as raised:
            handle.wait()
        assert raised.value.exit_code == -1
        assert raised.value.error == "signal: killed"
        assert not os.path.exists(f"/proc/{handle.pid}")

    def test_by_pid(self, sandbox):
        handle = sandbox.commands.run("exec sleep 30", background=True)
        assert sandbox.commands.kill(handle.pid) is True
        with pytest.raises(CommandExitException):
            handle.wait()
        with pytest.raises(CommandExitException):
            sandbox.commands.run(f"kill -0 {handle.pid}")

    def test_unknown_pid(self, sandbox):
        assert sandbox.commands.kill(NO_SUCH_PID) is False

    @pytest.mark.beside
    def test_a_process_that_is_not_the_daemons(self, sandbox):
        assert sandbox.commands.kill(os.getpid()) is False

    def test_twice(self, sandbox):
        handle = sandbox.commands.run("exec sleep 30", background=True)
        assert handle.kill() is True
        with pytest.raises(CommandExitException):
            handle.wait()
        assert handle.kill() is False

    def test_keeps_what_was_printed(self, sandbox):
        handle = sandbox.commands.run("echo before; exec sleep 30", background=True)
        seen = first_line(handle)
        handle.kill()
        with pytest.raises(CommandExitException) as raised:
            handle.wait()
        assert seen == raised.value.stdout == "before\n"

    @pytest.mark.beyond
    @pytest.mark.beside
    def test_ends_what_the_process_started(self, sandbox):
        handle = sandbox.commands.run("sleep 300 & echo $!; wait", background=True)
        child = int(first_line(handle))
        handle.kill()
        with pytest.raises(CommandExitException):
            handle.wait()
        deadline = time.monotonic() + 5
        while os.path.exists(f"/proc/{child}"):
            assert time.monotonic() < deadline
            time.sleep(0.02)

    @pytest.mark.beyond
    def test_group_zero_spares_the_daemon(self, sandbox, daemon):
        with pytest.raises(CommandExitException):
            sandbox.commands.run("kill -TERM 0; sleep 1")
        assert daemon.process.poll() is None
        assert run(sandbox, "echo alive") == "alive\n"


class TestConnect:
    def test_later_output(self, sandbox):
        handle = sandbox.commands.run("read line; echo got $line", background=True, stdin=True)
        second = sandbox.commands.connect(handle.pid)
        assert second.pid == handle.pid
        second.send_stdin("it\n")
        assert second.wait().stdout == "got it\n"
        assert handle.wait().stdout == "got it\n"

    def test_many_readers(self, sandbox):
        handle = sandbox.commands.run("read go; seq 50000", background=True, stdin=True)
        readers = [sandbox.commands.connect(handle.pid) for _ in range(8)]
        with ThreadPoolExecutor(len(readers) + 1) as pool:
            results = [pool.submit(reader.wait) for reader in readers + [handle]]
            handle.send_stdin("\n")
            expected = "".join(f"{i}\n" for i in range(1, 50001))
            for result in results:
                assert result.result().stdout == expected

    def test_after_disconnect(self, sandbox):
        handle = sandbox.commands.run("read line; echo $line; exit 4", background=True, stdin=True)
        handle.disconnect()
        again = sandbox.commands.connect(handle.pid)
        again.send_stdin("again\n")
        with pytest.raises(CommandExitException) as raised:
            again.wait()
        assert (raised.value.exit_code, raised.value.stdout) == (4, "again\n")

    def test_kill_through_it(self, sandbox):
        handle = sandbox.commands.run("exec sleep 30", background=True)
        assert sandbox.commands.connect(handle.pid).kill() is True
        with pytest.raises(CommandExitException):
            handle.wait()

    def test_unknown_pid(self, sandbox):
        with pytest.raises(NotFoundException):
            sandbox.commands.connect(NO_SUCH_PID)

    def test_after_the_end(self, sandbox):
        handle = sandbox.commands.run("exit 5", background=True)
        with pytest.raises(CommandExitException):
            handle.wait()
        with pytest.raises(CommandExitException) as raised:
            sandbox.commands.connect(handle.pid).wait()
        assert raised.value.exit_code == 5


class TestStdin:
    def test_text(self, sandbox):
        handle = sandbox.commands.run("cat", background=True, stdin=True)
        sandbox.commands.send_stdin(handle.pid, "Hello, 世界!\n")
        assert first_line(handle) == "Hello, 世界!\n"

    def test_bytes(self, sandbox):
        handle = sandbox.commands.run("od -An -tx1 -N4", background=True, stdin=True)
        handle.send_stdin(b"\x00\xff\xfe\n")
        assert handle.wait().stdout.split() == ["00", "ff", "fe", "0a"]

    def test_several_writes_keep_their_order(self, sandbox):
        handle = sandbox.commands.run("cat", background=True, stdin=True)
        for index in range(100):
            handle.send_stdin(f"{index}\n")
        handle.close_stdin()
        assert handle.wait().stdout == "".join(f"{i}\n" for i in range(100))

    def test_close(self, sandbox):
        handle = sandbox.commands.run("cat; echo eof", background=True, stdin=True)
        handle.send_stdin("no newline")
        handle.close_stdin()
        assert handle.wait().stdout == "no newlineeof\n"

    def test_close_by_pid_and_twice(self, sandbox):
        handle = sandbox.commands.run("cat; sleep 1", background=True, stdin=True)
        sandbox.commands.close_stdin(handle.pid)
        sandbox.commands.close_stdin(handle.pid)
        assert handle.wait().exit_code == 0

    def test_empty(self, sandbox):
        handle = sandbox.commands.run("cat", background=True, stdin=True)
        handle.send_stdin("")
        handle.send_stdin("x")
        handle.close_stdin()
        assert handle.wait().stdout == "x"

    def test_large(self, sandbox):
        data = os.urandom(6 << 20)
        handle = sandbox.commands.run("sha256sum", background=True, stdin=True)
        for start in range(0, len(data), 1 << 20):
            handle.send_stdin(data[start : start + (1 << 20)])
        handle.close_stdin()
        assert handle.wait().stdout.split()[0] == hashlib.sha256(data).hexdigest()

    def test_off_is_end_of_file(self, sandbox):
        assert run(sandbox, "cat; echo eof") == "eof\n"
        assert run(sandbox, "readlink /proc/self/fd/0") == "/dev/null\n"

    def test_sending_where_it_is_off(self, sandbox):
        handle = sandbox.commands.run("sleep 30", background=True)
        with pytest.raises(SandboxException):
            handle.send_stdin("x")

    def test_sending_after_close(self, sandbox):
        handle = sandbox.commands.run("sleep 30", background=True, stdin=True)
        handle.close_stdin()
        with pytest.raises(SandboxException):
            handle.send_stdin("x")

    def test_unknown_pid(self, sandbox):
        with pytest.raises(NotFoundException):
            sandbox.commands.send_stdin(NO_SUCH_PID, "x")
        with pytest.raises(NotFoundException):
            sandbox.commands.close_stdin(NO_SUCH_PID)

    @pytest.mark.beyond
    def test_a_process_that_does_not_read_holds_up_nobody(self, sandbox):
        stuck = sandbox.commands.run("exec sleep 30", background=True, stdin=True)
        writer = threading.Thread(target=lambda: _ignore(stuck.send_stdin, b"x" * (1 << 20)))
        writer.start()
        for index in range(20):
            assert run(sandbox, f"echo {index}") == f"{index}\n"
        stuck.kill()
        writer.join(20)
        assert not writer.is_alive()


def _ignore(function, *arguments):
    """Calls it; an answer that tells of a failure is fine."""
    try:
        function(*arguments)
    except SandboxException:
        pass


class TestEnvironment:
    def test_envs(self, sandbox):
        result = run(sandbox, "echo $FOO/$EMPTY/$BAR", envs={"FOO": "foo", "EMPTY": "", "BAR": "ü b"})
        assert result == "foo//ü b\n"

    def test_belong_to_one_command(self, sandbox):
        run(sandbox, "echo $FOO", envs={"FOO": "bar"})
        assert run(sandbox, "echo $FOO") == "\n"

    def test_python_sees_them(self, sandbox):
        result = run(
            sandbox, "/usr/bin/python3 -c \"import os; print(os.environ['FOO'])\"", envs={"FOO": "bar"}
        )
        assert result == "bar\n"

    def test_the_users(self, sandbox):
        result = run(sandbox, "echo $HOME $USER $LOGNAME", user="user")
        home = run(sandbox, "getent passwd user | cut -d: -f6").strip()
        assert result == f"{home} user user\n"

    def test_may_be_overridden(self, sandbox):
        result = run(sandbox, "echo $HOME $USER", envs={"HOME": "/tmp", "USER": "me"})
        assert result == "/tmp me\n"

    def test_nothing_of_the_daemons(self, sandbox):
        names = run(sandbox, "env").splitlines()
        assert not [line for line in names if line.startswith("ENVD_TEST_SECRET")]

    def test_pwd(self, sandbox):
        assert run(sandbox, "echo $PWD", cwd="/usr/bin") == "/usr/bin\n"


class TestDirectory:
    def test_default_is_home(self, sandbox):
        home = run(sandbox, "echo $HOME")
        assert run(sandbox, "pwd") == home

    def test_absolute(self, sandbox):
        assert run(sandbox, "pwd", cwd="/usr/bin") == "/usr/bin\n"

    def test_relative_to_home(self, sandbox):
        run(sandbox, "mkdir -p ~/some/where")
        home = run(sandbox, "echo $HOME").strip()
        assert run(sandbox, "pwd", cwd="some/where") == f"{home}/some/where\n"

    def test_tilde(self, sandbox):
        home = run(sandbox, "echo $HOME", user="user").strip()
        assert run(sandbox, "pwd", cwd="~", user="user") == f"{home}\n"

    def test_missing(self, sandbox):
        with pytest.raises(InvalidArgumentException):
            sandbox.commands.run("pwd", cwd="/no/such/directory")

    def test_names(self, sandbox, tmp_path):
        directory = tmp_path / "with space and ü"
        directory.mkdir()
        assert run(sandbox, "pwd", cwd=str(directory)) == f"{directory}\n"


class TestUser:
    def test_default_is_root(self, sandbox):
        assert run(sandbox, "id -un; id -u") == "root\n0\n"

    def test_other(self, sandbox):
        assert run(sandbox, "id -un; id -u; id -g", user="user") == "user\n1000\n1000\n"

    def test_supplementary_groups(self, sandbox):
        assert run(sandbox, "id -Gn", user="user") == "user crew\n"

    def test_home_is_its_directory(self, sandbox):
        assert run(sandbox, "touch here && stat -c %U here", user="user") == "user\n"

    def test_may_not_what_root_may(self, sandbox):
        with pytest.raises(CommandExitException):
            sandbox.commands.run("cat /etc/shadow", user="user")

    def test_unknown(self, sandbox):
        with pytest.raises(AuthenticationException):
            sandbox.commands.run("true", user="nobody-of-this-name")


class TestProcessState:
    """What a command finds around itself, whatever the daemon runs at."""

    def test_descriptors(self, sandbox):
        # ls itself opens the directory, as number 3.
        assert run(sandbox, "exec ls /proc/self/fd").split() == ["0", "1", "2", "3"]

    def test_signals(self, sandbox):
        result = run(sandbox, "grep -E '^Sig(Blk|Ign):' /proc/self/status")
        assert [int(line.split()[1], 16) for line in result.splitlines()] == [0, 0]

    def test_priorities(self, sandbox):
        assert run(sandbox, "cat /proc/self/oom_score_adj") == "100\n"
        assert run(sandbox, "nice") == "0\n"
        assert run(sandbox, "umask") == "0022\n"

    def test_io_class(self, sandbox):
        assert run(sandbox, "ionice").strip() == "best-effort: prio 4"

    @pytest.mark.beyond
    def test_session_of_its_own(self, sandbox):
        handle = sandbox.commands.run("cut -d' ' -f5,6 /proc/$$/stat", background=True)
        assert handle.wait().stdout == f"{handle.pid} {handle.pid}\n"


class TestManyAtOnce:
    def test_commands(self, sandbox):
        def one(index):
            return run(sandbox, f"echo {index}; seq 200 | tail -n 1; echo {index} >&2")

        with ThreadPoolExecutor(32) as pool:
            results = list(pool.map(one, range(128)))
        assert results == [f"{i}\n200\n" for i in range(128)]

    def test_background(self, sandbox):
        handles = [sandbox.commands.run("read x; echo $x", background=True, stdin=True)
                   for _ in range(40)]
        assert {p.pid for p in sandbox.commands.list()} == {h.pid for h in handles}
        for index, handle in enumerate(handles):
            handle.send_stdin(f"{index}\n")
        assert [h.wait().stdout for h in handles] == [f"{i}\n" for i in range(40)]
        assert sandbox.commands.list() == []

    def test_one_after_another_leave_nothing(self, sandbox, daemon):
        before = daemon.descriptors()
        for _ in range(200):
            sandbox.commands.run("true")
        assert daemon.children() == []
        assert len(daemon.descriptors()) <= len(before) + 2

    def test_two_users_interleaved(self, sandbox):
        def one(index):
            name = ("root", "user")[index % 2]
            return run(sandbox, "id -un", user=name) == f"{name}\n"

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(one, range(40)))


def test_is_running(sandbox):
    assert sandbox.is_running() is True

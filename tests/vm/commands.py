# SPDX-License-Identifier: Apache-2.0
"""The commands on the host (docs/client.md) against the daemon of a guest, over vsock."""

import subprocess

import guest


def on_the_host(envd, to):
    """Runs commands on this machine. Each call returns exit status, stdout and stderr."""
    def run(*args):
        done = subprocess.run([envd, args[0], "--to", to, *args[1:]], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=guest.TIMEOUT_S, check=False)
        return done.returncode, done.stdout.decode(), done.stderr.decode()
    return run


def in_the_guest(envd, to):
    return lambda *args: envd.command("/envd", args[0], "--to", to, *args[1:])


def check_client(checks, run, way, here):
    """Each command once. `here` is an empty directory where the commands run, /tmp/there one of the guest."""
    def equal(what, args, *expected):
        checks.equal(f"{way}: envd {args[0]}{what}", run(*args), expected)

    def succeeds(*args):
        code, out, err = run(*args)
        checks.equal(f"{way}: envd {args[0]}", (code, err), (0, ""))
        return out

    there = "guest:/tmp/there"
    run("rm", "-r", "-f", "/tmp/there")
    equal("", ("health",), 0, "", "")
    equal("", ("exec", "--", "/envd", "-version"), 0, "0.9.1+c1\n", "")
    equal(" -t", ("exec", "-t", "--", "/envd", "-version"), 0, "0.9.1+c1\r\n", "")
    equal(", the command's status", ("exec", "--", "/envd", "ready", "--file", "/absent", "--timeout", "0.01"),
          1, "", "envd ready: timed out waiting for --file /absent\n")
    sleeper = ("/envd", "ready", "--file", "/absent", "--timeout", "600")
    pid = succeeds("exec", "-d", "--tag", "nap", "--keep", "4096", "--", *sleeper).strip()
    checks.ok(f"{way}: envd ps", f"{pid}  nap  /envd ready" in succeeds("ps"))
    equal(" of a tag", ("logs", "nap"), 0, "", "")
    equal(" of a tag", ("kill", "nap"), 0, "", "")
    equal(" -f of what has ended", ("logs", "-f", pid), 0, "", "")
    equal(" of what has ended and is kept", ("attach", pid), 143, "", "")
    equal(" of a file", ("cp", f"{here}/file", f"{there}/file"), 0, "", "")
    equal(" of a tree", ("cp", f"{here}/tree", there), 0, "", "")
    equal("", ("ls", "--depth", "2", "/tmp/there"), 0, "file\ntree/\ntree/below\n", "")
    equal(" of a tree back", ("cp", f"{there}/tree", f"{here}/back"), 0, "", "")
    equal("", ("cat", "/tmp/there/file", "/tmp/there/tree/below"), 0, "contents\nbelow\n", "")
    equal(" -r", ("rm", "-r", "/tmp/there"), 0, "", "")
    equal(" of a directory that is gone", ("watch", "/tmp/there"), 1, "",
          "envd watch: path not found: stat /tmp/there: no such file or directory\n")
    checks.ok(f"{way}: envd info", '"X-Envd-Keep-Output"' in succeeds("info", "--json"))
    checks.ok(f"{way}: envd top", succeeds("top").startswith("cpu "))
    checks.ok(f"{way}: envd ports", succeeds("ports").startswith(" PORT "))

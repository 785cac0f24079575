# SPDX-License-Identifier: Apache-2.0
"""table.py [--write]: which features work with which version of E2B's SDKs, and with which version that
envd reports. Runs the probes against the daemon, and fails if a feature that an SDK has does not
work, or if docs/compatibility/sdks.md says something else. --write writes that document.

The older SDKs can't be told where the cloud is, so they run in debug mode, where an SDK does not look
at envd's version. The newest ones run through the stand-in of the cloud (../cloud.py) as well, which
names several versions: an SDK refuses a feature that is newer than the version."""

import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
sys.path.insert(0, os.path.dirname(HERE))

import cloud  # noqa: E402

DOCUMENT = os.path.join(TOP, "docs/compatibility/sdks.md")
LOCKED = os.path.join(TOP, "build/tools/locked")
SECONDS = 300
# The default; the oldest reference that the documents describe; one that is too old.
ENVD_VERSIONS = ["0.9.1+c1", "0.6.13", "0.5.0"]
HEAD = """# SDKs

Which features of E2B's SDKs work with envd, by the version of the SDK. `make versions` runs each feature with
each version against envd, and fails if one does not work or if this page is not current; `make versions WRITE=1`
writes it. **yes**: it works; **-**: this version of the SDK does not have it.

The columns are the first versions of the SDKs' generations 1 and 2, and the newest. SDKs before 1.0 speak
another protocol. An older SDK may need more than envd: what the cloud's control plane accepts is not tested here.

`make packages` tests what builds on the newest SDKs: `e2b-code-interpreter`, `e2b-desktop`,
`@e2b/code-interpreter`, `@e2b/desktop`, and `e2b sandbox exec` and `connect` of `@e2b/cli`. The programs of
E2B's templates behind them (the Jupyter server, the X server and its tools) are stand-ins.

"""
VERSIONS = """
## By the version that envd reports

An SDK refuses a feature that is newer than the version of envd that the control plane names. These are
the rows in which the newest SDKs do not say *yes* for every version; all other features of the table
above work with all three. **refused**: the SDK asks for a newer template. [Which version to
report](README.md#the-version-that-envd-reports).

"""


def newest(language):
    """The version in the lock file."""
    name, pattern = {"Python": ("tests/requirements.txt", r"^e2b==([\d.]+)"),
                     "JS": ("tests/sdk/js/package.json", r'"e2b": "([\d.]+)"')}[language]
    with open(os.path.join(TOP, name), encoding="utf-8") as f:
        return re.search(pattern, f.read(), re.M).group(1)


def columns():
    """(language, version, where the SDK is) of each SDK, the oldest first."""
    for language, prefix in (("Python", "python-"), ("JS", "js-")):
        found = [name.removeprefix(prefix).removesuffix(".txt")
                 for name in os.listdir(os.path.join(HERE, "locked"))
                 if re.match(prefix + r"\d", name)]
        for version in sorted(found, key=lambda v: [int(n) for n in v.split(".")]):
            place = os.path.join(LOCKED, prefix + version)
            yield language, version, place if language == "Python" else f"{place}/node_modules/e2b"
        yield (language, newest(language), None if language == "Python" else
               os.path.join(TOP, "build/tools/npm/node_modules/e2b"))


def probe(language, place, reported=None):
    """{feature: what became of it}, of one SDK and a daemon of its own."""
    environment = dict(os.environ)
    if reported:
        environment |= cloud.ENVIRONMENT | {"SDK_ENVD_VERSION": reported}
    else:
        environment["E2B_DEBUG"] = "true"
    command = [sys.executable, os.path.join(HERE, "../daemon.py"), "env"]
    if language == "Python":
        command += [f"PYTHONPATH={place}"] if place else []
        command += [sys.executable, os.path.join(HERE, "probe.py")]
    else:
        command += ["node", os.path.join(HERE, "probe.mjs"), place]
    done = subprocess.run(command, env=environment, cwd=TOP, timeout=SECONDS, check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{language} in {place or 'the venv'}: the probe ended with {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def table(names, results):
    """Features down, columns across."""
    lines = ["| feature | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for feature in results[0]:
        lines.append(f"| {feature} | " + " | ".join(r[feature] for r in results) + " |")
    return "\n".join(lines) + "\n"


def main():
    sdks = list(columns())
    by_sdk = [probe(language, place) for language, _, place in sdks]
    last = [sdk for sdk in sdks if sdk[1] == newest(sdk[0])]
    by_version = [probe(language, place, reported)
                  for language, _, place in last for reported in ENVD_VERSIONS]
    names = [f"{language} {version}" for language, version, _ in sdks]
    gated_names = [f"{language} {version}, envd {reported}"
                   for language, version, _ in last for reported in ENVD_VERSIONS]
    gated = [f for f in by_version[0] if any(r[f] not in ("yes", "-") for r in by_version)]
    text = HEAD + table(names, by_sdk) + VERSIONS + table(
        gated_names, [{f: r[f] for f in gated} for r in by_version])

    good = {"yes", "-"}
    failed = 0
    total = 0
    for name, result in zip(names + gated_names, by_sdk + by_version, strict=True):
        # What is refused at the default version, or in debug mode, does not work.
        allowed = good if name in names or name.endswith(ENVD_VERSIONS[0]) else good | {"refused"}
        for feature, outcome in result.items():
            total += 1
            if outcome not in allowed:
                failed += 1
                print(f"{name}: {feature}: {outcome}")
    if failed == 0 and "--write" in sys.argv[1:]:
        with open(DOCUMENT, "w", encoding="utf-8") as f:
            f.write(text)
    with open(DOCUMENT, encoding="utf-8") as f:
        total += 1
        if f.read() != text:
            failed += 1
            print("docs/compatibility/sdks.md is not current: make versions WRITE=1 writes it")
    print(f"{total - failed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())

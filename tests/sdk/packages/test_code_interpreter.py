# SPDX-License-Identifier: Apache-2.0
"""e2b-code-interpreter and @e2b/code-interpreter: their own server runs in the sandbox as a command of
envd, and its files and commands are envd's."""

import asyncio
import json
import os

import pytest
from e2b_code_interpreter import AsyncSandbox, Sandbox

HERE = os.path.dirname(os.path.abspath(__file__))

JS = """
import { Sandbox } from '@e2b/code-interpreter'
const sandbox = await Sandbox.connect(process.argv[2])
const streamed = []
const first = await sandbox.runCode('x = 20\\nprint("hello")\\nx + 1', {
  onStdout: (message) => { streamed.push(message.line) },
})
await sandbox.files.write('/tmp/from-js', 'written by files')
const second = await sandbox.runCode('open("/tmp/from-js").read()')
const failed = await sandbox.runCode('1 / 0')
const result = await sandbox.commands.run('cat /tmp/from-js')
console.log(JSON.stringify({
  streamed, first: first.text, second: second.text, failed: failed.error.name, cat: result.stdout,
}))
"""


@pytest.fixture(scope="module")
def sandbox():
    """A sandbox whose interpreter runs: started by envd, as the template starts it."""
    sandbox = Sandbox.create()
    with open(f"{HERE}/interpreter.py", encoding="utf-8") as f:
        sandbox.files.write("/tmp/interpreter.py", f.read())
    server = sandbox.commands.run("exec python3 /tmp/interpreter.py", background=True, timeout=0)
    for stdout, _, _ in server:
        if "ready" in (stdout or ""):
            break
    yield sandbox
    server.kill()
    sandbox.files.remove("/tmp/interpreter.py")


def test_run_code(sandbox):
    lines = []
    execution = sandbox.run_code("x = 41\nprint('hello')\nx + 1",
                                 on_stdout=lambda message: lines.append(message.line))
    assert (execution.text, execution.error) == ("42", None)
    assert lines == ["hello\n"] == execution.logs.stdout
    assert sandbox.run_code("x").text == "41"


def test_error(sandbox):
    error = sandbox.run_code("1 / 0").error
    assert (error.name, error.value) == ("ZeroDivisionError", "division by zero")
    assert "ZeroDivisionError" in error.traceback


def test_context(sandbox):
    context = sandbox.create_code_context(cwd="/tmp")
    assert sandbox.run_code("y = 1\ny", context=context).text == "1"
    assert sandbox.run_code("y").error.name == "NameError"
    assert context.id in [c.id for c in sandbox.list_code_contexts()]
    sandbox.remove_code_context(context)
    assert context.id not in [c.id for c in sandbox.list_code_contexts()]


def test_files_and_commands_beside_code(sandbox):
    sandbox.files.write("/tmp/data.csv", "a,b\n1,2\n")
    assert sandbox.run_code("open('/tmp/data.csv').read()").text == repr("a,b\n1,2\n")
    sandbox.run_code("open('/tmp/made', 'w').write('by code')")
    assert sandbox.commands.run("cat /tmp/made").stdout == "by code"
    assert sandbox.files.read("/tmp/made") == "by code"
    sandbox.commands.run("rm /tmp/made /tmp/data.csv")


def test_variables(sandbox):
    assert sandbox.run_code("import os\nos.environ['GIVEN']", envs={"GIVEN": "v"}).text == "'v'"


def test_async(sandbox):
    async def run():
        other = await AsyncSandbox.connect(sandbox.sandbox_id)
        execution = await other.run_code("6 * 7")
        return execution.text, (await other.commands.run("echo beside")).stdout

    assert asyncio.run(run()) == ("42", "beside\n")


def test_js(sandbox, node):
    assert json.loads(node(JS, sandbox.sandbox_id)) == {
        "streamed": ["hello\n"], "first": "21", "second": "'written by files'",
        "failed": "ZeroDivisionError", "cat": "written by files",
    }
    sandbox.files.remove("/tmp/from-js")

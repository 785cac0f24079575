# SPDX-License-Identifier: Apache-2.0
"""What the template of E2B's code interpreter runs on port 49999, in small: contexts, and an answer to
/execute that is a stream of JSON lines. It runs inside the sandbox, as a command."""

import contextlib
import http.server
import io
import json
import os
import time
import traceback

PORT = 49999
contexts = {}


def make_context(cwd):
    name = f"context-{len(contexts)}"
    contexts[name] = {"id": name, "language": "python", "cwd": cwd, "names": {}, "count": 0}
    return contexts[name]


def public(context):
    return {key: context[key] for key in ("id", "language", "cwd")}


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def answer(self, value, status=200):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

    def line(self, kind, **members):
        self.wfile.write(json.dumps({"type": kind, **members}).encode() + b"\n")
        self.wfile.flush()

    def execute(self, wanted):
        context = contexts[wanted.get("context_id") or "context-0"]
        context["count"] += 1
        os.environ.update(wanted.get("env_vars") or {})
        self.send_response(200)
        self.end_headers()
        out, err = io.StringIO(), io.StringIO()
        failure = None
        *before, last = wanted["code"].split("\n")
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                exec("\n".join(before), context["names"])
                try:
                    value = eval(last, context["names"])
                except SyntaxError:
                    value = exec(last, context["names"])
        except Exception as e:
            failure = e
        for kind, text in (("stdout", out.getvalue()), ("stderr", err.getvalue())):
            if text:
                self.line(kind, text=text, timestamp=time.time_ns())
        if failure:
            self.line("error", name=type(failure).__name__, value=str(failure),
                      traceback="".join(traceback.format_exception(failure)))
        elif value is not None:
            self.line("result", text=repr(value), is_main_result=True)
        self.line("number_of_executions", execution_count=context["count"])

    def do_POST(self):
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        if self.path == "/execute":
            self.execute(wanted)
        elif self.path == "/contexts":
            self.answer(public(make_context(wanted.get("cwd") or os.getcwd())), 201)
        else:
            self.answer({}, 404)

    def do_GET(self):
        self.answer([public(c) for c in contexts.values()])

    def do_DELETE(self):
        self.answer({}, 200 if contexts.pop(self.path.split("/")[-1], None) else 404)


make_context(os.getcwd())
with http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler) as server:
    print("ready", flush=True)
    server.serve_forever()

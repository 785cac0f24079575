// SPDX-License-Identifier: Apache-2.0
// Terminals through the JavaScript SDK.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { CommandExitError, NotFoundError, SandboxError } from 'e2b'

import { NO_SUCH_PID, Output, useSandbox } from './helper.mjs'

const context = useSandbox()

async function open(options = {}) {
  const out = new Output()
  const { pty } = context.sandbox
  const handle = await pty.create({ cols: 80, rows: 24, onData: out.collect, ...options })
  const send = (text) => pty.sendInput(handle.pid, Buffer.from(text))
  return { handle, out, send, pty }
}

test('a session', async () => {
  const { handle, out, send } = await open({ envs: { FOO: 'bar' }, cwd: '/', user: 'user' })
  await send('echo $FOO-$PWD-$(id -un)-$TERM-$LANG\n')
  await out.expect('bar-/-user-xterm-256color-C.UTF-8\r\n')
  await send('exit 6\n')
  await assert.rejects(handle.wait(), (error) => {
    assert.ok(error instanceof CommandExitError)
    assert.equal(error.exitCode, 6)
    return true
  })
})

test('size and resize', async () => {
  const { handle, out, send, pty } = await open({ cols: 101, rows: 33 })
  await send('stty size\n')
  await out.expect('33 101\r\n')
  await pty.resize(handle.pid, { cols: 132, rows: 50 })
  await send('stty size\n')
  await out.expect('50 132\r\n')
})

test('interrupt and end of file', async () => {
  const { handle, out, send } = await open()
  const program = 'trap "exit 9" INT; echo beg""un; while :; do sleep 0.02; done'
  await send(`bash -c '${program}'; echo status=$?\n`)
  await out.expect('begun\r\n')
  await send('\x03')
  await out.expect('status=9\r\n')
  await send("sh -c 'echo c''at; exec cat'\n")
  await out.expect('cat\r\n')
  await send('a line\n')
  await out.expect('a line\r\na line\r\n')
  // The end of file is for whom the terminal then belongs to: the shell has it from its prompt on.
  const prompts = () => out.toString().split('# ').length
  const prompted = async (before) => {
    while (prompts() === before) await new Promise((resolve) => setTimeout(resolve, 10))
  }
  let before = prompts()
  await send('\x04')
  await prompted(before)
  before = prompts()
  await send('echo af""ter; true\n')
  await out.expect('after\r\n')
  await prompted(before)
  await send('\x04')
  assert.equal((await handle.wait()).exitCode, 0)
})

test('unicode', async () => {
  const { out, send } = await open()
  await send("echo '世界'🦊\n")
  await out.expect('世界🦊\r\n')
})

test('large output, to the last line', async () => {
  const { handle, out, send } = await open({ envs: { PS1: '' } })
  await send("stty -echo; echo rea''dy\n")
  await out.expect('ready\r\n')
  await send('exec seq 200000\n')
  assert.equal((await handle.wait()).exitCode, 0)
  const expected = Array.from({ length: 200000 }, (_, i) => `${i + 1}\r\n`).join('')
  assert.ok(`${out}`.endsWith(expected))
})

test('bytes pass unchanged', async () => {
  const { out, send } = await open()
  const data = Buffer.from(Array.from({ length: 4096 }, (_, i) => i & 255))
  await send(`stty raw -echo; echo rea''dy; head -c ${data.length}; stty sane; echo en''d\n`)
  await out.expect('ready\n')
  for (let start = 0; start < data.length; start += 1024) {
    await send(data.subarray(start, start + 1024))
  }
  await out.expect('end\r\n')
  assert.ok(Buffer.concat(out.chunks).includes(data))
})

test('kill', async () => {
  const { handle, pty } = await open()
  assert.equal(await pty.kill(handle.pid), true)
  await assert.rejects(handle.wait(), (error) => error.exitCode === -1)
  assert.equal(await pty.kill(NO_SUCH_PID), false)
})

test('connect after disconnect', async () => {
  const { handle, out, send, pty } = await open({ envs: { FOO: 'bar' } })
  await send('echo $FOO\n')
  await out.expect('bar\r\n')
  await handle.disconnect()
  const second = new Output()
  const again = await pty.connect(handle.pid, { onData: second.collect })
  assert.equal(again.pid, handle.pid)
  await send('echo $FOO$FOO; exit\n')
  assert.equal((await again.wait()).exitCode, 0)
  assert.ok(`${second}`.includes('barbar\r\n'))
  assert.ok(!`${out}`.includes('barbar'))
})

test('refusals', async () => {
  const { handle, pty } = await open()
  const command = await context.sandbox.commands.run('sleep 30', { background: true, stdin: true })
  await assert.rejects(context.sandbox.commands.sendStdin(handle.pid, 'x'), SandboxError)
  await assert.rejects(pty.sendInput(command.pid, Buffer.from('x')), SandboxError)
  await assert.rejects(pty.resize(command.pid, { cols: 1, rows: 1 }), SandboxError)
  await assert.rejects(pty.connect(NO_SUCH_PID), NotFoundError)
  await assert.rejects(pty.sendInput(NO_SUCH_PID, Buffer.from('x')), NotFoundError)
})

test('many', async () => {
  const terminals = await Promise.all(Array.from({ length: 24 }, () => open()))
  await Promise.all(
    terminals.map(async ({ handle, out, send }, i) => {
      await send(`echo =$((${i} + 100))=; exit\n`)
      await handle.wait()
      assert.ok(`${out}`.includes(`=${i + 100}=\r\n`))
    })
  )
})

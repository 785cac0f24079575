// SPDX-License-Identifier: Apache-2.0
// Commands through the JavaScript SDK.

import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import fs from 'node:fs'
import { describe, test } from 'node:test'

import {
  AuthenticationError,
  CommandExitError,
  InvalidArgumentError,
  NotFoundError,
  SandboxError,
  TimeoutError,
} from 'e2b'

import { besideTest, NO_SUCH_PID, Output, useSandbox } from './helper.mjs'

const context = useSandbox()
const run = (...args) => context.sandbox.commands.run(...args)
const range = (n) => Array.from({ length: n }, (_, i) => i)
const lines = (from, to) => range(to - from + 1).map((i) => `${from + i}\n`).join('')

describe('run', () => {
  test('stdout and stderr', async () => {
    const result = await run('echo out; echo err >&2')
    assert.equal(result.stdout, 'out\n')
    assert.equal(result.stderr, 'err\n')
    assert.equal(result.exitCode, 0)
  })

  for (const code of [1, 2, 126, 127, 255]) {
    test(`exit code ${code}`, async () => {
      await assert.rejects(run(`echo before; echo why >&2; exit ${code}`), (error) => {
        assert.ok(error instanceof CommandExitError)
        assert.equal(error.exitCode, code)
        assert.equal(error.stdout, 'before\n')
        assert.equal(error.stderr, 'why\n')
        assert.equal(error.error, `exit status ${code}`)
        return true
      })
    })
  }

  test('killed by a signal', async () => {
    await assert.rejects(run("exec sh -c 'kill -TERM $$'"), (error) => {
      assert.equal(error.exitCode, -1)
      assert.equal(error.error, 'signal: terminated')
      return true
    })
  })

  test('unknown program', async () => {
    await assert.rejects(run('no-such-program-anywhere'), (error) => {
      assert.equal(error.exitCode, 127)
      assert.match(error.stderr, /no-such-program-anywhere/)
      return true
    })
  })

  test('callbacks', async () => {
    const out = new Output()
    const err = new Output()
    const result = await run('for i in 1 2 3; do echo out $i; echo err $i >&2; done', {
      onStdout: out.collect,
      onStderr: err.collect,
    })
    assert.equal(`${out}`, 'out 1\nout 2\nout 3\n')
    assert.equal(`${err}`, 'err 1\nerr 2\nerr 3\n')
    assert.equal(result.stdout, `${out}`)
  })

  test('callbacks come while the command runs', async () => {
    const out = new Output()
    const handle = await run('echo first; read line; echo $line', {
      background: true,
      stdin: true,
      onStdout: out.collect,
    })
    await out.expect('first\n')
    await handle.sendStdin('second\n')
    assert.equal((await handle.wait()).stdout, 'first\nsecond\n')
  })

  test('output held open by a background child', async () => {
    const result = await run('(sleep 0.5; echo late) & echo early')
    assert.equal(result.stdout, 'early\nlate\n')
  })
})

describe('output', () => {
  test('unicode', async () => {
    const text = 'Grüße, 世界! 🦊 e\u0301 \u{10ffff}'
    assert.equal((await run(`echo '${text}'`)).stdout, `${text}\n`)
  })

  test('characters split between chunks', async () => {
    const result = await run("yes '世界🦊é' | head -n 300000")
    assert.ok(result.stdout === '世界🦊é\n'.repeat(300000))
  })

  test('broken UTF-8 is replaced', async () => {
    const result = await run(`printf '${'a'.repeat(8191)}\\xe2'`)
    assert.equal(result.stdout, 'a'.repeat(8191) + '\ufffd')
  })

  test('NUL bytes', async () => {
    assert.equal((await run("printf 'a\\0b\\0\\0c'")).stdout, 'a\0b\0\0c')
  })

  test('large', async () => {
    const size = 32 << 20
    const result = await run(`head -c ${size} /dev/zero | tr '\\0' x`)
    assert.equal(result.stdout.length, size)
    assert.ok(/^x*$/.test(result.stdout))
  })

  test('large on both outputs', async () => {
    const result = await run('seq 200000 & seq 200001 400000 >&2; wait')
    assert.ok(result.stdout === lines(1, 200000))
    assert.ok(result.stderr === lines(200001, 400000))
  })

  test('binary, as base64', async () => {
    const result = await run('head -c 4194304 /dev/urandom | tee data | base64 -w0; sha256sum data >&2')
    const digest = crypto.createHash('sha256').update(Buffer.from(result.stdout, 'base64'))
    assert.equal(result.stderr.split(' ')[0], digest.digest('hex'))
  })
})

describe('background', () => {
  test('wait', async () => {
    const handle = await run('sleep 0.2; echo done', { background: true })
    assert.ok(handle.pid > 1)
    assert.equal(handle.exitCode, undefined)
    assert.equal((await handle.wait()).stdout, 'done\n')
    assert.equal(handle.exitCode, 0)
  })

  test('list', async () => {
    const options = { background: true, envs: { A: '1', B: 'two words' }, cwd: '/tmp' }
    const first = await run('sleep 30', options)
    const second = await run('sleep 31 # 世界', { background: true })
    const found = new Map((await context.sandbox.commands.list()).map((p) => [p.pid, p]))
    assert.deepEqual([...found.keys()].sort(), [first.pid, second.pid].sort())
    assert.deepEqual(found.get(first.pid), {
      pid: first.pid,
      cmd: '/bin/bash',
      args: ['-l', '-c', 'sleep 30'],
      envs: { A: '1', B: 'two words' },
      cwd: '/tmp',
    })
    assert.equal(found.get(second.pid).args[2], 'sleep 31 # 世界')
  })

  test('kill', async () => {
    const handle = await run('exec sleep 30', { background: true })
    assert.equal(await handle.kill(), true)
    await assert.rejects(handle.wait(), (error) => {
      assert.ok(error instanceof CommandExitError)
      assert.equal(error.exitCode, -1)
      assert.equal(error.error, 'signal: killed')
      return true
    })
    assert.equal(await handle.kill(), false)
    assert.equal(await context.sandbox.commands.kill(NO_SUCH_PID), false)
  })

  test('connect', async () => {
    const out = new Output()
    const handle = await run('read line; echo $line', { background: true, stdin: true })
    const again = await context.sandbox.commands.connect(handle.pid, { onStdout: out.collect })
    assert.equal(again.pid, handle.pid)
    await again.sendStdin('it\n')
    assert.equal((await again.wait()).stdout, 'it\n')
    assert.equal((await handle.wait()).stdout, 'it\n')
    assert.equal(`${out}`, 'it\n')
  })

  test('disconnect leaves it running', async () => {
    const handle = await run('read line; echo $line; exit 4', { background: true, stdin: true })
    await handle.disconnect()
    const again = await context.sandbox.commands.connect(handle.pid)
    await again.sendStdin('again\n')
    await assert.rejects(again.wait(), (error) => {
      assert.equal(error.exitCode, 4)
      assert.equal(error.stdout, 'again\n')
      return true
    })
  })

  test('connect after the end', async () => {
    const handle = await run('exit 5', { background: true })
    await assert.rejects(handle.wait(), CommandExitError)
    const again = await context.sandbox.commands.connect(handle.pid)
    await assert.rejects(again.wait(), (error) => error.exitCode === 5)
  })

  test('connect to an unknown pid', async () => {
    await assert.rejects(context.sandbox.commands.connect(NO_SUCH_PID), NotFoundError)
  })
})

describe('timeout', () => {
  test('too short', async () => {
    const start = Date.now()
    await assert.rejects(run('sleep 30', { timeoutMs: 1000 }), TimeoutError)
    assert.ok(Date.now() - start < 10_000)
  })

  besideTest('ends the process', async () => {
    const handle = await run('exec sleep 30', { timeoutMs: 500, background: true })
    await assert.rejects(handle.wait(), TimeoutError)
    const deadline = Date.now() + 5000
    while (fs.existsSync(`/proc/${handle.pid}`)) {
      assert.ok(Date.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  })

  test('zero is none', async () => {
    assert.equal((await run('sleep 0.3; echo done', { timeoutMs: 0 })).stdout, 'done\n')
  })

  test('an aborted reader leaves the process', async () => {
    const abort = new AbortController()
    const handle = await run('read line; echo $line', {
      background: true,
      stdin: true,
      signal: abort.signal,
    })
    abort.abort()
    await assert.rejects(handle.wait())
    const again = await context.sandbox.commands.connect(handle.pid)
    await again.sendStdin('alive\n')
    assert.equal((await again.wait()).stdout, 'alive\n')
  })
})

describe('stdin', () => {
  test('text, bytes and close', async () => {
    const handle = await run('cat; echo eof', { background: true, stdin: true })
    await context.sandbox.commands.sendStdin(handle.pid, 'Hello, 世界!')
    await handle.sendStdin(new Uint8Array([10, 0, 10]))
    await handle.closeStdin()
    assert.equal((await handle.wait()).stdout, 'Hello, 世界!\n\0\neof\n')
  })

  test('large', async () => {
    const data = crypto.randomBytes(4 << 20)
    const handle = await run('sha256sum', { background: true, stdin: true })
    for (let start = 0; start < data.length; start += 1 << 20) {
      await handle.sendStdin(data.subarray(start, start + (1 << 20)))
    }
    await handle.closeStdin()
    const digest = crypto.createHash('sha256').update(data).digest('hex')
    assert.equal((await handle.wait()).stdout.split(' ')[0], digest)
  })

  test('off is end of file', async () => {
    assert.equal((await run('cat; echo eof')).stdout, 'eof\n')
  })

  test('refused', async () => {
    const handle = await run('sleep 30', { background: true })
    await assert.rejects(handle.sendStdin('x'), SandboxError)
    await assert.rejects(context.sandbox.commands.sendStdin(NO_SUCH_PID, 'x'), NotFoundError)
    await assert.rejects(context.sandbox.commands.closeStdin(NO_SUCH_PID), NotFoundError)
  })
})

describe('options', () => {
  test('envs belong to one command', async () => {
    const envs = { FOO: 'ü b', EMPTY: '' }
    assert.equal((await run('echo $FOO/$EMPTY/', { envs })).stdout, 'ü b//\n')
    assert.equal((await run('echo $FOO')).stdout, '\n')
  })

  test('cwd', async () => {
    assert.equal((await run('pwd', { cwd: '/usr/bin' })).stdout, '/usr/bin\n')
    const home = (await run('echo $HOME')).stdout
    assert.equal((await run('pwd')).stdout, home)
    await assert.rejects(run('pwd', { cwd: '/no/such/directory' }), InvalidArgumentError)
  })

  test('user', async () => {
    const result = await run('id -un; id -Gn; echo $USER', { user: 'user' })
    assert.equal(result.stdout, 'user\nuser crew\nuser\n')
    await assert.rejects(run('true', { user: 'nobody-of-this-name' }), AuthenticationError)
  })
})

describe('many at once', () => {
  test('commands', async () => {
    const results = await Promise.all(range(100).map((i) => run(`echo ${i}; seq 500 | tail -n 1`)))
    assert.deepEqual(results.map((r) => r.stdout), range(100).map((i) => `${i}\n500\n`))
  })

  test('small ones get through beside large output', async () => {
    const big = range(6).map(() => run('seq 300000'))
    for (const i of range(20)) {
      assert.equal((await run(`echo ${i}`)).stdout, `${i}\n`)
    }
    for (const result of await Promise.all(big)) {
      assert.ok(result.stdout === lines(1, 300000))
    }
  })
})

test('is running', async () => {
  assert.equal(await context.sandbox.isRunning(), true)
})

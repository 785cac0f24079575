// SPDX-License-Identifier: Apache-2.0
// Which features work with the JS SDK in the directory that is the first argument: the twin of
// probe.py, with the same names.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const [sdk] = process.argv.slice(2)
const { Sandbox } = await import(pathToFileURL(path.join(sdk, 'dist/index.mjs')))

const MS = 20_000

class Lacks extends Error {}

// The SDK has the method, or the feature is not in this version.
function needs(thing, name) {
  if (typeof thing?.[name] !== 'function') {
    throw new Lacks(name)
  }
}

// An option of a method can't be looked up at run time: the type declarations have it.
const declarations = fs.readFileSync(path.join(sdk, 'dist/index.d.ts'), 'utf8')
function needsOption(name) {
  if (!new RegExp(`\\b${name}\\??:`).test(declarations)) {
    throw new Lacks(name)
  }
}

async function until(condition, what) {
  const deadline = Date.now() + MS
  while (!(await condition())) {
    assert(Date.now() < deadline, `no ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

async function watched(sandbox, directory, change, name, options) {
  const events = []
  const watch = await sandbox.files.watchDir(directory, (e) => { events.push(e) }, options)
  await change()
  await until(() => events.some((e) => e.name === name), 'event')
  await watch.stop()
  return events.filter((e) => e.name === name)
}

const stdin = { stdin: true, background: true }

const FEATURES = {
  'command: output of both pipes': async ({ commands }) => {
    const result = await commands.run('echo out; echo err >&2')
    assert.deepEqual([result.stdout, result.stderr, result.exitCode], ['out\n', 'err\n', 0])
  },
  'command: exit code': async ({ commands }) => {
    await assert.rejects(commands.run('exit 3'), (error) => error.exitCode === 3)
  },
  'command: variables, directory, user': async ({ commands }, directory) => {
    const options = { envs: { A: '1' }, cwd: directory, user: 'root' }
    const result = await commands.run('echo $A; pwd; id -un', options)
    assert.equal(result.stdout, `1\n${directory}\nroot\n`)
  },
  'command: as another user': async ({ commands }) => {
    assert.equal((await commands.run('id -un', { user: 'user' })).stdout, 'user\n')
  },
  'command: deadline': async ({ commands }) => {
    await assert.rejects(commands.run('sleep 60', { timeoutMs: 300 }), { name: 'TimeoutError' })
  },
  'command: in the background, list, kill': async ({ commands }) => {
    const handle = await commands.run('exec sleep 61', { background: true })
    const listed = (await commands.list()).find((p) => p.pid === handle.pid)
    assert.match(listed.args.join(' '), /sleep 61/)
    const ended = assert.rejects(handle.wait())
    assert.equal(await handle.kill(), true)
    await ended
    await until(async () => !(await commands.list()).some((p) => p.pid === handle.pid), 'end')
  },
  'command: input, second reader': async ({ commands }) => {
    const handle = await commands.run('read x; echo got $x', stdin)
    const other = await commands.connect(handle.pid)
    await commands.sendStdin(handle.pid, 'a\n')
    assert.equal((await other.wait()).stdout, 'got a\n')
  },
  'command: end of input': async ({ commands }) => {
    needs(commands, 'closeStdin')
    const handle = await commands.run('cat', stdin)
    await commands.sendStdin(handle.pid, 'text')
    await commands.closeStdin(handle.pid)
    assert.equal((await handle.wait()).stdout, 'text')
  },
  'command: streamed input': async ({ commands }) => {
    needs(commands, 'streamInput')
    const handle = await commands.run('head -c 6', stdin)
    await commands.streamInput(handle.pid, (async function* () { yield 'abc'; yield 'def' })())
    assert.equal((await handle.wait()).stdout, 'abcdef')
  },
  'terminal: create, resize, input': async ({ pty }) => {
    const seen = []
    const onData = (data) => { seen.push(Buffer.from(data)) }
    const handle = await pty.create({ cols: 80, rows: 24, onData })
    await pty.resize(handle.pid, { cols: 100, rows: 30 })
    await pty.sendInput(handle.pid, Buffer.from('stty size; exit\n'))
    await handle.wait()
    assert.match(Buffer.concat(seen).toString(), /30 100/)
  },
  'files: write, read, text and bytes': async ({ files }, directory) => {
    await files.write(`${directory}/f`, 'text 世界')
    assert.equal(await files.read(`${directory}/f`), 'text 世界')
    const bytes = new Uint8Array(2000).fill(255)
    await files.write(`${directory}/f`, bytes.buffer)
    assert.deepEqual(new Uint8Array(await files.read(`${directory}/f`, { format: 'bytes' })), bytes)
  },
  'files: write several': async ({ files }, directory) => {
    if (!/write\(files: /.test(declarations)) {
      throw new Lacks()
    }
    await files.write([0, 1, 2].map((i) => ({ path: `${directory}/m${i}`, data: `${i}` })))
    assert.equal(await files.read(`${directory}/m2`), '2')
  },
  'files: read as a stream': async ({ files }, directory) => {
    await files.write(`${directory}/s`, 'x'.repeat(200_000))
    let length = 0
    for await (const chunk of await files.read(`${directory}/s`, { format: 'stream' })) {
      length += chunk.length
    }
    assert.equal(length, 200_000)
  },
  'files: upload as octet stream': async ({ files }, directory) => {
    needsOption('useOctetStream')
    await files.write(`${directory}/o`, 'x'.repeat(100_000), { useOctetStream: true })
    assert.equal(fs.statSync(`${directory}/o`).size, 100_000)
  },
  'files: metadata': async ({ files }, directory) => {
    needs(files, 'getInfo')
    needsOption('metadata')
    if (!/interface FilesystemWriteOpts[^}]*metadata\?/.test(declarations)) {
      throw new Lacks()
    }
    await files.write(`${directory}/meta`, 'x', { metadata: { author: 'me' } })
    assert.deepEqual({ ...(await files.getInfo(`${directory}/meta`)).metadata }, { author: 'me' })
  },
  'files: directories, rename, remove': async ({ files }, directory) => {
    assert.equal(await files.makeDir(`${directory}/d/e`), true)
    await files.write(`${directory}/d/f`, 'x')
    assert.deepEqual((await files.list(`${directory}/d`)).map((e) => e.name).sort(), ['e', 'f'])
    await files.rename(`${directory}/d/f`, `${directory}/d/g`)
    assert.equal(await files.exists(`${directory}/d/g`), true)
    assert.equal(await files.exists(`${directory}/d/f`), false)
    await files.remove(`${directory}/d`)
    assert.equal(await files.exists(`${directory}/d`), false)
  },
  'files: list to a depth': async ({ files }, directory) => {
    needsOption('depth')
    fs.mkdirSync(`${directory}/deep/e/f`, { recursive: true })
    assert.equal((await files.list(`${directory}/deep`, { depth: 2 })).length, 2)
  },
  'files: info, symbolic link': async ({ files }, directory) => {
    needs(files, 'getInfo')
    await files.write(`${directory}/i`, 'four')
    fs.symlinkSync('i', `${directory}/link`)
    assert.equal((await files.getInfo(`${directory}/i`)).size, 4)
    assert.equal((await files.getInfo(`${directory}/link`)).symlinkTarget, `${directory}/i`)
  },
  'files: URL': async (sandbox, directory) => {
    needs(sandbox, 'downloadUrl')
    await sandbox.files.write(`${directory}/u`, 'x')
    const answer = await fetch(await sandbox.downloadUrl(`${directory}/u`))
    assert.equal(await answer.text(), 'x')
  },
  'watch: a directory': async (sandbox, directory) => {
    await sandbox.files.makeDir(`${directory}/w`)
    await watched(sandbox, `${directory}/w`, () => sandbox.files.write(`${directory}/w/f`, 'x'), 'f')
  },
  'watch: a tree': async (sandbox, directory) => {
    needsOption('recursive')
    await sandbox.files.makeDir(`${directory}/r/sub`)
    await watched(sandbox, `${directory}/r`,
      () => sandbox.files.write(`${directory}/r/sub/f`, 'x'), 'sub/f', { recursive: true })
  },
  'watch: with entries': async (sandbox, directory) => {
    needsOption('includeEntry')
    await sandbox.files.makeDir(`${directory}/we`)
    const events = await watched(sandbox, `${directory}/we`,
      () => sandbox.files.write(`${directory}/we/f`, 'x'), 'f', { includeEntry: true })
    assert(events.some((e) => e.entry?.name === 'f'), JSON.stringify(events))
  },
  'watch: network mounts': async (sandbox, directory) => {
    needsOption('allowNetworkMounts')
    await sandbox.files.makeDir(`${directory}/wn`)
    await watched(sandbox, `${directory}/wn`,
      () => sandbox.files.write(`${directory}/wn/f`, 'x'), 'f', { allowNetworkMounts: true })
  },
  'git': async (sandbox, directory) => {
    needs(sandbox.git, 'init')
    await sandbox.git.init(`${directory}/repository`)
    assert(fs.existsSync(`${directory}/repository/.git`))
  },
  'sandbox: is it running': async (sandbox) => {
    assert.equal(await sandbox.isRunning(), true)
  },
}

const sandbox = await Sandbox.create(process.env.E2B_DEBUG ? { debug: true } : {})
const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'envd-probe-'))
fs.chmodSync(directory, 0o777) // old SDKs work as the user `user`
const results = {}
for (const [name, feature] of Object.entries(FEATURES)) {
  try {
    await feature(sandbox, directory)
    results[name] = 'yes'
  } catch (error) {
    const tooOld = error.name === 'TemplateError' || /rebuild/.test(error.message)
    results[name] = error instanceof Lacks ? '-' : tooOld ? 'refused' : `${error.name}: ${error.message}`
  }
}
fs.rmSync(directory, { recursive: true })
console.log(JSON.stringify(results))
process.exit(0)

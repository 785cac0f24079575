// SPDX-License-Identifier: Apache-2.0
// Watches through the JavaScript SDK.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'

import {
  FileNotFoundError,
  FilesystemEventType,
  FileType,
  InvalidArgumentError,
  TimeoutError,
} from 'e2b'

import { useDirectory, useSandbox } from './helper.mjs'

const { CREATE, WRITE, REMOVE, RENAME, CHMOD } = FilesystemEventType
const context = useSandbox()
let files, dir

useDirectory('envd watch ', (directory) => {
  files = context.sandbox.files
  dir = directory
})

// A callback that collects events, and lets a test wait for one.
class Events {
  constructor() {
    this.all = []
    this.exits = []
    this.collect = (event) => {
      this.all.push(event)
      this.wake?.()
    }
    this.onExit = (error) => {
      this.exits.push(error)
      this.wake?.()
    }
  }

  async until(condition, ms = 30_000) {
    const deadline = AbortSignal.timeout(ms)
    while (!condition()) {
      await new Promise((resolve, reject) => {
        this.wake = resolve
        deadline.onabort = () => reject(new Error(`not in ${JSON.stringify(this.all.slice(-20))}`))
      })
    }
  }

  expect(type, name) {
    return this.until(() => this.all.some((e) => e.type === type && e.name === name))
  }

  get pairs() {
    return this.all.map((e) => [e.type, e.name])
  }
}

test('an upload, a move, a removal', async () => {
  const events = new Events()
  const handle = await files.watchDir(dir, events.collect, { onExit: events.onExit })
  await files.write(`${dir}/a`, 'one')
  await files.rename(`${dir}/a`, `${dir}/b`)
  await files.remove(`${dir}/b`)
  await events.expect(REMOVE, 'b')
  assert.deepEqual(events.pairs, [
    [CREATE, 'a'], [CHMOD, 'a'], [WRITE, 'a'], [RENAME, 'a'], [CREATE, 'b'], [REMOVE, 'b'],
  ])
  await handle.stop()
  await events.until(() => events.exits.length > 0)
  fs.writeFileSync(`${dir}/c`, '')
  assert.equal(events.all.length, 6)
})

test('recursive', async () => {
  const flat = new Events()
  const tree = new Events()
  fs.mkdirSync(`${dir}/old`)
  const handles = [
    await files.watchDir(dir, flat.collect),
    await files.watchDir(dir, tree.collect, { recursive: true }),
  ]
  await files.makeDir(`${dir}/new`)
  await files.write(`${dir}/old/a`, 'x')
  await tree.expect(WRITE, 'old/a')
  await files.write(`${dir}/new/a`, 'x')
  await tree.expect(WRITE, 'new/a')
  fs.writeFileSync(`${dir}/last`, '')
  await flat.expect(CREATE, 'last')
  assert.deepEqual(flat.pairs, [[CREATE, 'new'], [CHMOD, 'new'], [CREATE, 'last']])
  for (const handle of handles) await handle.stop()
})

test('entries', async () => {
  const events = new Events()
  const handle = await files.watchDir(dir, events.collect, { includeEntry: true })
  await files.write(`${dir}/a`, 'hello', { user: 'user' })
  await files.remove(`${dir}/a`)
  await events.expect(REMOVE, 'a')
  const entry = events.all.find((e) => e.entry)?.entry
  assert.equal(entry.path, `${dir}/a`)
  assert.equal(entry.type, FileType.FILE)
  assert.equal(events.all.at(-1).entry, undefined)
  await handle.stop()
})

test('ten thousand files', async () => {
  const events = new Events()
  const handle = await files.watchDir(dir, events.collect)
  for (let i = 0; i < 10_000; i++) fs.closeSync(fs.openSync(`${dir}/${i}`, 'w'))
  await events.expect(CREATE, '9999')
  assert.deepEqual(new Set(events.all.map((e) => e.name)).size, 10_000)
  await handle.stop()
})

test('names', async () => {
  const names = ['ü 世界 🦊', 'with space', '-rf', 'new\nline', 'quote"', 'n'.repeat(255)]
  const events = new Events()
  const handle = await files.watchDir(dir, events.collect)
  for (const name of names) fs.mkdirSync(path.join(dir, name))
  await events.expect(CREATE, names.at(-1))
  assert.deepEqual(events.all.map((e) => e.name), names)
  await handle.stop()
})

test('the timeout ends it', async () => {
  const events = new Events()
  await files.watchDir(dir, events.collect, { timeoutMs: 1000, onExit: events.onExit })
  await events.until(() => events.exits.length > 0)
  assert.ok(events.exits[0] instanceof TimeoutError)
})

test('a timeout of zero is none', async () => {
  const events = new Events()
  const options = { timeoutMs: 0, requestTimeoutMs: 1000 }
  const handle = await files.watchDir(dir, events.collect, options)
  await new Promise((resolve) => setTimeout(resolve, 1500))
  fs.mkdirSync(`${dir}/d`)
  await events.expect(CREATE, 'd')
  await handle.stop()
})

test('refusals', async () => {
  fs.writeFileSync(`${dir}/file`, '')
  await assert.rejects(files.watchDir(`${dir}/absent`, () => {}), FileNotFoundError)
  await assert.rejects(files.watchDir(`${dir}/file`, () => {}), InvalidArgumentError)
})

test('many at once', async () => {
  const all = Array.from({ length: 40 }, () => new Events())
  const handles = await Promise.all(all.map((events) => files.watchDir(dir, events.collect)))
  await files.write(`${dir}/a`, 'x')
  await Promise.all(all.map((events) => events.expect(WRITE, 'a')))
  await Promise.all(handles.map((handle) => handle.stop()))
})

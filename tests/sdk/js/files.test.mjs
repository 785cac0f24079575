// SPDX-License-Identifier: Apache-2.0
// Files through the JavaScript SDK.

import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'

import {
  AuthenticationError,
  FileNotFoundError,
  FileType,
  InvalidArgumentError,
  SandboxError,
} from 'e2b'

import { useDirectory, useSandbox } from './helper.mjs'

const MEBIBYTE = 1 << 20
const context = useSandbox()
let files, dir

useDirectory('envd files ', (directory) => {
  files = context.sandbox.files
  dir = directory
})

// The three ways in which the SDK can send a file.
const WAYS = { multipart: {}, 'octet-stream': { useOctetStream: true }, gzip: { gzip: true } }
const ways = Object.entries(WAYS)

const read = (name) => fs.readFileSync(path.join(dir, name))
const arrayBuffer = (data) => data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength)

function streamOf(data, size = 100_000) {
  let at = 0
  return new ReadableStream({
    pull(controller) {
      if (at >= data.length) return controller.close()
      controller.enqueue(new Uint8Array(data.subarray(at, at + size)))
      at += size
    },
  })
}

async function collect(stream) {
  const chunks = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}

describe('read', () => {
  for (const gzip of [false, true]) {
    const name = gzip ? ', gzip' : ''

    test(`text${name}`, async () => {
      const text = 'Grüße, 世界! 🦊\n'.repeat(50_000)
      fs.writeFileSync(`${dir}/f.txt`, text)
      assert.equal(await files.read(`${dir}/f.txt`, { gzip }), text)
    })

    test(`bytes${name}`, async () => {
      const data = crypto.randomBytes(3 * MEBIBYTE)
      fs.writeFileSync(`${dir}/f`, data)
      const bytes = await files.read(`${dir}/f`, { format: 'bytes', gzip })
      assert.ok(bytes instanceof Uint8Array)
      assert.ok(data.equals(bytes))
    })

    test(`blob${name}`, async () => {
      const data = crypto.randomBytes(3 * MEBIBYTE)
      fs.writeFileSync(`${dir}/f`, data)
      const blob = await files.read(`${dir}/f`, { format: 'blob', gzip })
      assert.ok(data.equals(Buffer.from(await blob.arrayBuffer())))
    })

    test(`stream${name}`, async () => {
      const data = Buffer.concat([crypto.randomBytes(9 * MEBIBYTE), Buffer.alloc(MEBIBYTE)])
      fs.writeFileSync(`${dir}/f`, data)
      const stream = await files.read(`${dir}/f`, { format: 'stream', gzip })
      assert.ok(data.equals(await collect(stream)))
    })
  }

  test('an empty file, in every format', async () => {
    fs.writeFileSync(`${dir}/f`, '')
    assert.equal(await files.read(`${dir}/f`), '')
    assert.equal((await files.read(`${dir}/f`, { format: 'bytes' })).length, 0)
    assert.equal((await files.read(`${dir}/f`, { format: 'blob' })).size, 0)
    assert.equal((await collect(await files.read(`${dir}/f`, { format: 'stream' }))).length, 0)
  })

  test('a stream that is given up', async () => {
    fs.writeFileSync(`${dir}/f`, Buffer.alloc(64 * MEBIBYTE, 'x'))
    const stream = await files.read(`${dir}/f`, { format: 'stream' })
    const reader = stream.getReader()
    assert.equal((await reader.read()).value[0], 0x78)
    await reader.cancel()
    assert.equal(await files.exists(`${dir}/f`), true)
  })

  test('refusals', async () => {
    for (const format of ['text', 'bytes', 'blob', 'stream']) {
      await assert.rejects(files.read(`${dir}/absent`, { format }), FileNotFoundError)
    }
    await assert.rejects(files.read(dir), InvalidArgumentError)
    await assert.rejects(files.read('~root/f'), InvalidArgumentError)
    await assert.rejects(files.read('f', { user: 'nobody-of-this-name' }), AuthenticationError)
  })
})

describe('write', () => {
  const data = crypto.randomBytes(2 * MEBIBYTE + 13)
  const kinds = {
    string: ['Grüße, 世界! 🦊\n', Buffer.from('Grüße, 世界! 🦊\n')],
    empty: ['', Buffer.alloc(0)],
    ArrayBuffer: [arrayBuffer(data), data],
    Blob: [new Blob([data]), data],
    ReadableStream: [() => streamOf(data), data],
  }
  for (const [way, options] of ways) {
    for (const [kind, [content, expected]] of Object.entries(kinds)) {
      test(`${kind} by ${way}`, async () => {
        const body = typeof content === 'function' ? content() : content
        const info = await files.write(`${dir}/a/f`, body, options)
        assert.equal(info.path, `${dir}/a/f`)
        assert.equal(info.name, 'f')
        assert.equal(info.type, FileType.FILE)
        assert.ok(expected.equals(read('a/f')))
      })
    }

    test(`many by ${way}`, async () => {
      const entries = Array.from({ length: 60 }, (_, i) => ({
        path: `${dir}/${i % 7}/${i}`,
        data: String(i).repeat(i),
      }))
      const infos = await files.write(entries, options)
      assert.deepEqual(infos.map((info) => info.path), entries.map((entry) => entry.path))
      for (const entry of entries) {
        assert.equal(fs.readFileSync(entry.path, 'utf8'), entry.data)
      }
      assert.equal((await files.writeFiles(entries.slice(0, 2), options)).length, 2)
    })

    test(`owner, mode and overwriting by ${way}`, async () => {
      await files.write(`${dir}/f`, 'a long text at first', { ...options, user: 'user' })
      let stat = fs.statSync(`${dir}/f`)
      assert.deepEqual([stat.uid, stat.mode & 0o7777], [1000, 0o644])
      fs.chmodSync(`${dir}/f`, 0o600)
      await files.write(`${dir}/f`, 'short', options)
      const now = fs.statSync(`${dir}/f`)
      assert.deepEqual([now.ino, now.uid, now.mode & 0o7777], [stat.ino, 0, 0o600])
      assert.equal(read('f').toString(), 'short')
    })

    test(`metadata by ${way}`, async () => {
      const metadata = { Key: 'a value', empty: '' }
      const expected = { key: 'a value', empty: '' }
      const info = await files.write(`${dir}/f`, 'x', { ...options, metadata })
      assert.deepEqual(info.metadata, expected)
      assert.deepEqual((await files.getInfo(`${dir}/f`)).metadata, expected)
      assert.deepEqual((await files.list(dir))[0].metadata, expected)
      await files.write(`${dir}/f`, 'x', options)
      assert.equal((await files.getInfo(`${dir}/f`)).metadata, undefined)
    })

    test(`refusals by ${way}`, async () => {
      const nobody = { ...options, user: 'nobody-of-this-name' }
      await assert.rejects(files.write(dir, 'x', options), InvalidArgumentError)
      await assert.rejects(files.write(`${dir}/f`, 'x', nobody), AuthenticationError)
      fs.writeFileSync(`${dir}/file`, '')
      await assert.rejects(files.write(`${dir}/file/below`, 'x', options), SandboxError)
    })
  }

  test('none', async () => {
    assert.deepEqual(await files.write([]), [])
  })

  test('at once', async () => {
    const one = async (i) => {
      const content = crypto.randomBytes(MEBIBYTE / 2)
      await files.write(`${dir}/${i}`, arrayBuffer(content), ways[i % 3][1])
      return content.equals(await files.read(`${dir}/${i}`, { format: 'bytes' }))
    }
    const results = await Promise.all(Array.from({ length: 40 }, (_, i) => one(i)))
    assert.ok(results.every(Boolean))
  })

  test('40 MiB', async () => {
    const content = Buffer.alloc(40 * MEBIBYTE, crypto.randomBytes(MEBIBYTE))
    for (const [way, options] of ways) {
      await files.write(`${dir}/${way}`, streamOf(content, MEBIBYTE), options)
      assert.ok(content.equals(read(way)))
    }
  })
})

describe('entries', () => {
  test('make, list, look, rename, remove', async () => {
    assert.equal(await files.makeDir(`${dir}/d/e`, { user: 'user' }), true)
    assert.equal(await files.makeDir(`${dir}/d/e`, { user: 'user' }), false)
    await files.write(`${dir}/d/f`, '12345')
    fs.symlinkSync('d/f', `${dir}/link`)
    const entries = await files.list(dir, { depth: 2 })
    assert.deepEqual(entries.map(({ name, type }) => [name, type]), [
      ['d', FileType.DIR],
      ['e', FileType.DIR],
      ['f', FileType.FILE],
      ['link', FileType.FILE],
    ])
    assert.deepEqual([entries[1].owner, entries[1].mode], ['user', 0o755])
    assert.equal(entries[2].size, 5)
    assert.equal(entries[3].symlinkTarget, `${dir}/d/f`)

    const info = await files.getInfo(`${dir}/d/f`)
    assert.equal(info.permissions, '-rw-r--r--')
    assert.equal(info.modifiedTime.getTime(), Math.trunc(fs.statSync(`${dir}/d/f`).mtimeMs))
    const renamed = await files.rename(`${dir}/d/f`, `${dir}/x/y/g`)
    assert.deepEqual([renamed.name, renamed.path], ['g', `${dir}/x/y/g`])
    assert.equal(await files.exists(`${dir}/d/f`), false)
    assert.equal(await files.exists(`${dir}/x/y/g`), true)
    await files.remove(`${dir}/x`)
    await files.remove(`${dir}/x`)
    // The SDK leaves out a link that leads nowhere.
    assert.deepEqual((await files.list(dir)).map((entry) => entry.name), ['d'])
  })

  test('refusals', async () => {
    fs.writeFileSync(`${dir}/file`, '')
    await assert.rejects(files.list(`${dir}/absent`), FileNotFoundError)
    await assert.rejects(files.getInfo(`${dir}/absent`), FileNotFoundError)
    await assert.rejects(files.rename(`${dir}/absent`, `${dir}/x`), FileNotFoundError)
    await assert.rejects(files.list(`${dir}/file`), InvalidArgumentError)
    await assert.rejects(files.makeDir(`${dir}/file`), InvalidArgumentError)
  })

  for (const name of [
    'with space', "quo'te", 'percent%41%', 'plus+and&and=and?and#', 'ünïcödé 世界 🦊', 'n'.repeat(255),
    'new\nline', 'dou"ble', 'back\\slash',
  ]) {
    test(`name ${JSON.stringify(name.slice(0, 30))}`, async () => {
      const file = `${dir}/${name}`
      for (const [, options] of ways) {
        const info = await files.write(file, 'content', options)
        assert.deepEqual([info.name, info.path], [name, file])
      }
      assert.deepEqual(fs.readdirSync(dir), [name])
      assert.equal(await files.read(file), 'content')
      assert.equal((await files.getInfo(file)).name, name)
      assert.equal((await files.list(dir))[0].path, file)
      assert.equal((await files.rename(file, `${dir}/d/${name}`)).name, name)
      await files.remove(`${dir}/d/${name}`)
      assert.deepEqual(fs.readdirSync(`${dir}/d`), [])
    })
  }
})

describe('URLs', () => {
  test('download', async () => {
    const name = 'with space & ? # % + 世界'
    fs.writeFileSync(`${dir}/${name}`, 'content')
    const answer = await fetch(await context.sandbox.downloadUrl(`${dir}/${name}`))
    assert.deepEqual([answer.status, await answer.text()], [200, 'content'])
  })

  test('upload', async () => {
    const form = new FormData()
    form.append('file', new Blob(['content']), 'ignored')
    const url = await context.sandbox.uploadUrl(`${dir}/f`)
    const answer = await fetch(url, { method: 'POST', body: form })
    assert.equal(answer.status, 200)
    assert.equal(read('f').toString(), 'content')
  })

  test('upload by the names in the form', async () => {
    const form = new FormData()
    for (const name of ['a', 'b']) form.append('file', new Blob([name]), `${dir}/x/${name}`)
    const answer = await fetch(await context.sandbox.uploadUrl(), { method: 'POST', body: form })
    assert.deepEqual((await answer.json()).map((info) => info.path), [`${dir}/x/a`, `${dir}/x/b`])
    assert.equal(read('x/b').toString(), 'b')
  })
})

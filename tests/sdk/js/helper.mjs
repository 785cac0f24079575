// SPDX-License-Identifier: Apache-2.0
// What the tests share. The daemon is already serving when they run (daemon.py).

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, afterEach, before, beforeEach, test } from 'node:test'

import { Sandbox } from 'e2b'

// Above the kernel's PID_MAX_LIMIT.
export const NO_SUCH_PID = 4194304 + 1

// For a test that looks at the daemon's machine without asking the daemon: left out where the
// daemon is in a guest (daemon.py).
export const besideTest = process.env.ENVD_GUEST ? () => {} : test

// For a file of tests: the SDK's sandbox as `context.sandbox`; what a test left running is killed
// after it.
export function useSandbox() {
  const context = {}
  before(async () => {
    context.sandbox = await Sandbox.create()
  })
  afterEach(async () => {
    const { commands } = context.sandbox
    for (const { pid } of await commands.list()) {
      await commands.kill(pid)
    }
    // A process that was told to end is listed until it has.
    while ((await commands.list()).length > 0) {
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  })
  after(() => context.sandbox.kill())
  return context
}

// For a file of tests: calls back before each with a new directory, whose name begins with `prefix`.
export function useDirectory(prefix, callback) {
  const world = fs.mkdtempSync(path.join(os.tmpdir(), prefix))
  beforeEach(() => callback(fs.mkdtempSync(path.join(world, 'test-'))))
  after(() => fs.rmSync(world, { recursive: true }))
}

// A callback that collects chunks, and lets a test wait for what it expects in them.
export class Output {
  constructor() {
    this.chunks = []
    this.collect = this.collect.bind(this)
  }

  collect(chunk) {
    this.chunks.push(Buffer.from(chunk))
    this.wake?.()
  }

  toString() {
    return Buffer.concat(this.chunks).toString()
  }

  async expect(text, ms = 30_000) {
    const deadline = AbortSignal.timeout(ms)
    while (!this.toString().includes(text)) {
      await new Promise((resolve, reject) => {
        this.wake = resolve
        deadline.onabort = () => reject(new Error(`no ${JSON.stringify(text)} in ${this}`))
      })
    }
  }
}

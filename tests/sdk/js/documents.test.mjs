// SPDX-License-Identifier: Apache-2.0
// The JavaScript examples of the documents, run as printed. Each checks its own result.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'

import { useSandbox } from './helper.mjs'

useSandbox()

// The tests run in the top directory of the project.
const examples = []
for (const name of fs.readdirSync('docs').filter((file) => file.endsWith('.md'))) {
  const text = fs.readFileSync(path.join('docs', name), 'utf8')
  for (const block of text.matchAll(/^```js\n(.*?)^```$/gms)) {
    examples.push({ name: `${name}, example ${examples.length + 1}`, code: block[1] })
  }
}

for (const { name, code } of examples) {
  test(name, async () => {
    // Beside the SDK, which it imports by name.
    const folder = fs.mkdtempSync(path.resolve('build/tools/npm/example-'))
    try {
      fs.writeFileSync(`${folder}/example.mjs`, code)
      await import(`${folder}/example.mjs`)
    } finally {
      fs.rmSync(folder, { recursive: true })
    }
  })
}

test('there are examples', () => assert.ok(examples.length > 0))

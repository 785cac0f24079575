// SPDX-License-Identifier: Apache-2.0
// A reporter for node --test that prints what failed, and at the end how many passed.
import { inspect } from 'node:util'

export default async function* failures(events) {
	let passed = 0
	let failed = 0
	for await (const { type, data } of events) {
		if (type === 'test:stderr' || type === 'test:stdout') yield data.message
		if (type === 'test:pass' && data.details.type !== 'suite') passed++
		if (type !== 'test:fail' || data.details.error.failureType === 'subtestsFailed') continue
		failed++
		const cause = data.details.error.cause ?? data.details.error
		yield `FAILED ${data.name} (${data.file}:${data.line})\n${inspect(cause)}\n`
	}
	yield `node: ${passed} passed, ${failed} failed\n`
}

// SPDX-License-Identifier: Apache-2.0
// The JavaScript SDK's git module against a bare repository.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, afterEach, beforeEach, test } from 'node:test'

import { CommandExitError, GitUpstreamError, InvalidArgumentError } from 'e2b'

import { useSandbox } from './helper.mjs'

const AUTHOR = { authorName: 'A. "U" Thor', authorEmail: 'author@example.com' }
const context = useSandbox()
const world = fs.mkdtempSync(path.join(os.tmpdir(), 'envd git '))
let git, dir, bare, work

const log = (repository, format = '%s', ref = 'HEAD') =>
  execFileSync('git', ['-C', repository, 'log', `--format=${format}`, ref]).toString().trim().split('\n')
const read = (file) => fs.readFileSync(file, 'utf8')

// A bare repository, and a clone of it with one commit, which was pushed.
beforeEach(async () => {
  git = context.sandbox.git
  dir = fs.mkdtempSync(path.join(world, 'test-'))
  bare = `${dir}/bare.git`
  work = `${dir}/work`
  await git.init(bare, { bare: true, initialBranch: 'main' })
  await git.clone(bare, { path: work })
  fs.writeFileSync(`${work}/README.md`, 'first\n')
  await git.add(work)
  await git.commit(work, 'First', AUTHOR)
  await git.push(work, { remote: 'origin', branch: 'main' })
})
afterEach(async () => {
  await context.sandbox.commands.run('rm -f ~/.gitconfig ~/.git-credentials')
})
after(() => fs.rmSync(world, { recursive: true }))

test('clone, push, pull', async () => {
  assert.deepEqual(log(bare, '%s %an <%ae>'), ['First A. "U" Thor <author@example.com>'])
  const other = `${dir}/other clone`
  await git.clone(`file://${bare}`, { path: other, branch: 'main', depth: 1 })
  await git.commit(other, "It's \"quoted\" $HOME `id` 世界", { ...AUTHOR, allowEmpty: true })
  await git.push(other)
  await git.pull(work)
  assert.equal(log(work)[0], "It's \"quoted\" $HOME `id` 世界")
  await git.createBranch(work, 'topic')
  await assert.rejects(git.push(work), GitUpstreamError)
  await assert.rejects(git.pull(work), GitUpstreamError)
  await git.push(work, { remote: 'origin', branch: 'topic', setUpstream: true })
  assert.equal((await git.status(work)).upstream, 'origin/topic')
  await assert.rejects(git.clone(`${dir}/absent`, { path: `${dir}/x` }), CommandExitError)
  await assert.rejects(git.push(work, { password: 'secret' }), InvalidArgumentError)
})

test('remotes', async () => {
  assert.equal(await git.remoteGet(work, 'origin'), bare)
  assert.equal(await git.remoteGet(work, 'other'), undefined)
  await git.remoteAdd(work, 'other', 'https://example.com/x.git')
  await assert.rejects(git.remoteAdd(work, 'other', bare), CommandExitError)
  await git.remoteAdd(work, 'other', bare, { overwrite: true, fetch: true })
  assert.deepEqual(log(work, '%s', 'other/main'), ['First'])
})

test('status, add, restore, reset', async () => {
  fs.writeFileSync(`${work}/README.md`, 'changed\n')
  fs.writeFileSync(`${work}/sp ace 世界`, 'new\n')
  let status = await git.status(work)
  assert.deepEqual([status.currentBranch, status.ahead, status.behind], ['main', 0, 0])
  assert.deepEqual(status.fileStatus.map((file) => file.status), ['modified', 'untracked'])
  await git.add(work, { files: ['sp ace 世界'] })
  assert.equal((await git.status(work)).stagedCount, 1)
  await git.reset(work, { paths: ['sp ace 世界'] })
  assert.equal((await git.status(work)).stagedCount, 0)
  await git.restore(work, { paths: ['README.md'] })
  assert.equal(read(`${work}/README.md`), 'first\n')
  await git.add(work)
  await git.commit(work, 'Second', AUTHOR)
  await git.reset(work, { mode: 'hard', target: 'HEAD~1' })
  assert.deepEqual(log(work), ['First'])
  status = await git.status(work)
  assert.equal(status.isClean, true)
})

test('branches', async () => {
  await git.createBranch(work, 'feature/世界')
  const { branches, currentBranch } = await git.branches(work)
  assert.deepEqual([branches, currentBranch], [['feature/世界', 'main'], 'feature/世界'])
  await git.commit(work, 'On a branch', { ...AUTHOR, allowEmpty: true })
  await git.checkoutBranch(work, 'main')
  await assert.rejects(git.deleteBranch(work, 'feature/世界'), CommandExitError)
  await git.deleteBranch(work, 'feature/世界', { force: true })
  assert.deepEqual((await git.branches(work)).branches, ['main'])
})

test('settings and credentials', async () => {
  await git.setConfig('core.editor', "a 'strange' \"editor\" $x")
  assert.equal(await git.getConfig('core.editor'), "a 'strange' \"editor\" $x")
  assert.equal(await git.getConfig('no.such'), undefined)
  await git.configureUser('Ü. Ser', 'user@example.com', { scope: 'local', path: work })
  await git.commit(work, 'As configured', { allowEmpty: true })
  assert.equal(log(work, '%an <%ae>')[0], 'Ü. Ser <user@example.com>')
  await git.dangerouslyAuthenticate({ username: 'me', password: "p'ss", host: 'git.example.com' })
  assert.equal(
    await context.sandbox.files.read('~/.git-credentials'),
    'https://me:p%27ss@git.example.com\n'
  )
})

// Files from templates: swapped in whole, checked before, put back when the check or the reload fails. With real files and programs.
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { CommandConfig, TemplateFile } from '../../../src/automation/config/sync-config.js'
import type { Applied, DriverError } from '../../../src/automation/drivers/driver.js'
import { type OwedReload, TemplateDriver } from '../../../src/automation/drivers/template-driver.js'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'outrigger-sync-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const world = { env: () => undefined, readFile: (path: string) => readFileSync(path, 'utf8'), wallNow: () => 0 }
const answers = { answer: () => [], wants() {} }
const sh = (command: string): CommandConfig => ({ words: [command], shell: true, timeoutMs: 5_000 })
const program = (...words: string[]): CommandConfig => ({ words, shell: false, timeoutMs: 5_000 })

function fileOf(name: string, text: string, more: Partial<TemplateFile> = {}): TemplateFile {
  return {
    template: { text, name, left: '{{', right: '}}', missingKeyFails: false },
    destination: join(dir, name),
    check: null,
    backup: false,
    createFolders: true,
    ...more,
  }
}

/** What outlives the process. */
function memory(isOwed = false): OwedReload {
  return { isOwed: () => isOwed, set: owed => void (isOwed = owed) }
}

function apply(
  files: TemplateFile[],
  reload: CommandConfig | null = null,
  signal = new AbortController().signal,
  owed = memory(),
): Promise<Applied> {
  const driver = new TemplateDriver({ kind: 'template', files, reload }, world, { PATH: process.env['PATH'] }, owed)
  return driver.prepare(answers).apply({ signal, idempotencyKey: '', trigger: '' })
}

const failureOf = (applied: Promise<Applied>): Promise<DriverError> =>
  applied.then(
    () => expect.fail('it went well'),
    (error: DriverError) => error,
  )
const read = (name: string): string => readFileSync(join(dir, name), 'utf8')

it('writes what is new, in a folder that is made, and touches nothing that is as wanted', async () => {
  const file = fileOf('sub/a.conf', 'x{{ 1 }}', { mode: 0o640 })
  expect(await apply([file], sh(`echo reloaded >> ${dir}/log`))).toMatchObject({ changed: true, files: [{ before: '' }] })
  expect([read('sub/a.conf'), statSync(join(dir, 'sub/a.conf')).mode & 0o777, read('log')]).toEqual(['x1', 0o640, 'reloaded\n'])
  const { ino } = statSync(join(dir, 'sub/a.conf'))
  expect(await apply([file], sh(`echo reloaded >> ${dir}/log`))).toMatchObject({ changed: false })
  expect([statSync(join(dir, 'sub/a.conf')).ino, read('log')]).toEqual([ino, 'reloaded\n'])
})

it('keeps the mode of the file that is there, and changes it where another is asked', async () => {
  writeFileSync(join(dir, 'a'), 'old')
  chmodSync(join(dir, 'a'), 0o604)
  await apply([fileOf('a', 'new')])
  expect(statSync(join(dir, 'a')).mode & 0o777).toBe(0o604)
  expect(await apply([fileOf('a', 'new', { mode: 0o600 })])).toMatchObject({ changed: true })
  expect(statSync(join(dir, 'a')).mode & 0o777).toBe(0o600)
})

it('keeps the old content beside it where that is asked', async () => {
  writeFileSync(join(dir, 'a'), 'old')
  await apply([fileOf('a', 'new', { backup: true })])
  expect([read('a'), read('a.bak')]).toEqual(['new', 'old'])
})

it('checks the candidate by its own path before anything has changed', async () => {
  writeFileSync(join(dir, 'a'), 'old')
  writeFileSync(join(dir, 'b'), 'old')
  const failure = await failureOf(
    apply(
      [
        fileOf('a', 'good', { check: program('grep', '-q', 'good', '{file}') }),
        fileOf('b', 'bad', { check: program('grep', 'good', '{file}') }),
      ],
      sh(`touch ${dir}/reloaded`),
    ),
  )
  expect(failure.message).toBe('check grep: exit code 1')
  expect(failure.rolledBack).toBe(false)
  expect([read('a'), read('b'), existsSync(join(dir, 'reloaded'))]).toEqual(['old', 'old', false])
  expect(readdirSync(dir).sort()).toEqual(['a', 'b'])
})

it('puts all files back and reloads again when the reload fails', async () => {
  writeFileSync(join(dir, 'a'), 'old')
  const reload = sh(`cat ${dir}/a >> ${dir}/log; echo oops; grep -q old ${dir}/a`)
  const failure = await failureOf(apply([fileOf('a', 'new'), fileOf('fresh', 'x')], reload))
  expect(failure).toMatchObject({ rolledBack: true, output: expect.stringContaining('oops') })
  expect(failure.message).toMatch(/^reload .*: exit code 1: oops: the old files are back$/)
  expect([read('a'), existsSync(join(dir, 'fresh')), read('log')]).toEqual(['old', false, 'newold'])
})

it('names a program that is not there, and ends one that hangs', async () => {
  expect((await failureOf(apply([fileOf('a', 'x', { check: program('no-such-program') })]))).message).toBe(
    'check no-such-program: no such program',
  )
  const slow = { ...sh('sleep 60'), timeoutMs: 50 }
  expect((await failureOf(apply([fileOf('a', 'x', { check: slow })]))).message).toBe('check sleep 60: did not end within 0.05 s')
  expect(existsSync(join(dir, 'a'))).toBe(false)
})

it('what a program has started gets the time to end too, and is waited for', async () => {
  const child = `(trap "sleep 0.6; touch ${dir}/ended; exit" TERM; touch ${dir}/ready; while :; do sleep 0.02; done) > /dev/null 2>&1 &`
  const stop = new AbortController()
  const applied = failureOf(apply([fileOf('a', 'x', { check: sh(`${child} wait`) })], null, stop.signal))
  while (!existsSync(join(dir, 'ready'))) await new Promise(resolve => setTimeout(resolve, 5))
  stop.abort()
  expect((await applied).message).toMatch(/was stopped$/)
  expect(existsSync(join(dir, 'ended'))).toBe(true)
})

it('runs no shell unless that is asked, and keeps only the end of long outputs', async () => {
  await apply([fileOf('a', 'x', { check: program('echo', `; touch ${dir}/injected`) })])
  expect(existsSync(join(dir, 'injected'))).toBe(false)
  const failure = await failureOf(apply([fileOf('b', 'x', { check: sh('head -c 100000 /dev/zero | tr "\\0" x; echo end; exit 3') })]))
  expect([failure.output.length <= 16_384, failure.output.endsWith('end')]).toEqual([true, true])
})

it('does nothing more once it is stopped', async () => {
  const stopped = AbortSignal.abort()
  expect((await failureOf(apply([fileOf('a', 'x')], null, stopped))).message).toBe('was stopped before anything changed')
  expect(readdirSync(dir)).toEqual([])
})

it('shows what would change', async () => {
  writeFileSync(join(dir, 'a'), '1\n2\n3\n')
  const driver = new TemplateDriver({ kind: 'template', files: [fileOf('a', '1\nzwei\n3\n4\n')], reload: null }, world, {}, memory())
  const { changes, plan } = await driver.prepare(answers).preview(new AbortController().signal)
  expect([changes, plan]).toEqual([true, `--- ${dir}/a\n+++ ${dir}/a\n@@ -1,3 +1,4 @@\n 1\n-2\n+zwei\n 3\n+4\n`])
  expect(read('a')).toBe('1\n2\n3\n')
})

it('an owner or group that is not there is named', async () => {
  expect((await failureOf(apply([fileOf('a', 'x', { owner: 'nobody-here' })]))).message).toBe('no such user: nobody-here')
})

it('whose process ended between the swap and the reload: the next run reloads, though the files are as wanted', async () => {
  const file = fileOf('a', 'new')
  const reload = sh(`cat ${dir}/a >> ${dir}/log; test ! -e ${dir}/broken`)
  writeFileSync(join(dir, 'a'), 'new')
  const owed = memory(true)
  expect(await apply([file], reload, undefined, owed)).toMatchObject({
    changed: true,
    summary: 'reloaded for files that were written before',
  })
  expect([read('log'), owed.isOwed()]).toEqual(['new', false])
  // One that fails, for the new files and for the old ones, is owed on.
  writeFileSync(join(dir, 'broken'), '')
  expect((await failureOf(apply([fileOf('a', 'newer')], reload, undefined, owed))).message).toMatch(
    /going back failed: reload of the old files/,
  )
  expect([read('a'), owed.isOwed()]).toEqual(['new', true])
  // Nobody is there to be told any more.
  expect(await apply([file], null, undefined, owed)).toMatchObject({ changed: false })
})

it('clears away the candidates of a process that ended before it had swapped them in, and no other file', async () => {
  for (const name of ['.a.0123456789ab.candidate', '.a.candidate', '.b.0123456789ab.candidate']) writeFileSync(join(dir, name), 'x')
  await apply([fileOf('a', 'new')])
  expect(readdirSync(dir).sort()).toEqual(['.a.candidate', '.b.0123456789ab.candidate', 'a'])
})

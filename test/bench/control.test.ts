// The control plane's bench runs: a few simulated sidecars over real streams, every row with a value. What the values are is not judged here.
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, expect, it } from 'vitest'

const dir = mkdtempSync(join(tmpdir(), 'outrigger-bench-test-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

it('measures every row with 24 sidecars, and tells each of them of each change', async () => {
  const script = fileURLToPath(new URL('../../bench/control/control-main.mjs', import.meta.url))
  const file = join(dir, 'rows.json')
  await promisify(execFile)(process.execPath, [script, '--only', 'sidecars', '--sidecars', '24', '--json', file])
  const rows = JSON.parse(readFileSync(file, 'utf8')) as { row: string; value: number }[]
  expect(rows.map(({ row }) => row)).toEqual([
    'connect',
    'connect-cpu',
    'connect-bytes',
    'endpoint-change',
    'endpoint-change-p99',
    'intention-change-p99',
    'deploy-bytes',
    'deploy-resources',
    'deploy-cpu',
    'memory',
  ])
  expect(rows.every(({ value }) => Number.isFinite(value) && value >= 0)).toBe(true)
  // One endpoint set changed for each subscriber, and nothing else was sent: 20 sidecars call a service.
  expect(rows.find(({ row }) => row === 'deploy-resources')!.value).toBe(20)
})

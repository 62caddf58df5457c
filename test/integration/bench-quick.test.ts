// `npm run bench -- --quick`: every row of the bench starts its proxy, gets right answers under load and ends.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const TIMEOUT_MS = 600_000

// Minutes on a machine with other work: run where OUTRIGGER_BENCH=1 is set.
test.skipIf(process.env['OUTRIGGER_BENCH'] !== '1')('every row of the bench runs and answers right', { timeout: TIMEOUT_MS }, async () => {
  const rows = (await import('../../bench/e2e/rows/rows.mjs' as string)).ROWS as { name: string }[]
  const { stdout } = await promisify(execFile)(process.execPath, ['bench/e2e/bench-main.mjs', '--quick'], { timeout: TIMEOUT_MS })
  const told = stdout.trim().split('\n')
  for (const { name } of rows)
    expect(told.filter(line => line.startsWith(`${name}:`)).join()).toMatch(/runs and answers right|is not installed/)
  expect(told).toHaveLength(rows.length)
})

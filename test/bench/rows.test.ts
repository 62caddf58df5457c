// The data plane's bench runs: every row whose tools are here starts its proxy and is answered right. What the values are is not judged here.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

it('runs every row, and each is answered right', async () => {
  const script = fileURLToPath(new URL('../../bench/e2e/bench-main.mjs', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [script, '--quick'])
  const said = stdout.trim().split('\n')
  expect(said.filter(line => !/: (runs and answers right|skipped, \w+ is not installed)$/.test(line))).toEqual([])
  // Those that need nothing but Node.
  expect(said).toEqual(
    expect.arrayContaining(['start', 'idle-10000', 'churn', 'apply-routes-10000'].map(row => `${row}: runs and answers right`)),
  )
})

// The deployment of examples/network-automation runs by its one command, and shows what its README says.
import { execFile, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const script = fileURLToPath(new URL('../../examples/network-automation/run.mjs', import.meta.url))
const missing = spawnSync('nginx', ['-v']).status === 0 ? '' : '(nginx is not installed)'

it.skipIf(missing !== '')(`examples/network-automation runs by one command ${missing}`, { timeout: 120_000 }, async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [script, '--once'], { timeout: 110_000 })
  expect(stdout).toMatch(/nginx asks web-1\n/)
  expect(stdout).toMatch(/nginx asks web-1 and web-2\n/)
  expect(stdout).toMatch(/nginx +template +on +errored .* check nginx: exit code 1: .*max_body_size/)
  expect(stdout).toMatch(/nginx still asks web-1 and web-2\n/)
})

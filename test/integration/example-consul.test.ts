// The deployment of examples/consul runs by its one command, and shows what its README says.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const script = fileURLToPath(new URL('../../examples/consul/run.mjs', import.meta.url))

it('examples/consul runs by one command', { timeout: 180_000 }, async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [script, '--once'], { timeout: 170_000 })
  expect(stdout).toContain('applied service-splitter/api')
  expect(stdout).toMatch(/50 requests of web to api by the split: .*\d+ x "api v1 \/"/)
  expect(stdout).toContain('with the header x-version: 2: api v2 /')
  expect(stdout).toContain('/admin: 403')
  expect(stdout).toContain('/health past the mesh: api v1 /health, anything else there: 404')
  expect(stdout).toMatch(/denied: web -> api GET \/admin/)
})

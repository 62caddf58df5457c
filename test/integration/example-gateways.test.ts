// The deployment of examples/gateways runs by its one command, and shows what its README says.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const script = fileURLToPath(new URL('../../examples/gateways/run.mjs', import.meta.url))

it('examples/gateways runs by one command', { timeout: 180_000 }, async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [script, '--once'], { timeout: 170_000 })
  expect(stdout).toContain('in by the API gateway: shop /\n')
  expect(stdout).toContain('and out by the terminating gateway: shop: 200 partner got /offers')
  expect(stdout).toContain('a path that no route has: 404')
  expect(stdout).toContain('the route says: Accepted (Accepted), Bound (Bound)')
})

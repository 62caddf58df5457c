// The deployments of examples/gateways run by one command each, and show what their README says.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

async function output(name: string): Promise<string> {
  const script = fileURLToPath(new URL(`../../examples/gateways/${name}`, import.meta.url))
  return (await promisify(execFile)(process.execPath, [script, '--once'], { timeout: 170_000 })).stdout
}

it('in and out', { timeout: 180_000 }, async () => {
  const stdout = await output('run.mjs')
  expect(stdout).toContain('in by the API gateway: shop /\n')
  expect(stdout).toContain('and out by the terminating gateway: shop: 200 partner got /offers')
  expect(stdout).toContain('a path that no route has: 404')
  expect(stdout).toContain('the route says: Accepted (Accepted), Bound (Bound)')
})

it('across', { timeout: 180_000 }, async () => {
  const stdout = await output('across.mjs')
  expect(stdout).toContain('across, by both gateways: api of east got /hello')
  expect(stdout).toMatch(/^east +ACTIVE +1 +0/m)
  expect(stdout).toContain('without an intention in east: 403')
})

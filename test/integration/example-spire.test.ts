// The deployment of examples/spire runs by its one command, and shows what its README says.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { hasSpire } from '../support/spire.js'

const script = fileURLToPath(new URL('../../examples/spire/run.mjs', import.meta.url))

it.skipIf(!hasSpire)('examples/spire runs by one command (SPIRE_SERVER_BIN, SPIRE_AGENT_BIN)', { timeout: 120_000 }, async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [script, '--once'], { timeout: 110_000 })
  expect(stdout).toContain('web calls shop, whose identity is SPIRE’s too: hello spiffe://example.org/mesh/web\n')
  expect(stdout).toContain('web calls old-shop, which has stayed with the CA of the mesh: hello spiffe://example.org/mesh/web\n')
})

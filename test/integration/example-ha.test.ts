// The deployment of examples/ha runs by its one command, and shows what its README says.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { etcdBin } from '../support/etcd-cluster.js'

const script = fileURLToPath(new URL('../../examples/ha/run.mjs', import.meta.url))

it.skipIf(etcdBin === undefined)('examples/ha runs by one command (no etcd is installed here)', { timeout: 240_000 }, async () => {
  const env = { ...process.env, ETCD_BIN: etcdBin }
  const { stdout } = await promisify(execFile)(process.execPath, [script, '--once'], { timeout: 230_000, env })
  // Not one request has failed while a control plane, and while a node of etcd was dead: each of the three.
  expect(stdout.match(/customers got: hello \d+ times\n/g)).toHaveLength(6)
  expect(stdout).toContain('what was written to control-2 and control-3 has reached the sidecars')
  expect(stdout).toMatch(/\n\d{3,} writes were acknowledged, 0 of them are lost\n$/)
})

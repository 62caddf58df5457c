// The Python package py-consul against the control plane, where python3 has it (PYTHON names another interpreter, of a virtual environment).
import { execFile, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ControlPlane } from '../../src/control/control-plane.js'

const python = process.env['PYTHON'] ?? 'python3'
const judge = fileURLToPath(new URL('../support/py-consul/judge.py', import.meta.url))
const missing = spawnSync(python, ['-c', 'import consul']).status === 0 ? '' : `(${python} has no module consul)`
const RUN_WITHIN_MS = 120_000

describe.skipIf(missing !== '')(`py-consul ${missing}`, () => {
  let plane: ControlPlane
  beforeAll(async () => {
    plane = new ControlPlane({ httpAddr: '127.0.0.1:0', grpcAddr: '127.0.0.1:0' })
    await plane.start()
  })
  afterAll(() => plane?.stop())

  it('finds each of its calls answered as by Consul', { timeout: RUN_WITHIN_MS }, async () => {
    const env = { ...process.env, CONSUL_HTTP_ADDR: plane.httpAddress }
    const { stdout } = await promisify(execFile)(python, [judge], { env, timeout: RUN_WITHIN_MS - 5_000 })
    const verdicts = stdout
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as { readonly name: string; readonly error: string })
    expect(verdicts).toHaveLength(17)
    expect(verdicts.filter(({ error }) => error !== '')).toEqual([])
  })
})

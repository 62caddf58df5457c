// consul-template, unmodified, against the control plane (CONSUL_TEMPLATE_BIN, or in PATH): services that pass, keys, trees and nodes are
// rendered, and rendered anew when they change.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ControlPlane } from '../../src/control/control-plane.js'
import { until } from '../support/proxy-process.js'

const bin = process.env['CONSUL_TEMPLATE_BIN'] ?? 'consul-template'
const missing = spawnSync(bin, ['-version']).status === 0 ? '' : '(consul-template is not installed)'
const TEMPLATE = `services {{range services}}{{.Name}}{{.Tags}} {{end}}
web {{range service "v1.web"}}{{.ID}}={{.Address}}:{{.Port}}@{{.Node}} {{end}}
key {{keyOrDefault "app/mode" "none"}}
tree {{range tree "app"}}{{.Key}}={{.Value}} {{end}}
nodes {{range nodes}}{{.Node}} {{end}}
`

describe.skipIf(missing !== '')(`consul-template ${missing}`, () => {
  let plane: ControlPlane
  let child: ChildProcess
  const dir = mkdtempSync(join(tmpdir(), 'outrigger-template-'))
  const put = async (path: string, body: unknown): Promise<void> => {
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    expect((await fetch(`http://${plane.httpAddress}${path}`, { method: 'PUT', body: text })).status).toBe(200)
  }
  const rendered = (wanted: string): Promise<unknown> =>
    until(`the file is ${JSON.stringify(wanted)}`, async () => {
      const text = readFileSync(join(dir, 'out'), 'utf8')
      return text.trim() === wanted.trim() || Promise.reject(new Error(text))
    })
  beforeAll(async () => {
    plane = new ControlPlane({ httpAddr: '127.0.0.1:0', grpcAddr: '127.0.0.1:0', nodeName: 'n1' })
    await plane.start()
    writeFileSync(join(dir, 'in'), TEMPLATE)
  })
  afterAll(async () => {
    child?.kill('SIGKILL')
    await plane?.stop()
    rmSync(dir, { recursive: true, force: true })
  })

  it('renders services, keys and nodes, and again at each change', async () => {
    const instance = {
      Name: 'web',
      ID: 'web-1',
      Address: '10.0.0.1',
      Port: 80,
      Tags: ['v1'],
      Check: { CheckID: 'c', TTL: '1h', Status: 'passing' },
    }
    await put('/v1/agent/service/register', instance)
    const template = `${join(dir, 'in')}:${join(dir, 'out')}`
    child = spawn(bin, ['-consul-addr', plane.httpAddress, '-template', template, '-wait', '10ms:50ms'], { stdio: 'ignore' })
    await rendered('services consul[] web[v1] \nweb web-1=10.0.0.1:80@n1 \nkey none\ntree \nnodes n1 ')
    await put('/v1/kv/app/mode', 'blue')
    await rendered('services consul[] web[v1] \nweb web-1=10.0.0.1:80@n1 \nkey blue\ntree mode=blue \nnodes n1 ')
    await put('/v1/agent/check/fail/c', '')
    await put('/v1/catalog/register', { Node: 'n2', Address: '192.0.2.2', Service: { Service: 'db', Port: 1 } })
    await rendered('services consul[] db[] web[v1] \nweb \nkey blue\ntree mode=blue \nnodes n1 n2 ')
  })
})

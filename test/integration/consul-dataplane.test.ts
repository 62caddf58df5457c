// The unmodified consul-dataplane (DATAPLANE_BIN) between our control plane and a proxy, ours and the real Envoy: it dials `consul://`-like
// targets with an empty :authority, asks for features, servers and bootstrap parameters, and relays xDS. Skipped by name where it is absent.
import { type ChildProcess, spawn } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ControlPlane } from '../../src/control/control-plane.js'
import { fetchOnce } from '../support/http1-client.js'
import { HttpOrigin, http } from '../support/origins.js'
import { freePort, proxyBin, until } from '../support/proxy-process.js'

const dataplaneBin = process.env['DATAPLANE_BIN']
const envoyBin = process.env['ENVOY_BIN']
const origin = new HttpOrigin()
const children: ChildProcess[] = []
let plane: ControlPlane

interface Running {
  readonly admin: number
  readonly dns: number
  readonly child: ChildProcess
  output: string
}

async function dataplane(proxyId: string, executable: string, more: readonly string[] = []): Promise<Running> {
  const [admin, dns, metrics, lifecycle] = await Promise.all([freePort(), freePort(), freePort(), freePort()])
  const [host, port] = plane.grpcAddress.split(':') as [string, string]
  const args = [
    ['-addresses', host],
    ['-grpc-port', port],
    ['-proxy-service-id', proxyId],
    ['-service-node-name', 'n1'],
    ['-tls-disabled'],
    ['-envoy-admin-bind-port', String(admin)],
    ['-consul-dns-bind-port', String(dns)],
    ['-telemetry-prom-merge-port', String(metrics)],
    ['-graceful-port', String(lifecycle)],
    ['-envoy-executable-path', executable],
    ...more.map(flag => [flag]),
  ]
  const child = spawn(dataplaneBin!, args.flat(), { stdio: ['ignore', 'pipe', 'pipe'] })
  children.push(child)
  const running: Running = { admin: admin!, dns: dns!, child, output: '' }
  for (const stream of [child.stdout!, child.stderr!])
    stream.on('data', chunk => {
      running.output += chunk
    })
  return running
}

describe.skipIf(dataplaneBin === undefined)('the unmodified consul-dataplane (DATAPLANE_BIN)', () => {
  let upstreamPort: number
  beforeAll(async () => {
    await origin.listen()
    origin.respond = (_request, socket) => socket.write(http('from the mesh'))
    plane = new ControlPlane({
      httpAddr: '127.0.0.1:0',
      grpcAddr: '127.0.0.1:0',
      nodeName: 'n1',
      defaultIntentionPolicy: 'allow',
      dns: { address: { host: '127.0.0.1', port: 0 } },
    })
    await plane.start()
    upstreamPort = await freePort()
    const ttl = { TTL: '1h', Status: 'passing' }
    const put = async (path: string, body: unknown): Promise<void> => {
      const response = await fetch(`http://${plane.httpAddress}${path}`, { method: 'PUT', body: JSON.stringify(body) })
      expect(response.status, await response.text()).toBe(200)
    }
    await put('/v1/agent/service/register', {
      Name: 'api',
      Port: origin.port,
      Check: ttl,
      Connect: { SidecarService: { Port: await freePort(), Checks: [ttl] } },
    })
    await put('/v1/agent/service/register', {
      Name: 'web',
      Port: 1,
      Check: ttl,
      Connect: {
        SidecarService: {
          Port: await freePort(),
          Checks: [ttl],
          Proxy: { Upstreams: [{ DestinationName: 'api', LocalBindPort: upstreamPort }] },
        },
      },
    })
  })
  afterAll(async () => {
    for (const child of children) child.kill('SIGTERM')
    await Promise.all(
      children.map(child =>
        child.exitCode !== null || child.signalCode !== null ? undefined : new Promise(resolve => child.once('exit', resolve)),
      ),
    )
    await plane.stop()
    await origin.close()
  })

  it.each([
    ['our proxy before both', () => [proxyBin, proxyBin]],
    ['the real Envoy before web (ENVOY_BIN)', () => [proxyBin, envoyBin]],
  ] as const)('%s', async (_name, executables) => {
    const [before, front] = executables()
    if (front === undefined) return
    const api = await dataplane('api-sidecar-proxy', before!)
    const web = await dataplane('web-sidecar-proxy', front)
    const answer = await until(`an answer through both\n${web.output}`, async () => {
      const response = await fetchOnce(upstreamPort)
      return response.status === 200 ? response : undefined
    })
    expect(answer.body).toBe('from the mesh')
    for (const { child } of [api, web]) {
      const ended = new Promise(resolve => child.once('exit', resolve))
      child.kill('SIGTERM')
      await ended
    }
  })
})

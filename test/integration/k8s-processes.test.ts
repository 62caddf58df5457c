// `outrigger k8s …` as real processes: what is injected into a pod, the webhook, and what acts while it holds the Lease.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { FIRST_PORTS, POD_SERVICE_VARIABLE, type PodService } from '../../src/kubernetes/inject/pod-service.js'
import type { Json } from '../support/admission-reviews.js'
import { CliFixture } from '../support/cli-fixture.js'
import { FakeKubeApi } from '../support/fake-kube-api.js'
import { AnyCa } from '../support/mesh-certificates.js'
import { freePort, until } from '../support/proxy-process.js'

const outrigger = fileURLToPath(new URL('../../bin/outrigger', import.meta.url))
const SERVICES = '/api/v1/services'
const LEASES = '/apis/coordination.k8s.io/v1/leases'
const DEFAULTS = '/apis/consul.hashicorp.com/v1alpha1/servicedefaults'
const fixture = new CliFixture()
const children: ChildProcess[] = []
let kube: FakeKubeApi
let kubeconfig: string

class Running {
  text = ''
  private readonly child: ChildProcess
  private readonly ended: Promise<unknown[]>

  constructor(argv: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.child = spawn(process.execPath, [outrigger, ...argv], {
      env: { ...process.env, ...fixture.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    children.push(this.child)
    for (const stream of [this.child.stdout!, this.child.stderr!]) stream.on('data', chunk => (this.text += String(chunk)))
    this.ended = once(this.child, 'close')
  }

  /** The exit code. */
  async end(): Promise<unknown> {
    return (await this.ended)[0]
  }

  stop(): Promise<unknown> {
    this.child.kill('SIGTERM')
    return this.end()
  }
}

beforeAll(async () => {
  await fixture.start()
  kube = await FakeKubeApi.start()
  kubeconfig = fixture.file(
    'kubeconfig',
    JSON.stringify({
      'current-context': 'here',
      contexts: [{ name: 'here', context: { cluster: 'fake', user: 'me', namespace: 'mesh' } }],
      clusters: [{ name: 'fake', cluster: { server: kube.config.server } }],
      users: [{ name: 'me', user: { token: 'secret' } }],
    }),
  )
})

afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await kube.stop()
  await fixture.stop()
})

it('what is injected registers the pod, becomes ready, and takes the pod out at its end', async () => {
  const service: PodService = {
    name: 'web',
    index: 0,
    port: 8080,
    protocol: '',
    tags: [],
    meta: {},
    upstreams: [],
    transparent: false,
    exposedPaths: [],
    appProbes: [],
    metricsPort: null,
    proxyConfig: {},
  }
  const env = {
    CONSUL_GRPC_ADDR: fixture.plane.grpcAddress,
    [POD_SERVICE_VARIABLE]: JSON.stringify(service),
    POD_NAME: 'web-0',
    POD_NAMESPACE: 'shop',
    POD_IP: '127.0.0.1',
    NODE_NAME: 'n1',
  }
  const admin = `127.0.0.1:${await freePort()}`
  const sidecar = new Running(['k8s', 'sidecar', '-admin-bind', admin, '--', '--log-level', 'warning', '--shutdown-grace-s', '1'], env)
  await until('the sidecar is ready', async () => (await fetch(`http://127.0.0.1:${FIRST_PORTS.ready}/ready`)).status === 200)
  expect(await fixture.out('catalog', 'services')).toContain('web-sidecar-proxy')
  const leaving = new Running(['k8s', 'leave', '-wait', '0', '-admin', admin], env)
  await until('the pod is out', async () => !(await fixture.out('catalog', 'services')).includes('web'))
  expect([await leaving.end(), leaving.text]).toEqual([0, ''])
  expect(await sidecar.stop()).toBe(0)
})

it('what is injected logs in, is ready with its application, serves it to its end, and gives its token back', async () => {
  const management = 'a9c1d2e3-3333-4444-8555-0c0c0c0c0c0c'
  const closed = await new CliFixture({ acl: { defaultPolicy: 'deny', initialManagement: management } }).start()
  const call = async (method: string, path: string, body?: object): Promise<Json> => {
    const answer = await fetch(`http://${closed.plane.httpAddress}${path}`, {
      method,
      headers: { 'X-Consul-Token': management },
      ...(body && { body: JSON.stringify(body) }),
    })
    expect([answer.status, path]).toEqual([200, path])
    return answer.json()
  }
  const tokens = async (): Promise<number> => (await call('GET', '/v1/acl/tokens')).filter(({ AuthMethod }: Json) => AuthMethod).length
  const passing = async (): Promise<number> => (await call('GET', '/v1/health/connect/web?passing')).length
  kube.accounts.set('token of web', 'system:serviceaccount:shop:web')
  const Config = { Host: kube.config.server, CACert: new AnyCa().pem, ServiceAccountJWT: 'secret' }
  await call('PUT', '/v1/acl/auth-method', { Name: 'kubernetes', Type: 'kubernetes', Config })
  // biome-ignore lint/suspicious/noTemplateCurlyInString: Consul's own placeholder, which the login fills.
  await call('PUT', '/v1/acl/binding-rule', { AuthMethod: 'kubernetes', BindType: 'service', BindName: '${serviceaccount.name}' })
  let status = 503
  const app = createServer((_, response) => response.writeHead(status).end())
  await new Promise<void>(resolve => app.listen(0, '127.0.0.1', resolve))
  const upstreamPort = await freePort()
  const probe = { container: 'web', port: (app.address() as AddressInfo).port, periodS: 0.05, timeoutS: 1, failures: 1, successes: 1 }
  const service: PodService = {
    name: 'web',
    // The second of its pod: ports one higher, and files of its own.
    index: 1,
    port: probe.port,
    protocol: 'http',
    tags: [],
    meta: {},
    upstreams: [{ type: 'service', name: 'api', localPort: upstreamPort, datacenter: '', peer: '' }],
    transparent: false,
    exposedPaths: [],
    appProbes: [{ ...probe, http: { path: '/healthz', tls: false, headers: [] } }],
    metricsPort: null,
    proxyConfig: {},
  }
  const pod = join(closed.folder, 'pod')
  mkdirSync(pod)
  // Of the container's last life, which a probe ended: `k8s leave` ran before that too.
  const left = join(pod, 'left-web')
  writeFileSync(left, '')
  const env = {
    CONSUL_HTTP_ADDR: closed.plane.httpAddress,
    CONSUL_GRPC_ADDR: closed.plane.grpcAddress,
    OUTRIGGER_POD_FOLDER: pod,
    [POD_SERVICE_VARIABLE]: JSON.stringify(service),
    POD_NAME: 'web-0',
    POD_NAMESPACE: 'shop',
    POD_IP: '127.0.0.1',
    NODE_NAME: 'n1',
  }
  const admin = `127.0.0.1:${await freePort()}`
  const refused = new Running(['k8s', 'sidecar', '-admin-bind', admin], env)
  expect([await refused.end(), refused.text]).toEqual([1, expect.stringContaining('Permission denied')])
  const login = ['-auth-method', 'kubernetes', '-bearer-token-file', closed.file('token', 'token of web\n')]
  const sidecar = new Running(
    ['k8s', 'sidecar', '-admin-bind', admin, ...login, '--', '--log-level', 'warning', '--shutdown-grace-s', '1'],
    env,
  )
  const ready = `http://127.0.0.1:${FIRST_PORTS.ready + 1}`
  for (const page of ['/startup', '/ready', '/live'])
    await until(`${page} of the sidecar`, async () => (await fetch(ready + page)).status === 200)
  expect([await tokens(), await passing(), existsSync(left)]).toEqual([1, 0, false])
  status = 200
  await until('the pod takes traffic', async () => (await passing()) === 1)
  status = 500
  await until('it takes none any more', async () => (await passing()) === 0)

  const leaving = new Running(['k8s', 'leave', '-wait', '0', '-admin', admin], env)
  expect([await leaving.end(), leaving.text]).toEqual([0, ''])
  expect([await tokens(), await call('GET', '/v1/agent/services')]).toEqual([0, {}])
  const upstream = connect(upstreamPort, '127.0.0.1')
  await once(upstream, 'connect')
  upstream.destroy()
  expect(await sidecar.stop()).toBe(0)
  app.close()
  await closed.stop()
})

it('sync and controller act by a kubeconfig, and give their Leases back', async () => {
  kube.put(SERVICES, {
    metadata: { name: 'db', namespace: 'shop' },
    spec: { type: 'ExternalName', externalName: 'db.example', ports: [{ port: 5432 }] },
  })
  kube.put(DEFAULTS, { metadata: { name: 'db', namespace: 'shop' }, spec: { protocol: 'tcp' } })
  const health = `127.0.0.1:${await freePort()}`
  const running = [
    new Running(['k8s', 'sync', '-kubeconfig', kubeconfig, '-to-catalog', '-health-listen', health]),
    new Running(['k8s', 'controller', '-kubeconfig', kubeconfig]),
  ]
  await until('db is in the catalog', async () => (await fixture.out('catalog', 'services', '-tags')).match(/^db +k8s/m))
  await until('its defaults are in force', () => kube.get(DEFAULTS, 'db', 'shop').status?.conditions[0].status === 'True')
  expect(kube.get(LEASES, 'outrigger-k8s-sync', 'mesh').spec.holderIdentity).not.toBe('')
  for (const page of ['/live', '/startup', '/ready']) expect((await fetch(`http://${health}${page}`)).status).toBe(200)
  const second = new Running(['k8s', 'controller', '-kubeconfig', kubeconfig, '-health-listen', health])
  expect([await second.end(), second.text]).toEqual([1, expect.stringContaining('--health-listen: ')])
  expect(await Promise.all(running.map(each => each.stop()))).toEqual([0, 0])
  for (const name of ['outrigger-k8s-sync', 'outrigger-k8s-controller']) expect(kube.get(LEASES, name, 'mesh').spec.holderIdentity).toBe('')
})

it('the webhook listens, and ends when it is told', async () => {
  const { cert, key } = new AnyCa().leaf({ dns: ['localhost'] })
  const [tlsCert, tlsKey] = [fixture.file('tls.crt', cert), fixture.file('tls.key', key)]
  const flags = ['-image', 'outrigger:1', '-sidecar-http-addr', 'x:8500', '-sidecar-grpc-addr', 'x:8502']
  const webhook = new Running(['k8s', 'webhook', '-listen', '127.0.0.1:0', '-tls-cert', tlsCert, '-tls-key', tlsKey, ...flags])
  await until('it listens', () => /^Webhook: https:\/\/127\.0\.0\.1:\d+\/mutate$/m.test(webhook.text))
  expect(await webhook.stop()).toBe(0)
})

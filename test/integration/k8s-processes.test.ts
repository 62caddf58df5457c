// `outrigger k8s …` as real processes: what is injected into a pod, the webhook, and what acts while it holds the Lease.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { POD_SERVICE_VARIABLE, type PodService, READY_PORT } from '../../src/kubernetes/inject/pod-service.js'
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
    this.ended = once(this.child, 'exit')
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
    port: 8080,
    protocol: '',
    tags: [],
    meta: {},
    upstreams: [],
    transparent: false,
    exposedPaths: [],
    metricsPort: null,
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
  await until('the sidecar is ready', async () => (await fetch(`http://127.0.0.1:${READY_PORT}/ready`)).status === 200)
  expect(await fixture.out('catalog', 'services')).toContain('web-sidecar-proxy')
  const leaving = new Running(['k8s', 'leave', '-wait', '0', '-admin', admin], env)
  await until('the pod is out', async () => !(await fixture.out('catalog', 'services')).includes('web'))
  expect([await leaving.end(), leaving.text]).toEqual([0, ''])
  expect(await sidecar.stop()).toBe(0)
})

it('sync and controller act by a kubeconfig, and give their Leases back', async () => {
  kube.put(SERVICES, {
    metadata: { name: 'db', namespace: 'shop' },
    spec: { type: 'ExternalName', externalName: 'db.example', ports: [{ port: 5432 }] },
  })
  kube.put(DEFAULTS, { metadata: { name: 'db', namespace: 'shop' }, spec: { protocol: 'tcp' } })
  const running = [
    new Running(['k8s', 'sync', '-kubeconfig', kubeconfig, '-to-catalog']),
    new Running(['k8s', 'controller', '-kubeconfig', kubeconfig]),
  ]
  await until('db is in the catalog', async () => (await fixture.out('catalog', 'services', '-tags')).match(/^db +k8s/m))
  await until('its defaults are in force', () => kube.get(DEFAULTS, 'db', 'shop').status?.conditions[0].status === 'True')
  expect(kube.get(LEASES, 'outrigger-k8s-sync', 'mesh').spec.holderIdentity).not.toBe('')
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

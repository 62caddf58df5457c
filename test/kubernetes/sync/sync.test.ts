// Both directions at once, between an API server that speaks the real protocol and a real control plane.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ControlApi } from '../../../src/cli/command-line/control-api.js'
import { KubeClient } from '../../../src/kubernetes/api/kube-client.js'
import { CatalogWriter } from '../../../src/kubernetes/sync/catalog-writer.js'
import { ServiceWriter } from '../../../src/kubernetes/sync/service-writer.js'
import type { Json } from '../../support/admission-reviews.js'
import { CliFixture } from '../../support/cli-fixture.js'
import { FakeKubeApi } from '../../support/fake-kube-api.js'
import { until } from '../../support/proxy-process.js'

const SERVICES = '/api/v1/services'
const SLICES = '/apis/discovery.k8s.io/v1/endpointslices'
const fixture = new CliFixture()
const problems: string[] = []
let kube: FakeKubeApi
let client: KubeClient
let api: ControlApi
let writers: { stop(): Promise<void> }[]

function slice(addresses: readonly string[], ready = true): object {
  return {
    metadata: { name: 'web-x', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080 }],
    endpoints: addresses.map(address => ({ addresses: [address], conditions: { ready } })),
  }
}

const register = (name: string): Promise<unknown> => api.put('/v1/agent/service/register', { Name: name, Port: 1 })
const health = async (): Promise<Json[]> => api.getJson('/v1/health/service/web')
const seen = async (): Promise<string> =>
  (await health())
    .map(({ Service, Checks }) => `${Service.Address} ${Checks[0].Status}`)
    .sort()
    .join(', ')

beforeAll(async () => {
  await fixture.start()
  kube = await FakeKubeApi.start()
  kube.put(SERVICES, { metadata: { name: 'web', namespace: 'shop' }, spec: { type: 'ClusterIP', ports: [{ name: 'http', port: 80 }] } })
  kube.put(SERVICES, { metadata: { name: 'taken', namespace: 'mesh' }, spec: { type: 'ClusterIP', clusterIP: '10.0.0.9', ports: [] } })
  kube.put(SLICES, slice(['10.1.0.2', '10.1.0.3']))
  client = new KubeClient(kube.config)
  api = new ControlApi({ address: fixture.plane.httpAddress })
  await api.put('/v1/catalog/register', {
    Node: 'k8s-sync',
    Address: '127.0.0.1',
    Service: { ID: 'old', Service: 'old', Address: '10.9.9.9' },
  })
  await api.put('/v1/catalog/register', { Node: 'other', Address: '10.0.0.8', Service: { ID: 'kept', Service: 'kept' } })
  for (const name of ['db', 'taken', 'Under_score']) await register(name)
  const common = { client, api, everyMs: 200, onProblem: (message: string) => void problems.push(message) }
  writers = [
    new CatalogWriter({
      ...common,
      node: 'k8s-sync',
      rules: {
        byDefault: true,
        allowNamespaces: ['*'],
        denyNamespaces: [],
        clusterIps: true,
        nodePortAddress: 'ExternalOnly',
        tag: 'k8s',
        namespaceSuffix: false,
      },
      onWritten: () => {},
    }),
    new ServiceWriter({ ...common, namespace: 'mesh', tag: 'k8s', prefix: '', domain: 'consul' }),
  ]
})

afterAll(async () => {
  await Promise.all(writers.map(writer => writer.stop()))
  client.close()
  await kube.stop()
  await fixture.stop()
})

it('pods are instances with their readiness, and what was of the node before is gone', async () => {
  await until('both pods', async () => (await seen()) === '10.1.0.2 passing, 10.1.0.3 passing')
  const services = await api.getJson<Json>('/v1/catalog/services')
  expect([services.web, services.old, services.kept]).toEqual([['k8s'], undefined, []])
})

it('follows what the slices say, and undoes what others do', async () => {
  kube.put(SLICES, slice(['10.1.0.3', '10.1.0.4'], false))
  await until('other pods', async () => (await seen()) === '10.1.0.3 critical, 10.1.0.4 critical')
  await api.put('/v1/catalog/deregister', { Node: 'k8s-sync', ServiceID: 'shop-web-10.1.0.3-8080' })
  await until('the same again', async () => (await seen()) === '10.1.0.3 critical, 10.1.0.4 critical')
  const Service = { ID: 'shop-web-10.1.0.3-8080', Service: 'web', Address: '10.1.0.3', Port: 9, Tags: ['mine'] }
  await api.put('/v1/catalog/register', { Node: 'k8s-sync', Address: '127.0.0.1', Service })
  await until('its port and tags again', async () =>
    (await health()).every(({ Service: each }) => each.Port === 8080 && each.Tags.join() === 'k8s'),
  )
})

it('keeps the catalog as it is while the cluster cannot be listed', async () => {
  kube.failures.push({ match: `GET ${SLICES}?limit`, status: 503 })
  kube.compact()
  await until('the failure is said', () => problems.some(message => message.includes('leader changed')))
  expect(await seen()).toBe('10.1.0.3 critical, 10.1.0.4 critical')
})

it("the catalog's services are Services that name them, but for those of Kubernetes and those that somebody else has", async () => {
  await until('db', () => kube.get(SERVICES, 'db', 'mesh'))
  expect(kube.get(SERVICES, 'db', 'mesh')).toMatchObject({
    metadata: { labels: { 'outrigger.dev/from-catalog': 'true' } },
    spec: { type: 'ExternalName', externalName: 'db.service.consul' },
  })
  expect(kube.get(SERVICES, 'web', 'mesh')).toBeUndefined()
  expect(kube.get(SERVICES, 'taken', 'mesh').spec.clusterIP).toBe('10.0.0.9')
  expect(problems).toEqual(
    expect.arrayContaining([
      'service "taken": mesh/taken is a Service of somebody else',
      'service "Under_score": "under_score" is no name of a Kubernetes Service',
    ]),
  )
})

it('and come and go with them', async () => {
  await register('cache')
  await until('cache', () => kube.get(SERVICES, 'cache', 'mesh'))
  await api.put('/v1/agent/service/deregister/cache')
  await until('no cache', () => kube.get(SERVICES, 'cache', 'mesh') === undefined)
})

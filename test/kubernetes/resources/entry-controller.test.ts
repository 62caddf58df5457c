// Custom resources become config entries of a real control plane, and say so.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ControlApi, RefusedError } from '../../../src/cli/command-line/control-api.js'
import { KubeClient } from '../../../src/kubernetes/api/kube-client.js'
import { EntryController, type EntryControllerOptions } from '../../../src/kubernetes/resources/entry-controller.js'
import { RESOURCE_KINDS } from '../../../src/kubernetes/resources/resource-kinds.js'
import type { Json } from '../../support/admission-reviews.js'
import { CliFixture } from '../../support/cli-fixture.js'
import { FakeKubeApi } from '../../support/fake-kube-api.js'
import { until } from '../../support/proxy-process.js'

const of = (plural: string): string => `/apis/consul.hashicorp.com/v1alpha1/${plural}`
const USED = new Set(['ServiceDefaults', 'ServiceIntentions', 'ServiceSplitter', 'ProxyDefaults', 'APIGateway', 'APIGatewayHTTPRoute'])
const fixture = new CliFixture()
let kube: FakeKubeApi
let client: KubeClient
let api: ControlApi
let controllers: EntryController[]

beforeAll(async () => {
  await fixture.start()
  kube = await FakeKubeApi.start()
  client = new KubeClient(kube.config)
  api = new ControlApi({ address: fixture.plane.httpAddress })
  controllers = RESOURCE_KINDS.filter(({ kind }) => USED.has(kind)).map(
    kind =>
      new EntryController({
        client,
        api,
        kind,
        everyMs: 200,
        onProblem: () => {},
        isRefusal: error => error instanceof RefusedError && error.statusCode === 400,
      }),
  )
})

afterAll(async () => {
  await Promise.all(controllers.map(controller => controller.stop()))
  client.close()
  await kube.stop()
  await fixture.stop()
})

const put = (plural: string, name: string, spec: object): void =>
  void kube.put(of(plural), {
    ...kube.get(of(plural), name, 'shop'),
    metadata: { ...kube.get(of(plural), name, 'shop')?.metadata, name, namespace: 'shop' },
    spec,
  })

/** Of the generation that is asked for. */
async function synced(plural: string, name: string): Promise<Json> {
  const found = await until(`the status of ${name}`, () => {
    const { metadata, status } = kube.get(of(plural), name, 'shop') ?? {}
    const condition = status?.conditions?.[0]
    return condition?.observedGeneration === metadata?.generation ? { ...condition, lastSyncedTime: status?.lastSyncedTime } : undefined
  })
  return found
}

const entry = (path: string): Promise<Json> => api.findJson(`/v1/config/${path}`)

it('a resource becomes an entry, has a finalizer and says that it is in force', async () => {
  put('servicedefaults', 'api', { protocol: 'http', upstreamConfig: { defaults: { connectTimeoutMs: 3000 } } })
  expect(await synced('servicedefaults', 'api')).toMatchObject({
    type: 'Synced',
    status: 'True',
    lastSyncedTime: expect.stringMatching(/^\d{4}-.*Z$/),
  })
  expect(await entry('service-defaults/api')).toMatchObject({
    Protocol: 'http',
    UpstreamConfig: { Defaults: { ConnectTimeoutMs: 3000 } },
    Meta: { 'external-source': 'kubernetes', 'k8s-namespace': 'shop', 'k8s-resource': 'shop/api' },
  })
  expect(kube.get(of('servicedefaults'), 'api', 'shop').metadata.finalizers).toEqual(['finalizers.consul.hashicorp.com'])
})

it('a change of it is a change of the entry', async () => {
  put('servicedefaults', 'api', { protocol: 'grpc' })
  await synced('servicedefaults', 'api')
  expect((await entry('service-defaults/api')).Protocol).toBe('grpc')
})

it('an entry that is refused is said with the reason, and what was in force stays', async () => {
  put('servicedefaults', 'api', { protocol: 'udp' })
  await until('the refusal', async () => (await synced('servicedefaults', 'api')).status === 'False')
  expect(await synced('servicedefaults', 'api')).toMatchObject({ reason: 'ConsulAgentError', message: expect.stringContaining('Protocol') })
  expect((await entry('service-defaults/api')).Protocol).toBe('grpc')
  put('servicedefaults', 'api', { protocol: 'http' })
  await until('the cure', async () => (await synced('servicedefaults', 'api')).status === 'True')
})

it('intentions are of the service that their spec names', async () => {
  put('serviceintentions', 'web-to-api', { destination: { name: 'api' }, sources: [{ name: 'web', action: 'allow' }] })
  await synced('serviceintentions', 'web-to-api')
  expect((await entry('service-intentions/api')).Sources).toMatchObject([{ Name: 'web', Action: 'allow' }])
})

it('a kind of which there is one has one name', async () => {
  put('proxydefaults', 'mine', { config: { protocol: 'http' } })
  expect(await synced('proxydefaults', 'mine')).toMatchObject({
    status: 'False',
    reason: 'InvalidResource',
    message: 'metadata.name: must be "global": there is one ProxyDefaults',
  })
})

it('an entry that the API wrote, or another resource, is not taken', async () => {
  await api.put('/v1/config', { Kind: 'service-defaults', Name: 'hand', Protocol: 'tcp' })
  put('servicedefaults', 'hand', { protocol: 'http' })
  expect(await synced('servicedefaults', 'hand')).toMatchObject({ status: 'False', reason: 'EntryOfAnother' })
  kube.delete(of('servicedefaults'), 'hand', 'shop')
  await until('the resource is gone', () => kube.get(of('servicedefaults'), 'hand', 'shop') === undefined)
  expect((await entry('service-defaults/hand')).Protocol).toBe('tcp')
})

it('an entry that is made, or changed, between the look and the write stays as it is', async () => {
  const kind = RESOURCE_KINDS.find(each => each.kind === 'ServiceResolver')!
  const problems: string[] = []
  const mine = { Kind: 'service-resolver', Name: 'raced', Meta: { hand: 'yes' } }
  let isRaced = false
  // Somebody's write comes right after the first look.
  const raced: EntryControllerOptions['api'] = {
    getJson: path => api.getJson(path),
    put: (path, body) => api.put(path, body),
    putJson: (path, body) => api.putJson(path, body),
    delete: path => api.delete(path),
    call: call => api.call(call),
    findJson: async path => {
      const found = await api.findJson<never>(path)
      if (!isRaced) await api.put('/v1/config', mine)
      isRaced = true
      return found
    },
  }
  const options = { client, api: raced, kind, everyMs: 200, onProblem: (problem: string) => problems.push(problem), isRefusal: () => false }
  const controller = new EntryController(options)
  controllers.push(controller)
  put('serviceresolvers', 'raced', { connectTimeout: '3s' })
  const told = 'the config entry of shop/raced was written by another meanwhile'
  await until('it is told', () => problems.some(problem => problem.includes(told)))
  expect((await entry('service-resolver/raced')).Meta).toEqual({ hand: 'yes' })
  put('serviceresolvers', 'raced', { connectTimeout: '4s' })
  expect(await synced('serviceresolvers', 'raced')).toMatchObject({ status: 'False', reason: 'EntryOfAnother' })
})

it('the end of a resource is the end of its entry, once the control plane lets it go', async () => {
  put('servicesplitters', 'api', { splits: [{ weight: 100 }] })
  await until('in force', async () => (await synced('servicesplitters', 'api')).status === 'True')
  // The splitter needs the protocol that this entry says.
  kube.delete(of('servicedefaults'), 'api', 'shop')
  await until('why not is said', () => kube.get(of('servicedefaults'), 'api', 'shop').status.conditions[0].reason === 'DeletionRefused')
  kube.delete(of('servicesplitters'), 'api', 'shop')
  await until(
    'both are gone',
    () => !kube.names(of('servicedefaults')).includes('shop/api') && kube.names(of('servicesplitters')).length === 0,
  )
  expect([await entry('service-defaults/api'), await entry('service-splitter/api')]).toEqual([undefined, undefined])
})

it('an API gateway and its routes have the control plane’s own conditions, which follow each other', async () => {
  const conditions = (plural: string): Json[] => kube.get(of(plural), 'edge', 'shop').status?.conditions ?? []
  const stateOf = (plural: string, type: string): string => conditions(plural).find(each => each.type === type)?.status
  put('servicedefaults', 'web', { protocol: 'http' })
  await synced('servicedefaults', 'web')
  put('apigatewayhttproutes', 'edge', {
    parents: [{ kind: 'api-gateway', name: 'edge' }],
    rules: [{ services: [{ name: 'web' }] }],
  })
  await until('the route is in force, and bound to nothing', () => stateOf('apigatewayhttproutes', 'Bound') === 'False')
  put('apigateways', 'edge', { listeners: [{ name: 'http', port: 8080, protocol: 'http' }] })
  await until('the gateway is accepted', () => stateOf('apigateways', 'Accepted') === 'True')
  await until('the route is bound', () => stateOf('apigatewayhttproutes', 'Bound') === 'True')
  expect(conditions('apigateways').map(({ type }) => type)).toEqual(expect.arrayContaining(['Synced', 'Accepted']))
  expect(conditions('apigateways').every(({ reason, type }) => type === 'Synced' || reason !== undefined)).toBe(true)
})

it('intentions that are of another destination now are no longer those of the one before', async () => {
  const sources = [{ name: 'web', action: 'allow' }]
  put('serviceintentions', 'moved', { destination: { name: 'first' }, sources })
  await synced('serviceintentions', 'moved')
  put('serviceintentions', 'moved', { destination: { name: 'second' }, sources: [{ name: 'web', action: 'sometimes' }] })
  expect(await synced('serviceintentions', 'moved')).toMatchObject({ status: 'False' })
  expect(await entry('service-intentions/first')).toBeDefined()
  put('serviceintentions', 'moved', { destination: { name: 'second' }, sources })
  expect(await synced('serviceintentions', 'moved')).toMatchObject({ status: 'True' })
  expect(await entry('service-intentions/second')).toMatchObject({ Sources: [expect.objectContaining({ Name: 'web' })] })
  await until('the one before is gone', async () => (await entry('service-intentions/first')) === undefined)
})

it('two may change places: both are in force all the while', async () => {
  const intentions = (name: string, destination: string): void =>
    put('serviceintentions', name, { destination: { name: destination }, sources: [{ name: `by-${name}`, action: 'allow' }] })
  const callers = async (): Promise<unknown[]> =>
    Promise.all(['left', 'right'].map(async name => (await entry(`service-intentions/${name}`))?.Sources[0].Name))
  intentions('one', 'left')
  intentions('two', 'right')
  await until('each has its own', async () => String(await callers()) === 'by-one,by-two')
  let isWatched = true
  const seen: unknown[] = []
  const watching = (async () => {
    while (isWatched) seen.push(...(await callers()))
  })()
  intentions('one', 'right')
  intentions('two', 'left')
  await until('they have changed places', async () => String(await callers()) === 'by-two,by-one')
  isWatched = false
  await watching
  expect(seen).not.toContain(undefined)
  for (const name of ['one', 'two']) await until('and say so', async () => (await synced('serviceintentions', name)).status === 'True')
})

it('intentions whose last change was refused go with their resource, those of before it', async () => {
  await api.put('/v1/config', { Kind: 'service-intentions', Name: 'theirs', Sources: [{ Name: 'web', Action: 'deny' }] })
  put('serviceintentions', 'ended', { destination: { name: 'ours' }, sources: [{ name: 'web', action: 'allow' }] })
  expect(await synced('serviceintentions', 'ended')).toMatchObject({ status: 'True' })
  put('serviceintentions', 'ended', { destination: { name: 'theirs' }, sources: [{ name: 'web', action: 'allow' }] })
  expect(await synced('serviceintentions', 'ended')).toMatchObject({ reason: 'EntryOfAnother' })
  kube.delete(of('serviceintentions'), 'ended', 'shop')
  await until('the resource is gone', () => kube.get(of('serviceintentions'), 'ended', 'shop') === undefined)
  expect(await entry('service-intentions/ours')).toBeUndefined()
  expect((await entry('service-intentions/theirs')).Sources).toMatchObject([{ Action: 'deny' }])
})

it('intentions that were moved while no controller ran are no longer those of the destination before', async () => {
  const other = await FakeKubeApi.start()
  const otherClient = new KubeClient(other.config)
  const kind = RESOURCE_KINDS.find(each => each.kind === 'ServiceIntentions')!
  const run = (): EntryController =>
    new EntryController({ client: otherClient, api, kind, everyMs: 200, onProblem: () => {}, isRefusal: () => false })
  const resource = (destination: string): void =>
    void other.put(of('serviceintentions'), {
      ...other.get(of('serviceintentions'), 'away', 'yard'),
      metadata: { ...other.get(of('serviceintentions'), 'away', 'yard')?.metadata, name: 'away', namespace: 'yard' },
      spec: { destination: { name: destination }, sources: [{ name: 'web', action: 'allow' }] },
    })
  resource('old')
  const first = run()
  await until('it is in force', () => entry('service-intentions/old'))
  await first.stop()
  resource('new')
  const second = run()
  await until('the new one is in force', () => entry('service-intentions/new'))
  await until('the old one is gone', async () => (await entry('service-intentions/old')) === undefined)
  await second.stop()
  otherClient.close()
  await other.stop()
})

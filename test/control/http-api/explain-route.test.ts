// Explain follows the caller's discovery chain to every service that a request can end at before it says allowed.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ApiFixture } from './api-fixture.js'

let api: ApiFixture
beforeAll(async () => {
  api = await ApiFixture.start()
  const http = (Name: string): object => ({ Kind: 'service-defaults', Name, Protocol: 'http' })
  const allow = (Name: string, ...Sources: object[]): object => ({ Kind: 'service-intentions', Name, Sources })
  const web = { Name: 'web', Action: 'allow' }
  const entries = [
    ...['shop', 'canary', 'admin', 'standby', 'old'].map(http),
    {
      Kind: 'service-router',
      Name: 'shop',
      Routes: [
        { Match: { HTTP: { PathPrefix: '/admin' } }, Destination: { Service: 'admin', PrefixRewrite: '/' } },
        { Match: { HTTP: { PathExact: '/canary', Header: [{ Name: 'x-debug', Present: true }] } }, Destination: { Service: 'canary' } },
        { Match: { HTTP: { PathPrefix: '/split' } }, Destination: { Service: 'split' } },
      ],
    },
    http('split'),
    {
      Kind: 'service-splitter',
      Name: 'split',
      Splits: [
        { Weight: 90, Service: 'shop' },
        { Weight: 10, Service: 'canary' },
      ],
    },
    { Kind: 'service-resolver', Name: 'old', Redirect: { Service: 'shop' } },
    { Kind: 'service-resolver', Name: 'shop', Failover: { '*': { Service: 'standby' } } },
    allow('shop', web),
    allow('admin', { Name: 'web', Permissions: [{ Action: 'allow', HTTP: { PathExact: '/status' } }] }),
    allow('canary', { Name: 'web', Action: 'deny' }),
  ]
  const { status, body } = await api.call('PUT', '/v1/outrigger/config-entries', entries)
  expect([status, body]).toEqual([200, true])
})
afterAll(() => api.stop())

// biome-ignore lint/suspicious/noExplicitAny: the answer is looked into freely.
const explain = async (query: string): Promise<any> => (await api.call('GET', `/v1/outrigger/explain?from=web&${query}`)).body

describe('whether a request finds somebody', () => {
  const register = (Name: string, ID: string, more: object = {}): Promise<unknown> =>
    api.put('/v1/agent/service/register', { Name, ID, Port: 80, Connect: { SidecarService: {} }, ...more })
  const reach = async (query: string) => {
    const { reached, unreached } = await explain(query)
    return { reached, unreached }
  }

  it('is not said of what nobody provides, whatever failover there is', async () => {
    expect(await reach('to=shop&path=/')).toEqual({
      reached: false,
      unreached: ['shop has no instance; failover: standby has no instance'],
    })
    await api.put('/v1/agent/service/register', { Name: 'standby', Port: 80 })
    expect((await reach('to=shop&path=/')).unreached).toEqual([
      'shop has no instance; failover: none of the 1 instances of standby has a sidecar',
    ])
    await register('standby', 'standby')
    expect(await reach('to=shop&path=/')).toEqual({ reached: true, unreached: [] })
  })

  it('is told leg by leg: a subset without instances, instances that fail their checks', async () => {
    const entries = [
      { Kind: 'service-defaults', Name: 'pay', Protocol: 'http' },
      {
        Kind: 'service-resolver',
        Name: 'pay',
        Subsets: { v1: { Filter: 'Service.Meta.version == v1' }, v2: { Filter: 'Service.Meta.version == v2' } },
      },
      {
        Kind: 'service-splitter',
        Name: 'pay',
        Splits: [
          { Weight: 90, ServiceSubset: 'v1' },
          { Weight: 10, ServiceSubset: 'v2' },
        ],
      },
    ]
    expect((await api.call('PUT', '/v1/outrigger/config-entries', entries)).status).toBe(200)
    const check = (Status: string): object => ({ Meta: { version: 'v1' }, Check: { CheckID: 'up', TTL: '1h', Status } })
    await register('pay', 'pay-1', check('passing'))
    const v2 = '10 % of the split, subset v2, none of the 1 instances of pay fits Service.Meta.version == v2'
    expect(await reach('to=pay')).toEqual({ reached: true, unreached: [v2] })
    await api.put('/v1/agent/check/update/up', { Status: 'critical' })
    expect(await reach('to=pay')).toEqual({
      reached: false,
      unreached: ['90 % of the split, subset v1, the only instance of pay is not healthy', v2],
    })
  })
})

describe('explain', () => {
  it('asks the service behind a redirect, and warns of a failover that would be denied', async () => {
    const answer = await explain('to=old&path=/')
    expect(answer).toMatchObject({ allowed: true, intention: 'web -> shop', reason: expect.stringMatching(/^shop: intention web -> shop/) })
    expect(answer.targets).toMatchObject([
      { service: 'shop', failover: false, allowed: true },
      { service: 'standby', via: ['failover'], failover: true, allowed: false },
    ])
    expect(answer.warnings).toContainEqual(expect.stringMatching(/^the failover to standby would be denied: no intention matched/))
  })

  it('takes the route that the path takes, with the path that its target sees', async () => {
    expect(await explain('to=shop&path=/admin/secrets')).toMatchObject({
      allowed: false,
      reason: expect.stringMatching(/^route 1: admin: /),
    })
    expect(await explain('to=shop&path=/adminstatus')).toMatchObject({ allowed: true, intention: 'web -> admin' })
    expect(await explain('to=shop&path=/else')).toMatchObject({ allowed: true, intention: 'web -> shop' })
  })

  it('follows both ways where it can’t know which is taken', async () => {
    const answer = await explain('to=shop&path=/canary')
    expect(answer).toMatchObject({ allowed: false, reason: expect.stringMatching(/^route 2, if it matches: canary: .*denies$/) })
    expect(answer.targets.map(({ service }: { service: string }) => service)).toEqual(['canary', 'shop', 'standby'])
  })

  it('says no where one leg of a split would be refused', async () => {
    expect(await explain('to=split&path=/split')).toMatchObject({
      allowed: false,
      reason: expect.stringMatching(/^10 % of the split: canary: /),
    })
  })
})

describe('intentions/match', () => {
  it('answers for every name', async () => {
    const { body } = await api.call('GET', '/v1/connect/intentions/match?by=destination&name=shop&name=canary&name=nobody')
    const sources = Object.fromEntries(
      Object.entries(body as object).map(([name, list]) => [name, list.map(({ Action }: { Action: string }) => Action)]),
    )
    expect(sources).toEqual({ shop: ['allow'], canary: ['deny'], nobody: [] })
  })
})

describe('PUT /v1/outrigger/config-entries', () => {
  it('writes all or none, and names the entry at fault', async () => {
    const before = (await api.call('GET', '/v1/config')).body
    const entries = [
      { Kind: 'service-defaults', Name: 'shop', Protocol: 'grpc' },
      { Kind: 'service-defaults', Name: 'new', Protocol: 'nonsense' },
    ]
    expect(await api.call('PUT', '/v1/outrigger/config-entries', entries)).toMatchObject({
      status: 400,
      body: expect.stringMatching(/^\[1\]\.Protocol: must be one of/),
    })
    expect((await api.call('GET', '/v1/config')).body).toEqual(before)
    expect((await api.call('PUT', '/v1/outrigger/config-entries', { Kind: 'mesh' })).status).toBe(400)
  })
})

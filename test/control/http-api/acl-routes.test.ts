// Every endpoint with four tokens: none, one that nobody knows, one that may read everything, one that may write everything. What each is
// answered stands in one table, so that a route whose permission changes, or that has none, is seen here.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ControlPlane } from '../../../src/control/control-plane.js'
import { ENDPOINTS } from '../../support/consul-endpoints.js'

const MANAGEMENT = '5f0d8d1e-8c55-4a5c-8a39-0f6f2f7a5d10'
/** These answer for as long as the client listens, or end the process. */
const NOT_ASKED = new Set(['GET /v1/agent/monitor', 'GET /v1/agent/metrics/stream', 'PUT /v1/agent/leave'])
/** Judged by what stands in the body. */
const BODIES: Readonly<Record<string, unknown>> = {
  'PUT /v1/agent/service/register': { Name: 'x', ID: 'x', Port: 80 },
  'PUT /v1/agent/check/register': { Name: 'c', CheckID: 'c', TTL: '10m' },
  'PUT /v1/catalog/register': { Node: 'y', Address: '10.0.0.2' },
  'PUT /v1/catalog/deregister': { Node: 'y' },
  'PUT /v1/config': { Kind: 'service-defaults', Name: 'x', Protocol: 'http' },
  'POST /v1/connect/intentions': { SourceName: 'a', DestinationName: 'x', Action: 'allow' },
  'PUT /v1/connect/intentions/exact': { Action: 'allow' },
  'POST /v1/agent/connect/authorize': { Target: 'x', ClientCertURI: 'spiffe://x', ClientCertSerial: '1' },
  'PUT /v1/txn': [{ KV: { Verb: 'set', Key: 'x', Value: 'eA==' } }],
  'POST /v1/query': { Name: 'x', Service: { Service: 'x' } },
  'PUT /v1/query/x': { Name: 'x', Service: { Service: 'x' } },
  'PUT /v1/coordinate/update': { Node: 'x', Coord: {} },
  'POST /v1/internal/acl/authorize': [],
}
const QUERIES: Readonly<Record<string, string>> = {
  'GET /v1/connect/intentions/check': '?source=a&destination=x',
  'GET /v1/connect/intentions/match': '?by=destination&name=x',
  'GET /v1/connect/intentions/exact': '?source=a&destination=x',
  'PUT /v1/connect/intentions/exact': '?source=a&destination=x',
  'DELETE /v1/connect/intentions/exact': '?source=a&destination=x',
}
const TOKENS = ['none', 'wrong', 'read', 'write'] as const
type Outcome = 'denied' | 'empty' | 'open'

let plane: ControlPlane
const outcomes = new Map<string, Record<(typeof TOKENS)[number], Outcome>>()

async function call(method: string, path: string, token: string | undefined, body?: unknown): Promise<Response> {
  return fetch(`http://${plane.httpAddress}${path}`, {
    method,
    headers: token === undefined ? {} : { 'x-consul-token': token },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
}

const everything = (access: 'read' | 'write'): string =>
  [
    ...['agent', 'event', 'key', 'node', 'query', 'service', 'session'].map(resource =>
      resource === 'service'
        ? `service_prefix "" { policy = "${access}" intentions = "${access}" }`
        : `${resource}_prefix "" { policy = "${access}" }`,
    ),
    ...['acl', 'keyring', 'mesh', 'operator', 'peering'].map(resource => `${resource} = "${access}"`),
  ].join('\n')

beforeAll(async () => {
  plane = new ControlPlane({
    httpAddr: '127.0.0.1:0',
    grpcAddr: '127.0.0.1:0',
    nodeName: 'x',
    acl: { defaultPolicy: 'deny', initialManagement: MANAGEMENT },
  })
  await plane.start()
  const secrets: Partial<Record<(typeof TOKENS)[number], string>> = { wrong: '0b0b0b0b-0000-0000-0000-000000000000' }
  for (const access of ['read', 'write'] as const) {
    await call('PUT', '/v1/acl/policy', MANAGEMENT, { Name: access, Rules: everything(access) })
    const created = await call('PUT', '/v1/acl/token', MANAGEMENT, { Policies: [{ Name: access }] })
    secrets[access] = ((await created.json()) as { SecretID: string }).SecretID
  }
  for (const [path, body] of [
    ['/v1/agent/service/register', { Name: 'x', ID: 'x', Port: 80, Check: { CheckID: 'x', TTL: '10m' }, Connect: { SidecarService: {} } }],
    ['/v1/kv/x', 'value'],
    ['/v1/config', { Kind: 'service-intentions', Name: 'x', Sources: [{ Name: 'a', Action: 'allow' }] }],
    ['/v1/session/create', {}],
    ['/v1/event/fire/x', undefined],
  ] as const)
    expect((await call('PUT', path, MANAGEMENT, body)).status, path).toBe(200)
  await call('POST', '/v1/query', MANAGEMENT, { Name: 'x', Service: { Service: 'x' } })
  for (const token of TOKENS)
    for (const { method, path, state } of ENDPOINTS) {
      const endpoint = `${method} ${path}`
      if (state === 'absent' || NOT_ASKED.has(endpoint)) continue
      const answer = await call(method, `${path}${QUERIES[endpoint] ?? ''}`, secrets[token], BODIES[endpoint])
      const text = await answer.text()
      const outcome = answer.status === 403 ? 'denied' : answer.status === 200 && /^(\[\]|\{\}|null)$/.test(text) ? 'empty' : 'open'
      outcomes.set(endpoint, { ...outcomes.get(endpoint)!, [token]: outcome })
    }
})
afterAll(() => plane.stop())

/** Endpoint: what is answered without a token, and to one that may read. Where a line has a third word, it is the writer's; else it is open. */
const TABLE = `
DELETE /v1/acl/auth-method/x                         denied denied
DELETE /v1/acl/binding-rule/x                        denied denied
DELETE /v1/acl/policy/x                              denied denied
DELETE /v1/acl/role/x                                denied denied
DELETE /v1/acl/token/x                               denied denied
DELETE /v1/config/x/x                                denied denied
DELETE /v1/connect/intentions/exact                  denied denied
DELETE /v1/connect/intentions/x                      denied denied
DELETE /v1/kv/x                                      denied denied
DELETE /v1/operator/keyring                          denied denied
DELETE /v1/operator/raft/peer                        denied denied
DELETE /v1/peering/x                                 denied denied
DELETE /v1/query/x                                   denied denied
GET /v1/acl/auth-method/x                            denied open
GET /v1/acl/auth-methods                             denied empty
GET /v1/acl/binding-rule/x                           denied open
GET /v1/acl/binding-rules                            denied empty
GET /v1/acl/policies                                 denied open
GET /v1/acl/policy/name/x                            denied open
GET /v1/acl/policy/x                                 denied open
GET /v1/acl/replication                              open open
GET /v1/acl/role/name/x                              denied open
GET /v1/acl/role/x                                   denied open
GET /v1/acl/roles                                    denied empty
GET /v1/acl/templated-policies                       denied open
GET /v1/acl/templated-policy/name/x                  denied open
GET /v1/acl/token/self                               open open
GET /v1/acl/token/x                                  denied open
GET /v1/acl/tokens                                   denied open
GET /v1/agent/checks                                 empty open
GET /v1/agent/connect/ca/leaf/x                      denied denied
GET /v1/agent/connect/ca/roots                       open open
GET /v1/agent/health/service/id/x                    denied open
GET /v1/agent/health/service/name/x                  denied open
GET /v1/agent/host                                   denied open
GET /v1/agent/members                                empty open
GET /v1/agent/metrics                                denied open
GET /v1/agent/self                                   denied open
GET /v1/agent/service/x                              denied open
GET /v1/agent/services                               empty open
GET /v1/agent/version                                open open
GET /v1/catalog/connect/x                            empty open
GET /v1/catalog/datacenters                          open open
GET /v1/catalog/gateway-services/x                   empty empty
GET /v1/catalog/node-services/x                      denied open
GET /v1/catalog/node/x                               denied open
GET /v1/catalog/nodes                                empty open
GET /v1/catalog/service/x                            empty open
GET /v1/catalog/services                             empty open
GET /v1/config/x                                     open open
GET /v1/config/x/x                                   denied open
GET /v1/connect/ca/configuration                     denied open
GET /v1/connect/ca/roots                             open open
GET /v1/connect/intentions                           empty open
GET /v1/connect/intentions/check                     denied open
GET /v1/connect/intentions/exact                     denied open
GET /v1/connect/intentions/match                     denied open
GET /v1/connect/intentions/x                         denied open
GET /v1/coordinate/datacenters                       open open
GET /v1/coordinate/node/x                            denied open
GET /v1/coordinate/nodes                             empty open
GET /v1/discovery-chain/x                            denied open
GET /v1/event/list                                   empty open
GET /v1/exported-services                            denied empty
GET /v1/health/checks/x                              empty open
GET /v1/health/connect/x                             empty open
GET /v1/health/ingress/x                             empty empty
GET /v1/health/node/x                                empty open
GET /v1/health/service/x                             empty open
GET /v1/health/state/any                             empty open
GET /v1/imported-services                            denied empty
GET /v1/internal/federation-state/x                  open open
GET /v1/internal/federation-states                   empty empty
GET /v1/internal/federation-states/mesh-gateways     empty empty
GET /v1/internal/ui/catalog-overview                 denied open
GET /v1/internal/ui/exported-services                empty empty
GET /v1/internal/ui/gateway-intentions/x             empty empty
GET /v1/internal/ui/gateway-services-nodes/x         empty empty
GET /v1/internal/ui/metrics-proxy/x                  open open
GET /v1/internal/ui/node/x                           denied open
GET /v1/internal/ui/nodes                            empty open
GET /v1/internal/ui/service-topology/x               denied open
GET /v1/internal/ui/services                         empty open
GET /v1/kv/x                                         denied open
GET /v1/operator/autopilot/configuration             denied open
GET /v1/operator/autopilot/health                    denied open
GET /v1/operator/autopilot/state                     denied open
GET /v1/operator/keyring                             denied open
GET /v1/operator/raft/configuration                  denied open
GET /v1/operator/usage                               denied open
GET /v1/peering/x                                    denied open
GET /v1/peerings                                     denied empty
GET /v1/query                                        empty open
GET /v1/query/x                                      open open
GET /v1/query/x/execute                              open open
GET /v1/query/x/explain                              denied open
GET /v1/session/info/x                               open open
GET /v1/session/list                                 empty open
GET /v1/session/node/x                               empty open
GET /v1/snapshot                                     denied denied
GET /v1/status/leader                                open open
GET /v1/status/peers                                 open open
POST /v1/acl/login                                   open open
POST /v1/acl/logout                                  denied denied denied
POST /v1/acl/templated-policy/preview/x              denied open
POST /v1/agent/connect/authorize                     denied denied
POST /v1/connect/intentions                          denied denied
POST /v1/discovery-chain/x                           denied open
POST /v1/internal/acl/authorize                      empty empty
POST /v1/operator/keyring                            denied denied
POST /v1/operator/raft/transfer-leader               denied denied
POST /v1/peering/establish                           denied denied
POST /v1/peering/token                               denied denied
POST /v1/query                                       denied denied
PUT /v1/acl/auth-method                              denied denied
PUT /v1/acl/auth-method/x                            denied denied
PUT /v1/acl/binding-rule                             denied denied
PUT /v1/acl/binding-rule/x                           denied denied
PUT /v1/acl/bootstrap                                denied denied denied
PUT /v1/acl/policy                                   denied denied
PUT /v1/acl/policy/x                                 denied denied
PUT /v1/acl/role                                     denied denied
PUT /v1/acl/role/x                                   denied denied
PUT /v1/acl/token                                    denied denied
PUT /v1/acl/token/x                                  denied denied
PUT /v1/agent/check/deregister/x                     denied denied
PUT /v1/agent/check/fail/x                           denied denied
PUT /v1/agent/check/pass/x                           denied denied
PUT /v1/agent/check/register                         denied denied
PUT /v1/agent/check/update/x                         denied denied
PUT /v1/agent/check/warn/x                           denied denied
PUT /v1/agent/force-leave/x                          denied denied
PUT /v1/agent/join/x                                 denied denied
PUT /v1/agent/maintenance                            denied denied
PUT /v1/agent/reload                                 denied denied
PUT /v1/agent/service/deregister/x                   denied denied
PUT /v1/agent/service/maintenance/x                  denied denied
PUT /v1/agent/service/register                       denied denied
PUT /v1/agent/token/default                          denied denied
PUT /v1/catalog/deregister                           denied denied
PUT /v1/catalog/register                             denied denied
PUT /v1/config                                       denied denied
PUT /v1/connect/ca/configuration                     denied denied
PUT /v1/connect/intentions/exact                     denied denied
PUT /v1/connect/intentions/x                         denied denied
PUT /v1/coordinate/update                            denied denied
PUT /v1/event/fire/x                                 denied denied
PUT /v1/internal/service-virtual-ip                  denied denied
PUT /v1/kv/x                                         denied denied
PUT /v1/operator/autopilot/configuration             denied denied
PUT /v1/operator/keyring                             denied denied
PUT /v1/query/x                                      denied denied
PUT /v1/session/create                               denied denied
PUT /v1/session/destroy/x                            denied denied
PUT /v1/session/renew/x                              denied denied
PUT /v1/snapshot                                     denied denied
PUT /v1/txn                                          denied denied
`

describe('permissions of every endpoint', () => {
  it('are those of the table', () => {
    const lines = [...outcomes].map(([endpoint, { none, read, write }]) => {
      const written = write === 'denied' ? ' denied' : ''
      return `${endpoint.padEnd(52)} ${none} ${read}${written}`
    })
    expect(lines.sort().join('\n')).toBe(TABLE.trim())
  })

  it('nobody is served by a token that is not there', () => {
    const served = [...outcomes].filter(([, { wrong }]) => wrong !== 'denied').map(([endpoint]) => endpoint)
    // Who logs in shows no token, and bootstrap is refused to everyone once it was done.
    expect(served).toEqual(['POST /v1/acl/login'])
  })

  it('an intention is written by its id only by who may write it, whatever the body says', async () => {
    const entry = { Kind: 'service-intentions', Name: 'x', Sources: [{ Name: 'a', Action: 'allow' }] }
    expect((await call('PUT', '/v1/config', MANAGEMENT, entry)).status).toBe(200)
    const list = (await (await call('GET', '/v1/connect/intentions', MANAGEMENT)).json()) as { ID: string }[]
    await call('PUT', '/v1/acl/policy', MANAGEMENT, { Name: 'other', Rules: 'service "y" { policy = "write" intentions = "write" }' })
    const created = await call('PUT', '/v1/acl/token', MANAGEMENT, { Policies: [{ Name: 'other' }] })
    const { SecretID } = (await created.json()) as { SecretID: string }
    for (const token of [undefined, SecretID])
      for (const [method, body] of [
        ['PUT', { SourceName: 'a', DestinationName: 'y', Action: 'deny' }],
        ['PUT', { Action: 'deny' }],
        ['DELETE', undefined],
        ['GET', undefined],
      ] as const)
        expect((await call(method, `/v1/connect/intentions/${list[0]!.ID}`, token, body)).status, method).toBe(403)
  })
})

// set_metadata, set_filter_state and json_to_metadata in the real Envoy and in Outrigger: the same requests, and what the log says of metadata and
// filter state must be equal, and the counters. Needs ENVOY_BIN; skipped by name elsewhere.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Exchange, envoyBin, exchange, type Peer, startPair } from '../support/envoy-pair.js'
import { hcm, listener, router, staticCluster, stopAll, typed, until } from '../support/proxy-process.js'

const pair = (key: string, more: object = {}): object => ({ metadata_namespace: 'json', key, ...more })
const RULES = {
  rules: [
    {
      selectors: [{ key: 'a' }, { key: 'b' }],
      on_present: pair('deep'),
      on_missing: pair('deep', { value: 'none' }),
      on_error: pair('deep', { value: 'bad' }),
    },
    { selectors: [{ key: 'n' }], on_present: pair('text', { type: 'STRING' }) },
    { selectors: [{ key: 's' }], on_present: pair('number', { type: 'NUMBER' }), on_error: pair('number', { value: -1 }) },
    { selectors: [{ key: 'n' }], on_present: pair('own', { value: 'v' }) },
    { selectors: [{ key: 'n' }], on_present: pair('own', { value: 'w', preserve_existing_metadata_value: true }) },
  ],
}

const FILTERS = [
  typed('envoy.filters.http.set_metadata', 'filters.http.set_metadata.v3.Config', {
    metadata: [
      { metadata_namespace: 'set', value: { a: 1, o: { x: 1 }, l: [1] } },
      { metadata_namespace: 'set', value: { a: 2, o: { y: 2 }, l: [2] }, allow_overwrite: true },
      { metadata_namespace: 'set', value: { a: 3 } },
    ],
  }),
  typed('envoy.filters.http.set_filter_state', 'filters.http.set_filter_state.v3.Config', {
    on_request_headers: [
      {
        object_key: 'mine',
        factory_key: 'envoy.string',
        format_string: { text_format_source: { inline_string: '%REQ(x-a)%|%REQ(:method)%' } },
      },
    ],
  }),
  typed('envoy.filters.http.json_to_metadata', 'filters.http.json_to_metadata.v3.JsonToMetadata', {
    request_rules: { ...RULES, allow_content_types_regex: { regex: 'application/.*\\+json' } },
    response_rules: { rules: [{ selectors: [{ key: 'r' }], on_present: { metadata_namespace: 'answer', key: 'r' } }] },
  }),
  router,
]

const LOG =
  'LOG %REQ(x-mark)% %DYNAMIC_METADATA(set)% %DYNAMIC_METADATA(json)% %DYNAMIC_METADATA(answer)% %FILTER_STATE(mine:PLAIN)% %RESPONSE_CODE%'

const bootstrap = (port: number, origin: number): object => ({
  static_resources: {
    listeners: [
      listener('in', port, [
        hcm(
          {
            stat_prefix: 'in',
            access_log: [
              typed('envoy.access_loggers.stdout', 'access_loggers.stream.v3.StdoutAccessLog', {
                log_format: { text_format_source: { inline_string: `${LOG}\n` } },
              }),
            ],
            route_config: {
              virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'origin' } }] }],
            },
          },
          FILTERS,
        ),
      ]),
    ],
    clusters: [staticCluster('origin', origin)],
  },
})

const json = (body: string, type = 'application/json'): Exchange => ({ path: '/', method: 'POST', body, headers: { 'content-type': type } })
const EXCHANGES: readonly Exchange[] = [
  json('{"a":{"b":true},"n":1.5,"s":"12"}'),
  json('{"a":{"b":"text"},"n":7,"s":8}'),
  json('{"a":[],"n":"x","s":"y"}'),
  json('{"a":{"c":1},"n":true}', 'application/x+json'),
  json('{"n":1}', 'application/json; charset=utf-8'),
  json('{'),
  json(''),
  json('[1]'),
  json('{"n":1}', 'text/plain'),
  json('{"n":1}', 'application/x+json; charset=utf-8'),
  json('{"n":null,"s":null}'),
  json('{"n":[1],"s":{"x":1}}'),
  json('{"n":{},"s":[]}'),
  json('{"a":5,"n":"","s":""}'),
  json('{"a":{"b":null},"n":-0.5,"s":"0x10"}'),
  json('{"a":{"b":12345678901},"n":12345678901,"s":" 1"}'),
  json('{"a":{"b":1e3},"s":"1e3"}'),
  ...[
    '1.0',
    '1e3',
    '1E+2',
    '-0',
    '-0.0',
    '9007199254740993',
    '-9223372036854775808',
    '9223372036854775807',
    '1e22',
    '2.5e-1',
    '0.1234567',
  ].map(n => json(`{"n":${n},"a":{"b":"\\"1e3\\\\","n":1.0}}`)),
  json('1'),
  json('null'),
  json('"x"'),
  json('[]'),
  { path: '/', headers: { 'x-a': 'v' } },
  { path: '/', headers: { 'content-type': 'application/json' } },
]

describe.skipIf(envoyBin === undefined)('metadata by filters in Envoy and in Outrigger (needs ENVOY_BIN)', () => {
  let origin: Server
  let peers: { readonly envoy: Peer; readonly ours: Peer }

  beforeAll(async () => {
    origin = createServer((incoming, response) => {
      incoming.resume()
      incoming.on('end', () => response.writeHead(200, { 'content-type': 'application/json' }).end('{"r":"back"}'))
    })
    await new Promise<void>(resolve => origin.listen(0, '127.0.0.1', () => resolve()))
    peers = await startPair(port => bootstrap(port, (origin.address() as AddressInfo).port))
  })

  afterAll(async () => {
    await stopAll()
    origin.close()
  })

  /** Keys of an object in any order. */
  const canonical = (line: string): string =>
    line.replace(/\{[^ ]*\}/g, text => JSON.stringify(Object.entries(JSON.parse(text) as object).sort(([a], [b]) => (a < b ? -1 : 1))))

  it('says the same of them in the log', async () => {
    const both = [peers.envoy, peers.ours]
    for (const [i, one] of EXCHANGES.entries())
      await Promise.all(both.map(peer => exchange(peer, { ...one, headers: { ...one.headers, 'x-mark': `m${i}` } })))
    const told: string[][] = []
    for (const i of EXCHANGES.keys()) {
      const lines = both.map(async ({ proxy }) => {
        const line = await until(`the log of m${i}`, () => proxy.log.split('\n').find(text => text.includes(`LOG m${i} `)))
        return canonical(line.slice(line.indexOf('LOG')))
      })
      told.push(await Promise.all(lines))
    }
    expect(told.map(([, ours]) => ours)).toEqual(told.map(([envoys]) => envoys))
  })

  it('counts the same', async () => {
    const names = ['rq', 'resp'].flatMap(side =>
      ['success', 'mismatched_content_type', 'no_body', 'invalid_json_body'].map(name => `json_to_metadata.${side}.${name}`),
    )
    names.push('http.in.set_metadata.overwrite_denied')
    const [theirs, ours] = await Promise.all([peers.envoy, peers.ours].map(peer => peer.proxy.stats()))
    expect(names.map(name => [name, ours!.get(name)])).toEqual(names.map(name => [name, theirs!.get(name)]))
  })
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseConfigEntry } from '../../../src/control/config-entries/parse-config-entry.js'

type Raw = Record<string, unknown>

function accepted(raw: unknown) {
  const parsed = parseConfigEntry(raw)
  if ('errors' in parsed) throw new Error(JSON.stringify(parsed.errors))
  return parsed.entry
}

const refused = (raw: unknown) => {
  const parsed = parseConfigEntry(raw)
  return 'errors' in parsed ? parsed.errors : []
}

const router = (route: Raw) => ({ Kind: 'service-router', Name: 'web', Routes: [route] })
const http = (match: Raw) => router({ Match: { HTTP: match } })
const splitter = (...Splits: Raw[]) => ({ Kind: 'service-splitter', Name: 'web', Splits })
const resolver = (fields: Raw) => ({ Kind: 'service-resolver', Name: 'web', ...fields })
const balancer = (LoadBalancer: Raw) => resolver({ LoadBalancer })
const hash = (policy: Raw) => balancer({ Policy: 'maglev', HashPolicies: [policy] })
const intentions = (...Sources: Raw[]) => ({ Kind: 'service-intentions', Name: 'api', Sources })
const permission = (fields: Raw) => intentions({ Name: 'web', Permissions: [fields] })
const defaults = (fields: Raw) => ({ Kind: 'service-defaults', Name: 'web', ...fields })
const proxyDefaults = (fields: Raw) => ({ Kind: 'proxy-defaults', Name: 'global', ...fields })
const mesh = (fields: Raw) => ({ Kind: 'mesh', ...fields })
const exported = (service: Raw) => ({ Kind: 'exported-services', Name: 'default', Services: [service] })
const jwt = (fields: Raw) => ({ Kind: 'jwt-provider', Name: 'okta', JSONWebKeySet: { Local: { Filename: '/jwks.json' } }, ...fields })

describe('spellings and canonical form', () => {
  test('snake_case, CamelCase and a mixture give the same entry', () => {
    const camel = accepted({
      Kind: 'service-router',
      Name: 'web',
      Routes: [
        {
          Match: { HTTP: { PathPrefix: '/a', QueryParam: [{ Name: 'x', Present: true }], Methods: ['GET'] } },
          Destination: { ServiceSubset: 'v1', PrefixRewrite: '/', RequestTimeout: '30s', RetryOnStatusCodes: [503] },
        },
      ],
    })
    const snake = accepted({
      kind: 'service-router',
      name: 'web',
      routes: [
        {
          match: { http: { path_prefix: '/a', query_param: [{ name: 'x', present: true }], methods: ['get'] } },
          destination: { service_subset: 'v1', PrefixRewrite: '/', request_timeout: 30e9, retry_on_status_codes: ['503'] },
        },
      ],
    })
    expect(snake).toEqual(camel)
  })

  test('acronyms are found in both spellings', () => {
    expect(accepted(mesh({ tls: { incoming: { tls_min_version: 'TLSv1_2' } }, http: { sanitize_x_forwarded_client_cert: true } }))).toEqual(
      {
        Kind: 'mesh',
        Name: 'mesh',
        TLS: { Incoming: { TLSMinVersion: 'TLSv1_2' } },
        HTTP: { SanitizeXForwardedClientCert: true },
      },
    )
    expect(accepted({ kind: 'jwt-provider', name: 'x', json_web_key_set: { local: { filename: '/k' } } })).toMatchObject({
      JSONWebKeySet: { Local: { Filename: '/k' } },
      ClockSkewSeconds: 30,
    })
  })

  test('keys of user maps are left as they are', () => {
    const entry = accepted(
      resolver({
        meta: { some_key: 'a', SomeKey: 'b' },
        subsets: { 'v1-a': { filter: 'Service.Meta.some_key == x', only_passing: true } },
        failover: { '*': { datacenters: ['dc2'] } },
      }),
    )
    expect(entry).toMatchObject({
      Meta: { some_key: 'a', SomeKey: 'b' },
      Subsets: { 'v1-a': { Filter: 'Service.Meta.some_key == x', OnlyPassing: true } },
      Failover: { '*': { Datacenters: ['dc2'] } },
    })
    const config = { envoy_prometheus_bind_addr: '0.0.0.0:9102', Nested_Key: { inner_key: [1, null] } }
    expect(accepted(proxyDefaults({ config }))).toMatchObject({ Config: config })
    const headers = { request_headers: { add: { X_Odd: '1', 'x-a': '2' }, remove: ['X-B'] } }
    expect(accepted(splitter({ weight: 100, ...headers }))).toMatchObject({
      Splits: [{ RequestHeaders: { Add: { X_Odd: '1', 'x-a': '2' }, Remove: ['X-B'] } }],
    })
  })

  test('durations come out as Go prints them, zero values are absent, read-only fields are dropped', () => {
    const entry = accepted(
      resolver({ ConnectTimeout: 90_000_000_000, RequestTimeout: '0s', DefaultSubset: '', CreateIndex: 4, ModifyIndex: 9, Hash: 1 }),
    )
    expect(JSON.parse(JSON.stringify(entry))).toEqual({ Kind: 'service-resolver', Name: 'web', ConnectTimeout: '1m30s' })
  })

  test('blocks as HCL makes them in JSON: lists of one for objects, one object for lists', () => {
    expect(accepted(router({ match: [{ http: [{ path_exact: '/x' }] }] }))).toMatchObject({
      Routes: [{ Match: { HTTP: { PathExact: '/x' } } }],
    })
    expect(accepted({ kind: 'service-intentions', name: 'api', sources: { name: 'web', action: 'allow' } })).toMatchObject({
      Sources: [{ Name: 'web', Action: 'allow', Type: 'consul', Precedence: 9 }],
    })
  })

  test('an accepted entry parses to itself', () => {
    const entries = [
      splitter({ Weight: 33.33 }, { Weight: 66.67, Service: 'other' }),
      intentions({ Name: '*', Action: 'deny' }, { Name: 'web', Permissions: [{ Action: 'allow', HTTP: { Methods: ['get'] } }] }),
      jwt({ Issuer: 'x' }),
      mesh({}),
      proxyDefaults({ Config: { protocol: 'http' } }),
      exported({ Name: 'api', Consumers: [{ Peer: 'p' }] }),
      router({ Match: { HTTP: { PathExact: '/' } } }),
    ]
    for (const raw of entries) {
      const once = JSON.parse(JSON.stringify(accepted(raw)))
      expect(JSON.parse(JSON.stringify(accepted(once)))).toEqual(once)
    }
  })

  test('sources are sorted by precedence, which a client cannot set', () => {
    const entry = accepted(intentions({ Name: '*', Action: 'deny', Precedence: 99 }, { Name: 'web', Action: 'allow' }))
    expect(entry).toMatchObject({
      Sources: [
        { Name: 'web', Precedence: 9 },
        { Name: '*', Precedence: 8 },
      ],
    })
    const wild = accepted({
      Kind: 'service-intentions',
      Name: '*',
      Sources: [
        { Name: '*', Action: 'deny' },
        { Name: 'web', Action: 'allow' },
      ],
    })
    expect(wild).toMatchObject({ Sources: [{ Precedence: 6 }, { Precedence: 5 }] })
  })

  test('a key __proto__ sets nothing: refused in maps, kept as data in opaque config', () => {
    expect(refused(JSON.parse('{"Kind":"mesh","__proto__":{"x":1}}'))).toEqual([{ path: '__proto__', reason: 'unknown field' }])
    expect(refused(JSON.parse('{"Kind":"mesh","Meta":{"__proto__":"x"}}'))[0]!.reason).toContain('__proto__')
    const entry = accepted(JSON.parse('{"Kind":"proxy-defaults","Name":"global","Config":{"a":{"__proto__":{"polluted":1}}}}'))
    expect(JSON.stringify(entry)).toContain('"__proto__":{"polluted":1}')
    expect(({} as Raw).polluted).toBeUndefined()
  })
})

describe('refusals name the path', () => {
  test.each<[string, unknown, string, RegExp]>([
    ['not an object', 'x', '', /must be an object/],
    ['a list', [], '', /must be an object/],
    ['no kind', { Name: 'x' }, 'Kind', /required/],
    [
      'unsupported kind',
      { Kind: 'bound-api-gateway', Name: 'x' },
      'Kind',
      /kind bound-api-gateway is not supported: it is made here, of gateways and their routes, and only read/,
    ],
    ['unknown kind', { Kind: 'service-magic', Name: 'x' }, 'Kind', /unknown kind/],
    ['unknown field', defaults({ Protocoll: 'http' }), 'Protocoll', /unknown field/],
    ['unknown nested field', http({ Pathh: '/x' }), 'Routes[0].Match.HTTP.Pathh', /unknown field/],
    ['a field twice', defaults({ external_sni: 'a', ExternalSNI: 'b' }), 'ExternalSNI', /given twice/],
    ['wrong type', defaults({ MaxInboundConnections: 'many' }), 'MaxInboundConnections', /whole number/],
    ['meta value', defaults({ Meta: { a: 1 } }), 'Meta.a', /string/],
    ['meta too long', defaults({ Meta: { a: 'x'.repeat(513) } }), 'Meta.a', /longer/],
    ['namespace', defaults({ Namespace: 'team' }), 'Namespace', /only "default"/],
    ['no name', { Kind: 'service-defaults' }, 'Name', /required/],
    ['slash in name', defaults({ Name: 'a/b' }), 'Name', /contains/],
    // service-defaults
    ['wildcard defaults', defaults({ Name: '*' }), 'Name', /wildcard/],
    ['protocol', defaults({ Protocol: 'htpp' }), 'Protocol', /one of tcp, http, http2, grpc/],
    [
      'override without name',
      defaults({ UpstreamConfig: { Overrides: [{ ConnectTimeoutMs: 1 }] } }),
      'UpstreamConfig.Overrides[0].Name',
      /required/,
    ],
    ['defaults with name', defaults({ UpstreamConfig: { Defaults: { Name: 'x' } } }), 'UpstreamConfig.Defaults.Name', /empty/],
    [
      'negative limit',
      defaults({ UpstreamConfig: { Defaults: { Limits: { MaxConnections: -1 } } } }),
      'UpstreamConfig.Defaults.Limits.MaxConnections',
      /0/,
    ],
    [
      'destination and upstreams',
      defaults({ Destination: { Addresses: ['a'], Port: 1 }, UpstreamConfig: {} }),
      'Destination',
      /cannot both/,
    ],
    ['destination twice', defaults({ Destination: { Addresses: ['a', 'a'], Port: 1 } }), 'Destination.Addresses[1]', /more than once/],
    ['destination wildcard', defaults({ Destination: { Addresses: ['*.a'], Port: 1 } }), 'Destination.Addresses[0]', /wildcard/],
    ['destination port', defaults({ Destination: { Addresses: ['a'], Port: 0 } }), 'Destination.Port', /65535/],
    // proxy-defaults
    ['proxy-defaults name', proxyDefaults({ Name: 'web' }), 'Name', /global/],
    ['config type', proxyDefaults({ Config: { local_connect_timeout_ms: 'x' } }), 'Config.local_connect_timeout_ms', /must be an integer/],
    ['config protocol', proxyDefaults({ Config: { protocol: 'x' } }), 'Config.protocol', /one of/],
    ['access log file', proxyDefaults({ AccessLogs: { Type: 'file' } }), 'AccessLogs.Path', /required/],
    ['access log formats', proxyDefaults({ AccessLogs: { JSONFormat: '{}', TextFormat: 'x' } }), 'AccessLogs', /both/],
    ['access log JSON', proxyDefaults({ AccessLogs: { JSONFormat: '{' } }), 'AccessLogs.JSONFormat', /not JSON/],
    // service-router
    ['two paths', http({ PathExact: '/a', PathPrefix: '/b' }), 'Routes[0].Match.HTTP', /more than one/],
    ['path without slash', http({ PathPrefix: 'a' }), 'Routes[0].Match.HTTP.PathPrefix', /start with/],
    ['bad regex', http({ PathRegex: '(' }), 'Routes[0].Match.HTTP.PathRegex', /RE2/],
    ['look-ahead is no RE2', http({ PathRegex: '/(?!admin)' }), 'Routes[0].Match.HTTP.PathRegex', /RE2/],
    ['header without name', http({ Header: [{ Present: true }] }), 'Routes[0].Match.HTTP.Header[0].Name', /required/],
    ['header without matcher', http({ Header: [{ Name: 'x' }] }), 'Routes[0].Match.HTTP.Header[0]', /exactly one/],
    ['header with two', http({ Header: [{ Name: 'x', Exact: 'a', Prefix: 'b' }] }), 'Routes[0].Match.HTTP.Header[0]', /exactly one/],
    [
      'ignore case of a regex',
      http({ Header: [{ Name: 'x', Regex: 'a', IgnoreCase: true }] }),
      'Routes[0].Match.HTTP.Header[0].IgnoreCase',
      /only to/,
    ],
    [
      'query with two',
      http({ QueryParam: [{ Name: 'x', Exact: 'a', Present: true }] }),
      'Routes[0].Match.HTTP.QueryParam[0]',
      /exactly one/,
    ],
    ['bad method', http({ Methods: ['FETCH'] }), 'Routes[0].Match.HTTP.Methods', /invalid method "FETCH"/],
    ['method twice', http({ Methods: ['GET', 'get'] }), 'Routes[0].Match.HTTP.Methods', /GET more than once/],
    ['rewrite without path', router({ Destination: { PrefixRewrite: '/' } }), 'Routes[0].Destination.PrefixRewrite', /needs/],
    ['retry condition', router({ Destination: { RetryOn: ['sometimes'] } }), 'Routes[0].Destination.RetryOn[0]', /retry condition/],
    ['duration', router({ Destination: { RequestTimeout: '5' } }), 'Routes[0].Destination.RequestTimeout', /duration/],
    [
      'line break in header',
      router({ Destination: { RequestHeaders: { Add: { a: 'x\r\nb: c' } } } }),
      'Routes[0].Destination.RequestHeaders.Add.a',
      /line break/,
    ],
    [
      'host removed',
      router({ Destination: { RequestHeaders: { Remove: ['Host'] } } }),
      'Routes[0].Destination.RequestHeaders.Remove[0]',
      /host/,
    ],
    // service-splitter
    ['no splits', splitter(), 'Splits', /no splits/],
    ['sum 99', splitter({ Weight: 49 }, { Weight: 50, Service: 'b' }), 'Splits', /must be 100, not 99/],
    ['sum 100.01', splitter({ Weight: 50.01 }, { Weight: 50, Service: 'b' }), 'Splits', /not 100.01/],
    ['negative weight', splitter({ Weight: -1 }, { Weight: 101, Service: 'b' }), 'Splits[0].Weight', /from 0 to 100/],
    ['same destination twice', splitter({ Weight: 50 }, { Weight: 50, Service: 'web' }), 'Splits[1]', /more than once/],
    // service-resolver
    ['subset name', resolver({ Subsets: { V1: {} } }), 'Subsets["V1"]', /DNS label/],
    ['subset filter', resolver({ Subsets: { v1: { Filter: 'Service.Meta.version = v1' } } }), 'Subsets["v1"].Filter', /position 22/],
    ['default subset', resolver({ DefaultSubset: 'v9' }), 'DefaultSubset', /not a subset/],
    ['inherited names are no subsets', resolver({ DefaultSubset: 'constructor', Subsets: { v1: {} } }), 'DefaultSubset', /not a subset/],
    ['redirect and failover', resolver({ Redirect: { Service: 'b' }, Failover: { '*': { Service: 'c' } } }), 'Redirect', /both/],
    ['redirect empty', resolver({ Redirect: {} }), 'Redirect', /empty/],
    ['redirect subset without service', resolver({ Redirect: { ServiceSubset: 'v1' } }), 'Redirect.ServiceSubset', /needs/],
    ['redirect peer and datacenter', resolver({ Redirect: { Service: 'b', Peer: 'p', Datacenter: 'd' } }), 'Redirect.Datacenter', /Peer/],
    [
      'redirect to own missing subset',
      resolver({ Redirect: { Service: 'web', ServiceSubset: 'v9' } }),
      'Redirect.ServiceSubset',
      /not a subset/,
    ],
    ['failover of no subset', resolver({ Failover: { v9: { Service: 'b' } } }), 'Failover["v9"]', /neither/],
    ['failover empty', resolver({ Failover: { '*': {} } }), 'Failover["*"]', /needs one of/],
    [
      'failover targets and service',
      resolver({ Failover: { '*': { Service: 'b', Targets: [{ Service: 'c' }] } } }),
      'Failover["*"].Service',
      /Targets/,
    ],
    [
      'failover targets and datacenters',
      resolver({ Failover: { '*': { Datacenters: ['d'], Targets: [{ Service: 'c' }] } } }),
      'Failover["*"].Datacenters',
      /Targets/,
    ],
    [
      'failover target peer',
      resolver({ Failover: { '*': { Targets: [{ Peer: 'p', Datacenter: 'd' }] } } }),
      'Failover["*"].Targets[0].Datacenter',
      /Peer/,
    ],
    [
      'failover policy',
      resolver({ Failover: { '*': { Service: 'b', Policy: { Mode: 'random' } } } }),
      'Failover["*"].Policy.Mode',
      /one of/,
    ],
    [
      'failover regions without the mode',
      resolver({ Failover: { '*': { Service: 'b', Policy: { Regions: ['eu'] } } } }),
      'Failover["*"].Policy.Regions',
      /order-by-locality/,
    ],
    ['failover datacenter empty', resolver({ Failover: { '*': { Datacenters: [''] } } }), 'Failover["*"].Datacenters[0]', /empty/],
    ['negative timeout', resolver({ ConnectTimeout: '-1s' }), 'ConnectTimeout', /negative/],
    ['sameness group', resolver({ Redirect: { SamenessGroup: 'g' } }), 'Redirect.SamenessGroup', /is of Consul Enterprise/],
    ['lb policy', balancer({ Policy: 'fastest' }), 'LoadBalancer.Policy', /one of/],
    ['ring config', balancer({ Policy: 'maglev', RingHashConfig: { MinimumRingSize: 1 } }), 'LoadBalancer.RingHashConfig', /ring_hash/],
    ['least request config', balancer({ LeastRequestConfig: { ChoiceCount: 2 } }), 'LoadBalancer.LeastRequestConfig', /least_request/],
    ['hash without hashing', balancer({ HashPolicies: [{ SourceIP: true }] }), 'LoadBalancer.HashPolicies', /needs Policy/],
    ['hash field', hash({ Field: 'body', FieldValue: 'x' }), 'LoadBalancer.HashPolicies[0].Field', /one of/],
    ['hash field without value', hash({ Field: 'header' }), 'LoadBalancer.HashPolicies[0].FieldValue', /required/],
    ['hash value without field', hash({ FieldValue: 'x' }), 'LoadBalancer.HashPolicies[0].Field', /required/],
    ['hash source ip and field', hash({ SourceIP: true, Field: 'header', FieldValue: 'x' }), 'LoadBalancer.HashPolicies[0]', /together/],
    [
      'cookie config of a header',
      hash({ Field: 'header', FieldValue: 'x', CookieConfig: { Path: '/' } }),
      'LoadBalancer.HashPolicies[0].CookieConfig',
      /cookie/,
    ],
    [
      'session and ttl',
      hash({ Field: 'cookie', FieldValue: 'x', CookieConfig: { Session: true, TTL: '5s' } }),
      'LoadBalancer.HashPolicies[0].CookieConfig',
      /TTL/,
    ],
    // service-intentions
    ['no sources', intentions(), 'Sources', /at least one/],
    ['partial wildcard', intentions({ Name: 'we*', Action: 'allow' }), 'Sources[0].Name', /whole name/],
    [
      'exact after wildcard namespace',
      intentions({ Name: 'web', Namespace: '*', Action: 'allow' }),
      'Sources[0].Name',
      /wildcard namespace/,
    ],
    ['wildcard partition', intentions({ Name: 'web', Partition: '*', Action: 'allow' }), 'Sources[0].Partition', /wildcard/],
    ['wildcard peer', intentions({ Name: 'web', Peer: '*', Action: 'allow' }), 'Sources[0].Peer', /wildcard/],
    ['no action', intentions({ Name: 'web' }), 'Sources[0].Action', /allow/],
    ['bad action', intentions({ Name: 'web', Action: 'maybe' }), 'Sources[0].Action', /one of allow, deny/],
    [
      'action and permissions',
      intentions({ Name: 'web', Action: 'allow', Permissions: [{ Action: 'allow', HTTP: { PathExact: '/' } }] }),
      'Sources[0].Action',
      /omitted/,
    ],
    ['source twice', intentions({ Name: 'web', Action: 'allow' }, { Name: 'web', Action: 'deny' }), 'Sources[1]', /more than once/],
    ['type', intentions({ Name: 'web', Action: 'allow', Type: 'other' }), 'Sources[0].Type', /consul/],
    [
      'permissions on a wildcard',
      { Kind: 'service-intentions', Name: '*', Sources: [{ Name: 'web', Permissions: [{ Action: 'allow', HTTP: { PathExact: '/' } }] }] },
      'Sources[0].Permissions',
      /wildcard destination/,
    ],
    ['permission without action', permission({ HTTP: { PathExact: '/' } }), 'Sources[0].Permissions[0].Action', /allow/],
    ['permission without http', permission({ Action: 'allow' }), 'Sources[0].Permissions[0].HTTP', /required/],
    ['empty permission', permission({ Action: 'allow', HTTP: {} }), 'Sources[0].Permissions[0].HTTP', /empty/],
    [
      'permission paths',
      permission({ Action: 'allow', HTTP: { PathExact: '/', PathRegex: '/' } }),
      'Sources[0].Permissions[0].HTTP',
      /more than one/,
    ],
    [
      'jwt provider name',
      permission({ Action: 'allow', HTTP: { PathExact: '/' }, JWT: { Providers: [{}] } }),
      'Sources[0].Permissions[0].JWT.Providers[0].Name',
      /required/,
    ],
    // mesh
    ['mesh name', mesh({ Name: 'x' }), 'Name', /"mesh"/],
    [
      'tls versions',
      mesh({ TLS: { Incoming: { TLSMinVersion: 'TLSv1_3', TLSMaxVersion: 'TLSv1_2' } } }),
      'TLS.Incoming.TLSMaxVersion',
      /less/,
    ],
    [
      'cipher suites of 1.3',
      mesh({ TLS: { Outgoing: { TLSMinVersion: 'TLSv1_3', CipherSuites: ['TLS_RSA_WITH_AES_128_CBC_SHA'] } } }),
      'TLS.Outgoing.CipherSuites',
      /1\.2/,
    ],
    ['cipher suite', mesh({ TLS: { Incoming: { CipherSuites: ['RC4'] } } }), 'TLS.Incoming.CipherSuites[0]', /unknown/],
    [
      'underscores',
      mesh({ HTTP: { Incoming: { RequestNormalization: { HeadersWithUnderscoresAction: 'X' } } } }),
      'HTTP.Incoming.RequestNormalization.HeadersWithUnderscoresAction',
      /one of/,
    ],
    // exported-services
    ['no consumer', exported({ Name: 'api' }), 'Services[0].Consumers', /at least one/],
    [
      'two kinds of consumer',
      exported({ Name: 'api', Consumers: [{ Peer: 'a', Partition: 'b' }] }),
      'Services[0].Consumers[0]',
      /exactly one/,
    ],
    ['wildcard consumer', exported({ Name: 'api', Consumers: [{ Peer: '*' }] }), 'Services[0].Consumers[0]', /wildcard/],
    [
      'name in wildcard namespace',
      exported({ Name: 'api', Namespace: '*', Consumers: [{ Peer: 'a' }] }),
      'Services[0].Name',
      /must be "\*"/,
    ],
    // jwt-provider
    ['no key set', { Kind: 'jwt-provider', Name: 'x' }, 'JSONWebKeySet', /exactly one/],
    ['both key sets', jwt({ JSONWebKeySet: { Local: { Filename: 'x' }, Remote: { URI: 'https://x' } } }), 'JSONWebKeySet', /exactly one/],
    ['local twice', jwt({ JSONWebKeySet: { Local: { Filename: 'x', JWKS: 'e30=' } } }), 'JSONWebKeySet.Local', /exactly one/],
    ['jwks not base64', jwt({ JSONWebKeySet: { Local: { JWKS: '{}' } } }), 'JSONWebKeySet.Local.JWKS', /base64/],
    ['remote uri', jwt({ JSONWebKeySet: { Remote: { URI: 'file:///etc/passwd' } } }), 'JSONWebKeySet.Remote.URI', /http/],
    ['location', jwt({ Locations: [{ Header: { Name: 'a' }, Cookie: { Name: 'b' } }] }), 'Locations[0]', /exactly one/],
    ['forwarding', jwt({ Forwarding: {} }), 'Forwarding.HeaderName', /required/],
  ])('%s', (_name, raw, path, reason) => {
    const errors = refused(raw)
    expect(errors.map(error => error.path)).toContain(path)
    expect(
      errors
        .filter(error => error.path === path)
        .map(error => error.reason)
        .join('\n'),
    ).toMatch(reason)
  })

  test('all errors are listed, not only the first', () => {
    const errors = refused(http({ PathExact: 'a', Methods: ['FETCH'], Header: [{ Name: 'x' }] }))
    expect(errors.map(error => error.path)).toEqual([
      'Routes[0].Match.HTTP.PathExact',
      'Routes[0].Match.HTTP.Header[0]',
      'Routes[0].Match.HTTP.Methods',
    ])
  })
})

describe('weights', () => {
  test.each([[[33.33, 33.33, 33.34]], [[99.99, 0.01]], [[100, 0]], [[0.1, 0.2, 99.7]], [[66.67, 33.33]]])('%j is accepted', weights => {
    const entry = accepted(splitter(...weights.map((Weight, i) => ({ Weight, Service: `s${i}` }))))
    expect(entry.Kind === 'service-splitter' && entry.Splits.map(split => split.Weight)).toEqual(weights)
  })

  test('a weight that is not given is 0 and stays', () => {
    expect(accepted(splitter({ Weight: 100 }, { Service: 'b' }))).toMatchObject({ Splits: [{ Weight: 100 }, { Weight: 0, Service: 'b' }] })
  })
})

test('any JSON is answered with an entry or with errors, never with a throw', () => {
  const kinds = [
    'service-defaults',
    'proxy-defaults',
    'service-router',
    'service-splitter',
    'service-resolver',
    'service-intentions',
    'mesh',
    'jwt-provider',
  ]
  const fields = ['Name', 'Routes', 'Splits', 'Subsets', 'Failover', 'Sources', 'Config', 'Meta', 'TLS', 'JSONWebKeySet', 'UpstreamConfig']
  const raw = fc.tuple(fc.constantFrom(...kinds), fc.dictionary(fc.constantFrom(...fields), fc.jsonValue()))
  fc.assert(
    fc.property(raw, ([Kind, rest]) => {
      const parsed = parseConfigEntry({ ...rest, Kind })
      expect('entry' in parsed || parsed.errors.length > 0).toBe(true)
    }),
    { seed: 7, numRuns: 500 },
  )
})

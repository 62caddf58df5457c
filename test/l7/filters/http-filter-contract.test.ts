// The contract of HTTP filters, run against each filter that can be compiled: what every one of them must do whatever it is for.
import { describe, expect, it } from 'vitest'
import { HeaderList } from '../../../src/l7/codec/header-list.js'
import type { HttpFilter as CustomHttpFilter } from '../../../src/l7/filters/custom/custom-filter.js'
import type { HttpFilter } from '../../../src/model/http-filter.js'
import { FakeEnvironment, NEVER, OFF, ON, requestHead, responseHead } from './fake-call.js'
import { FakeChainHost } from './fake-chain-host.js'

type Kind = Exclude<HttpFilter['kind'], 'router' | 'discovered' | 'matched'>
type ConfigOf<K extends Kind> = Extract<HttpFilter, { kind: K }> extends { readonly config: infer C } ? C : null

const GRPC = { cluster: 'asked', target: '', authority: '', timeoutMs: 200, initialMetadata: [] }

const NO_JSON = { rules: [], contentTypes: ['application/json'], contentTypeRegex: null, allowsNoContentType: false }

/** A config of each kind that asks for nothing: plain requests are none of its business. The type asks for every kind. */
const NEUTRAL: { readonly [K in Kind]: ConfigOf<K> } = {
  rbac: {
    rules: null,
    shadowRules: null,
    matcher: null,
    shadowMatcher: null,
    rulesStatPrefix: '',
    shadowRulesStatPrefix: '',
    trackPerRuleStats: false,
  } as ConfigOf<'rbac'>,
  grpcStats: { emitFilterState: false, statsForAllMethods: true, individualMethods: [], enableUpstreamStats: false },
  grpcHttp1Bridge: { upgradeProtobufToGrpc: false },
  grpcWeb: null,
  onDemand: { odcds: null },
  headerToMetadata: { request: [], response: [] },
  fault: {
    delay: null,
    abort: null,
    upstreamCluster: '',
    headers: [],
    downstreamNodes: [],
    maxActiveFaults: null,
    responseRateLimit: null,
    runtimeKeys: { delayDuration: '', abortHttpStatus: '', abortGrpcStatus: '', maxActiveFaults: '' },
    downstreamClusterStats: false,
    filterMetadata: null,
  },
  cors: null,
  csrf: { enabled: NEVER, shadowEnabled: null, additionalOrigins: [] },
  basicAuth: {
    users: new Map(),
    realm: '',
    forwardUsernameHeader: '',
    authenticationHeader: 'authorization',
    allowMissing: true,
    emitDynamicMetadata: false,
  },
  apiKeyAuth: {
    credentials: new Map([['1', 'one']]),
    keySources: [{ from: 'header', name: 'x-own' }],
    clientHeader: '',
    hideCredentials: false,
  },
  buffer: { maxRequestBytes: 1024 * 1024 },
  compressor: {
    library: { kind: 'gzip', level: 6, windowBits: 12, memLevel: 5, strategy: 0, chunkBytes: 4096 },
    request: null,
    response: { enabled: ON, minContentLength: 30, contentTypes: ['text/html'], contentTypeMatchers: [] },
    disableOnEtagHeader: false,
    weakenEtag: false,
    removeAcceptEncodingHeader: false,
    statusHeader: false,
    chooseFirst: false,
    uncompressibleResponseCodes: [],
    statPrefix: 'gzip',
    responseDirection: true,
  },
  decompressor: {
    library: { kind: 'gzip', windowBits: 15, chunkBytes: 4096, maxInflateRatio: 100 },
    request: { enabled: ON, ignoreNoTransform: false },
    response: { enabled: ON, ignoreNoTransform: false },
    advertise: false,
    statPrefix: 'gzip',
  },
  extProc: {
    service: GRPC,
    failureModeAllow: false,
    statusOnError: 500,
    mode: {
      requestHeaders: false,
      responseHeaders: false,
      requestBody: 'NONE',
      responseBody: 'NONE',
      requestTrailers: false,
      responseTrailers: false,
    },
    messageTimeoutMs: 200,
    maxMessageTimeoutMs: 0,
    statPrefix: '',
    allowedHeaders: [],
    disallowedHeaders: [],
    allowModeOverride: false,
    disableImmediateResponse: false,
    mutationRules: {
      allowAllRouting: false,
      allowEnvoy: false,
      disallowSystem: false,
      disallowAll: false,
      allowExpression: null,
      disallowExpression: null,
      disallowIsError: false,
    },
    routeCache: 'default',
    forwardedNamespaces: [],
    receivedNamespaces: [],
    requestAttributes: [],
    responseAttributes: [],
  },
  localRateLimit: {
    statPrefix: 'l',
    status: 429,
    bucket: { maxTokens: 1000, tokensPerFill: 1000, fillIntervalMs: 1000 },
    enabled: NEVER,
    enforced: NEVER,
    responseHeadersToAdd: [],
    requestHeadersToAddWhenNotEnforced: [],
    descriptors: [],
    stage: 0,
    hostRateLimits: 'override',
    rateLimits: null,
    maxDynamicDescriptors: 20,
    alwaysTakesDefault: true,
    perConnection: false,
    enableXRateLimitHeaders: false,
    rateLimitedAsResourceExhausted: false,
  },
  rateLimit: {
    domain: 'd',
    stage: 0,
    requestType: 'both',
    timeoutMs: 20,
    failureModeDeny: false,
    rateLimitedAsResourceExhausted: false,
    service: GRPC,
    enableXRateLimitHeaders: false,
    disableXEnvoyRateLimitedHeader: false,
    rateLimitedStatus: 429,
    statusOnError: 500,
    responseHeadersToAdd: [],
  },
  extAuthz: {
    service: { kind: 'grpc', grpc: GRPC },
    failureModeAllow: false,
    failureModeAllowHeaderAdd: false,
    withRequestBody: null,
    clearRouteCache: false,
    statusOnError: 403,
    filterEnabled: NEVER,
    denyAtDisable: OFF,
    includePeerCertificate: false,
    statPrefix: '',
    metadataContextNamespaces: [],
    allowedHeaders: [],
    disallowedHeaders: [],
  },
  jwtAuthn: {
    providers: new Map(),
    rules: [],
    requirementMap: new Map(),
    bypassCorsPreflight: false,
    stripFailureResponse: false,
    statPrefix: '',
  },
  headerMutation: { request: [], response: [], requestTrailers: [], responseTrailers: [], query: [] },
  statefulSession: {
    state: { kind: 'cookie', name: 'sid', path: '', ttlSeconds: null, attributes: [] },
    strict: false,
    statPrefix: 'p',
    missingStatus: 503,
  },
  oauth2: null,
  credentialInjector: {
    secret: { name: 'none', source: { kind: 'static' }, initialFetchTimeoutMs: 0 },
    header: 'x-own',
    prefix: '',
    overwrite: false,
    allowWithout: true,
  },
  setMetadata: [{ namespace: 'n', value: { a: 1 }, merges: true }],
  setFilterState: {
    values: [{ key: 'k', format: { text: 'v', json: null, omitEmptyValues: false }, skipIfEmpty: false }],
    clearsRoute: true,
  },
  jsonToMetadata: { request: NO_JSON, response: NO_JSON },
  bandwidthLimit: {
    statPrefix: 'p',
    request: true,
    response: true,
    kilobytesPerSecond: 1000,
    fillIntervalMs: 50,
    enabled: ON,
    trailers: null,
  },
  customResponse: {
    tree: {
      kind: 'exact',
      input: { kind: 'responseStatus' },
      map: new Map([
        [
          '599',
          {
            kind: 'action',
            action: { kind: 'local', body: 'x', format: null, status: null, responseHeadersToAdd: [], details: null },
          },
        ],
      ]),
      onNoMatch: null,
    },
  },
  healthCheck: {
    passThrough: false,
    headers: [
      {
        name: ':path',
        match: { kind: 'string', matcher: { kind: 'exact', value: '/health', ignoreCase: false } },
        invert: false,
        treatMissingAsEmpty: false,
      },
    ] as never,
    cacheTimeMs: null,
    clusterMinHealthyPercentages: new Map(),
  },
  custom: { typeName: 'test.Quiet', config: {} },
}

/** Filters that ask another service first, so that a request can be left while they wait. */
const ASKING: { readonly [K in Kind]?: ConfigOf<K> } = {
  extAuthz: { ...NEUTRAL.extAuthz, filterEnabled: null },
  custom: { typeName: 'test.Slow', config: {} },
  fault: { ...NEUTRAL.fault, delay: { fixedMs: 1000, fromHeader: false, fraction: { numerator: 100, denominator: 100, runtimeKey: '' } } },
}

/** Filters of the embedding program: one with every hook, which does nothing in any; one that thinks about a request. */
const QUIET: CustomHttpFilter = {
  typeUrl: 'test.Quiet',
  parseConfig: json => json,
  create: () => () => ({
    onRequest() {},
    onRequestData() {},
    onRequestTrailers() {},
    onResponse() {},
    onResponseData() {},
    onResponseTrailers() {},
    onEnd() {},
  }),
}
const SLOW: CustomHttpFilter = {
  typeUrl: 'test.Slow',
  parseConfig: json => json,
  create: () => () => ({ onRequest: () => new Promise(() => {}) }),
}

const world = (kind: Kind, config: unknown, ended: boolean, name = 'f') => {
  const env = new FakeEnvironment()
  env.customFilters.set('test.Quiet', QUIET).set('test.Slow', SLOW)
  const request = requestHead({ method: ended ? 'GET' : 'POST', contentLength: ended ? 0 : -1 }, { 'x-own': '1' })
  const host = new FakeChainHost(request, ended, env.factories([{ kind, config, name }]))
  return { env, host, request }
}

describe.each(Object.keys(NEUTRAL) as Kind[])('%s', kind => {
  it('configured to do nothing lets a request without a body pass untouched', () => {
    const { host, request } = world(kind, NEUTRAL[kind], true)
    const before = JSON.stringify([request.method, request.path, [...request.headers.raw], [...request.headers.values]])
    host.chain.run()
    expect(host.seen).toEqual(['passed'])
    expect(JSON.stringify([request.method, request.path, [...request.headers.raw], [...request.headers.values]])).toBe(before)
  })

  it('lets body bytes pass, each once and in order, before and after the request went on', () => {
    const { host } = world(kind, NEUTRAL[kind], false)
    host.chain.run()
    host.data('ab', false)
    host.data('cd', true)
    const up = host.seen.filter(line => line.startsWith('up ')).map(line => line.slice(3))
    expect(host.body.whole().toString() + up.join('')).toBe('abcd')
    expect(host.seen.filter(line => line === 'passed')).toHaveLength(1)
  })

  it('ends a response exactly once, with trailers and without', () => {
    for (const trailers of [false, true]) {
      const { host } = world(kind, NEUTRAL[kind], true)
      host.chain.run()
      host.chain.startResponse(responseHead(200, { 'content-type': 'text/plain' }), false)
      host.chain.responseData(Buffer.from('hello'), !trailers)
      if (trailers) host.chain.responseTrailers(HeaderList.of(['x-t', '1']))
      expect(host.seen.filter(line => line.endsWith('end'))).toHaveLength(1)
      expect(host.seen.filter(line => line.startsWith('data')).join('')).toBe('data hello')
      expect(host.ended).toBe(true)
    }
  })

  it('lets a response that is a head alone end with it', () => {
    const { host } = world(kind, NEUTRAL[kind], true)
    host.chain.run()
    host.chain.startResponse(responseHead(204), true)
    expect(host.seen).toEqual(['passed', 'head 204 end'])
  })

  it.each(['before the filters', 'with the request passed', 'in the response head', 'in the response body'])(
    'survives a client that leaves %s, and does nothing afterwards',
    phase => {
      const { host, env } = world(kind, ASKING[kind] ?? NEUTRAL[kind], false)
      if (phase !== 'before the filters') host.chain.run()
      if (phase.includes('response')) host.chain.startResponse(responseHead(200, { 'content-type': 'text/html' }), false)
      if (phase === 'in the response body') host.chain.responseData(Buffer.from('x'.repeat(100)), false)
      host.end()
      const seen = host.seen.length
      for (const call of env.http)
        call.answer({ kind: 'response', status: 200, headers: new HeaderList(), body: Buffer.alloc(0), trailers: null })
      for (const call of env.grpc) call.answer(0, Buffer.alloc(0), '')
      env.clock.advance(60_000)
      host.chain.resume()
      host.chain.resumeResponse()
      expect(host.seen.slice(seen).filter(line => !line.startsWith('pause'))).toEqual([])
      // And nothing keeps running for it.
      expect(env.clock.pending).toBe(0)
    },
  )

  it('gives a local reply of another filter through, once', () => {
    const { host } = world(kind, NEUTRAL[kind], true)
    host.chain.run()
    host.reply({ status: 503, body: 'no', flag: 0, details: 'x' }, null)
    expect(host.seen).toEqual(['passed', 'head 503', 'data no', 'end'])
  })

  it('does nothing where it is disabled', () => {
    const env = new FakeEnvironment()
    const factories = env.factories([{ kind, config: ASKING[kind] ?? NEUTRAL[kind], disabled: true }])
    const host = new FakeChainHost(requestHead(), true, factories)
    host.chain.run()
    expect([host.seen, env.http.length, env.grpc.length]).toEqual([['passed'], 0, 0])
  })
})

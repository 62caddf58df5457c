// HTTP filters behind a matcher, through the real process: ExtensionWithMatcher that skips a filter, composite by its own matcher and by the
// one around it, several filters of one action, samples, what routes say; beside the real Envoy where ENVOY_BIN names it.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fetchOnce } from '../support/http1-client.js'
import { HttpOrigin, http } from '../support/origins.js'
import { freePort, hcm, listener, ProxyProcess, router, staticCluster, stopAll } from '../support/proxy-process.js'

const envoyBin = process.env['ENVOY_BIN']
const app = new HttpOrigin(({ headers }, socket) => socket.write(http(JSON.stringify([...headers.keys()]))))
beforeAll(() => app.listen())
afterAll(async () => {
  await stopAll()
  await app.close()
})

const any = (type: string, config: object = {}): object => ({ '@type': `type.googleapis.com/${type}`, ...config })
const extension = (name: string, type: string, config: object = {}): object => ({ name, typed_config: any(type, config) })
const headerIs = (header_name: string, exact: string): object => ({
  single_predicate: {
    input: extension('header', 'envoy.type.matcher.v3.HttpRequestHeaderMatchInput', { header_name }),
    value_match: { exact },
  },
})
const list = (matchers: readonly object[], more: object = {}): object => ({ matcher_list: { matchers }, ...more })
const on = (predicate: object, action: object): object => ({ predicate, on_match: { action } })
const skip = extension('skip', 'envoy.extensions.filters.common.matcher.action.v3.SkipFilter')
const COMPOSITE = 'envoy.extensions.filters.http.composite.v3'
const execute = (config: object): object => extension('composite-action', `${COMPOSITE}.ExecuteFilterAction`, config)
const composite = (config: object = {}): object => extension('composite', `${COMPOSITE}.Composite`, config)
const abort = (http_status: number): object =>
  extension('fault', 'envoy.extensions.filters.http.fault.v3.HTTPFault', { abort: { http_status, percentage: { numerator: 100 } } })
const adds = (key: string, value: string): object =>
  extension('mutation', 'envoy.extensions.filters.http.header_mutation.v3.HeaderMutation', {
    mutations: { request_mutations: [{ append: { header: { key, value }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' } }] },
  })
const behind = (name: string, extension_config: object, xds_matcher: object): object =>
  extension(name, 'envoy.extensions.common.matching.v3.ExtensionWithMatcher', { extension_config, xds_matcher })

const FILTERS = [
  behind('skipped', abort(418), list([on(headerIs('x-fault', 'no'), skip)], { on_no_match: { action: skip } })),
  behind('unless', abort(419), {
    matcher_tree: {
      input: extension('header', 'envoy.type.matcher.v3.HttpRequestHeaderMatchInput', { header_name: 'x-unless' }),
      exact_match_map: { map: { no: { action: skip }, '': { action: skip } } },
    },
    on_no_match: { action: skip },
  }),
  behind(
    'around',
    composite(),
    list([
      on(headerIs('x-run', 'one'), execute({ typed_config: adds('x-one', '1') })),
      on(headerIs('x-run', 'abort'), execute({ typed_config: abort(420) })),
      on(headerIs('x-run', 'chain'), execute({ filter_chain: { typed_config: [adds('x-first', '1'), adds('x-second', '2')] } })),
      on(headerIs('x-run', 'chain-abort'), execute({ filter_chain: { typed_config: [adds('x-first', '1'), abort(421)] } })),
      on(
        headerIs('x-run', 'never'),
        execute({ typed_config: abort(422), sample_percent: { default_value: { numerator: 0, denominator: 'HUNDRED' } } }),
      ),
    ]),
  ),
  {
    ...extension('own', `${COMPOSITE}.Composite`, {
      named_filter_chains: { both: { typed_config: [adds('x-named', 'a'), adds('x-named-too', 'b')] } },
      matcher: list([
        on(headerIs('x-own', 'named'), execute({ filter_chain_name: 'both' })),
        on(headerIs('x-own', 'nobody'), execute({ filter_chain_name: 'nobody' })),
        on(headerIs('x-one', '1'), execute({ typed_config: adds('x-seen', 'yes') })),
      ]),
    }),
  },
  router,
]

const perRoute = (config: object): object => ({
  typed_per_filter_config: {
    skipped: any('envoy.extensions.common.matching.v3.ExtensionWithMatcherPerRoute', config),
    unless: any('envoy.config.route.v3.FilterConfig', { disabled: true }),
  },
})

async function start(bin?: string) {
  const port = await freePort()
  const virtual_hosts = [
    {
      name: 'v',
      domains: ['*'],
      routes: [
        {
          match: { prefix: '/own' },
          route: { cluster: 'app' },
          ...perRoute({ xds_matcher: list([on(headerIs('x-fault', 'also'), skip)]) }),
        },
        { match: { prefix: '/' }, route: { cluster: 'app' } },
      ],
    },
  ]
  const proxy = await ProxyProcess.start({
    bootstrap: {
      static_resources: {
        listeners: [listener('front', port, [hcm({ stat_prefix: 'h', route_config: { name: 'r', virtual_hosts } }, FILTERS)])],
        clusters: [staticCluster('app', app.port)],
      },
    },
    flags: ['--base-id', String((process.pid % 50_000) + 13)],
    ...(bin ? { bin } : {}),
  })
  const answers: Record<string, string> = {}
  const ask = async (path: string, headers: Record<string, string>): Promise<void> => {
    const { status, body } = await fetchOnce(port, path, headers)
    const added =
      status !== 200 ? '' : (JSON.parse(body) as string[]).filter(name => /^x-(one|first|second|named|named-too|seen)$/.test(name)).sort()
    answers[`${path} ${JSON.stringify(headers)}`] = `${status} ${added}`
  }
  for (const value of ['no', 'yes']) await ask('/', { 'x-fault': value })
  await ask('/', {})
  for (const value of ['one', 'abort', 'chain', 'chain-abort', 'never', 'other']) await ask('/', { 'x-run': value })
  for (const value of ['named', 'nobody', 'other']) await ask('/', { 'x-own': value })
  await ask('/', { 'x-run': 'chain', 'x-own': 'named' })
  for (const value of ['also', 'no']) await ask('/own', { 'x-fault': value })
  const stats = (await proxy.get('/stats?filter=composite')).body
    .trim()
    .split('\n')
    .filter(line => !line.includes('Deprecated'))
  await proxy.kill()
  return { answers, stats }
}

const EXPECTED = {
  answers: {
    '/ {"x-fault":"no"}': '200 ',
    '/ {"x-fault":"yes"}': '200 ',
    '/ {}': '200 ',
    '/ {"x-run":"one"}': '200 x-one,x-seen',
    '/ {"x-run":"abort"}': '420 ',
    '/ {"x-run":"chain"}': '200 x-first,x-second',
    '/ {"x-run":"chain-abort"}': '421 ',
    '/ {"x-run":"never"}': '200 ',
    '/ {"x-run":"other"}': '200 ',
    '/ {"x-own":"named"}': '200 x-named,x-named-too',
    '/ {"x-own":"nobody"}': '200 ',
    '/ {"x-own":"other"}': '200 ',
    '/ {"x-run":"chain","x-own":"named"}': '200 x-first,x-named,x-named-too,x-second',
    '/own {"x-fault":"also"}': '200 ',
    // Another tree is the route's, and it does not skip.
    '/own {"x-fault":"no"}': '418 ',
  },
  stats: ['http.h.composite.filter_delegation_error: 0', 'http.h.composite.filter_delegation_success: 8'],
}

describe('filters behind a matcher', () => {
  it('run, are skipped, or become what the action says', async () => {
    expect(await start()).toEqual(EXPECTED)
  })

  it.skipIf(envoyBin === undefined)('as in Envoy', async () => {
    expect(await start(envoyBin)).toEqual(EXPECTED)
  })
})

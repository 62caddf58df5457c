// What Envoy calls matchers and rewrites by more than a field: the matcher API for filter chains and RBAC, CEL conditions and log filters, URI
// templates and formats, through the real process; beside the real Envoy where ENVOY_BIN names it: the same answers, the same counters.
import net from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Http1Client } from '../support/http1-client.js'
import { HttpOrigin, http } from '../support/origins.js'
import {
  fileAccessLog,
  freePort,
  hcm,
  listener,
  ProxyProcess,
  router,
  routesTo,
  staticCluster,
  stopAll,
  typed,
  until,
} from '../support/proxy-process.js'

const NETWORK = 'matching.common_inputs.network.v3'
const input = (name: string): object => typed(name, `${NETWORK}.${name}Input`)
const header = (header_name: string): object => ({
  name: header_name,
  typed_config: { '@type': 'type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput', header_name },
})
const toChain = (value: string): object => ({
  action: { name: value, typed_config: { '@type': 'type.googleapis.com/google.protobuf.StringValue', value } },
})
const rbacAction = (name: string, action: string): object => ({
  action: { name, typed_config: { '@type': 'type.googleapis.com/envoy.config.rbac.v3.Action', name, action } },
})
const single = (of: object, value_match: object): object => ({ single_predicate: { input: of, value_match } })
const chain = (name: string): object => ({
  name,
  filters: [typed('direct', 'filters.network.direct_response.v3.Config', { response: { inline_string: name } })],
})

const chainMatcher = {
  matcher_tree: {
    input: input('SourceIP'),
    custom_match: {
      name: 'ranges',
      typed_config: {
        '@type': 'type.googleapis.com/xds.type.matcher.v3.IPMatcher',
        range_matchers: [
          { ranges: [{ address_prefix: '127.0.0.0', prefix_len: 8 }], on_match: toChain('loopback'), exclusive: true },
          { ranges: [{ address_prefix: '127.0.0.2', prefix_len: 32 }], on_match: toChain('second') },
          { ranges: [{ address_prefix: '127.0.0.3', prefix_len: 32 }], on_match: toChain('gone') },
          {
            ranges: [{ address_prefix: '127.0.0.4', prefix_len: 32 }],
            on_match: {
              matcher: {
                matcher_list: { matchers: [{ predicate: single(input('DestinationPort'), { exact: '1' }), on_match: toChain('second') }] },
              },
            },
          },
          {
            ranges: [{ address_prefix: '127.0.0.5', prefix_len: 32 }],
            on_match: {
              matcher: {
                matcher_list: {
                  matchers: [
                    {
                      predicate: { not_matcher: single(input('DestinationIP'), { exact: '127.0.0.1' }) },
                      on_match: toChain('second'),
                    },
                    { predicate: single(input('TransportProtocol'), { exact: 'raw_buffer' }), on_match: toChain('plain') },
                  ],
                },
              },
            },
          },
        ],
      },
    },
  },
}

const httpMatcher = {
  matcher_list: {
    matchers: [
      { predicate: single(header('x-role'), { prefix: 'adm', ignore_case: true }), on_match: rbacAction('admins', 'ALLOW') },
      { predicate: single(header('x-role'), { exact: 'log' }), on_match: rbacAction('logged', 'LOG') },
      {
        predicate: {
          and_matcher: {
            predicate: [single(header(':path'), { prefix: '/open' }), { not_matcher: single(header('x-bad'), { exact: 'yes' }) }],
          },
        },
        on_match: rbacAction('open', 'ALLOW'),
      },
      { predicate: single(header(':method'), { exact: 'DELETE' }), on_match: rbacAction('no-deletes', 'DENY') },
    ],
  },
}
const shadowMatcher = { on_no_match: rbacAction('shadow', 'DENY') }

const path = { select_expr: { operand: { ident_expr: { name: 'request' } }, field: 'path' } }
const startsWith = (prefix: string): object => ({
  call_expr: { function: 'startsWith', target: path, args: [{ const_expr: { string_value: prefix } }] },
})
/** Denies by CEL: a path, and a header that is not always there. */
const celRules = {
  action: 'DENY',
  policies: {
    cel: {
      permissions: [{ any: true }],
      principals: [{ any: true }],
      condition: {
        call_expr: {
          function: '_&&_',
          args: [
            startsWith('/cel'),
            {
              call_expr: {
                function: '_==_',
                args: [
                  {
                    call_expr: {
                      function: '_[_]',
                      args: [
                        { select_expr: { operand: { ident_expr: { name: 'request' } }, field: 'headers' } },
                        { const_expr: { string_value: 'x-cel' } },
                      ],
                    },
                  },
                  { const_expr: { string_value: 'no' } },
                ],
              },
            },
          ],
        },
      },
    },
  },
}
const extension = (type: string, config: object): object => ({
  name: type,
  typed_config: { '@type': `type.googleapis.com/envoy.extensions.${type}`, ...config },
})
const template = (path_template: string): object => ({
  path_match_policy: extension('path.match.uri_template.v3.UriTemplateMatchConfig', { path_template }),
})
const rewritten = (path_template_rewrite: string): object => ({
  path_rewrite_policy: extension('path.rewrite.uri_template.v3.UriTemplateRewriteConfig', { path_template_rewrite }),
})
const routes = [
  { match: template('/t/{a}/x/{b}'), route: { cluster: 'app', ...rewritten('/{b}/then/{a}') } },
  { match: template('/deep/{rest=**}'), route: { cluster: 'app', ...rewritten('/r/{rest}') } },
  { match: template('/any/*/z'), route: { cluster: 'app' } },
  { match: { prefix: '/pr' }, route: { cluster: 'app', path_rewrite: '/new/%REQ(x-a)%' } },
  { match: { prefix: '/hr' }, route: { cluster: 'app', host_rewrite: '%REQ(x-a)%.svc' } },
  { match: { prefix: '/rd' }, redirect: { path_rewrite: '/moved/%REQ(x-a)%' } },
  { match: { prefix: '/cel' }, route: { cluster: 'app' } },
]

const origin = new HttpOrigin()
const stats = ['allowed', 'denied', 'shadow_allowed', 'shadow_denied'].map(name => `http.ingress.rbac.${name}`)

/** The access log is waited for. */
const FLAGS = ['--file-flush-interval-msec', '20']

class Side {
  private constructor(
    readonly proxy: ProxyProcess,
    readonly chains: number,
    readonly web: number,
    readonly guarded: number,
    readonly routed: number,
  ) {}

  static async start(bin?: string): Promise<Side> {
    const [chains, web, guarded, routed] = [await freePort(), await freePort(), await freePort(), await freePort()]
    const rbac = typed('rbac', 'filters.http.rbac.v3.RBAC', { matcher: httpMatcher, shadow_matcher: shadowMatcher })
    const networkRbac = typed('rbac', 'filters.network.rbac.v3.RBAC', {
      stat_prefix: 'guard.',
      matcher: { matcher_tree: { input: input('SourceIP'), exact_match_map: { map: { '127.0.0.1': rbacAction('me', 'ALLOW') } } } },
    })
    const manager = hcm({ route_config: routesTo('app'), access_log: [] }, [rbac, router])
    const log = {
      ...fileAccessLog('LOG %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %RESPONSE_CODE%'),
      filter: {
        extension_filter: extension('access_loggers.filters.cel.v3.ExpressionFilter', {
          expression: 'response.code >= 400 && request.path.matches("^/c.l") && request.headers["x-cel"] == "no"',
        }),
      },
    }
    const routing = hcm(
      { stat_prefix: 'routed', access_log: [log], route_config: { name: 'r', virtual_hosts: [{ name: 'v', domains: ['*'], routes }] } },
      [typed('rbac', 'filters.http.rbac.v3.RBAC', { rules: celRules }), router],
    )
    const bootstrap = {
      static_resources: {
        listeners: [
          {
            ...listener('chains', chains, []),
            filter_chains: ['loopback', 'second', 'plain'].map(chain),
            default_filter_chain: chain('default'),
            filter_chain_matcher: chainMatcher,
            listener_filters: [typed('tls_inspector', 'filters.listener.tls_inspector.v3.TlsInspector')],
            listener_filters_timeout: '0.1s',
            continue_on_listener_filters_timeout: true,
          },
          listener('web', web, [manager]),
          listener('routed', routed, [routing]),
          { ...listener('guarded', guarded, [networkRbac, typed('echo', 'filters.network.echo.v3.Echo')]) },
        ],
        clusters: [staticCluster('app', origin.port)],
      },
    }
    const flags = bin === undefined ? FLAGS : [...FLAGS, '-l', 'error']
    const proxy = await ProxyProcess.start({ bootstrap, flags, ...(bin === undefined ? {} : { bin }) })
    return new Side(proxy, chains, web, guarded, routed)
  }

  /** What a client from that address is told before the connection ends. */
  told(port: number, localAddress: string, hello = ''): Promise<string> {
    return new Promise(resolve => {
      let text = ''
      const socket = net.connect({ port, host: '127.0.0.1', localAddress }, () => socket.write(hello))
      socket.on('data', chunk => (text += chunk.toString('latin1')))
      socket.on('error', () => {})
      socket.on('close', () => resolve(text))
    })
  }

  /** What the origin saw, or the status with its location. */
  async routedTo(target: string, headers: Record<string, string>): Promise<string> {
    const client = await Http1Client.connect(this.routed)
    const lines = Object.entries({ host: 'h.test', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
    const answer = await client.send(`GET ${target} HTTP/1.1\r\n${lines.join('')}\r\n`).finally(() => client.destroy())
    if (answer.status === 200) return answer.body
    const location = answer.headers.get('location')
    return location === undefined ? `${answer.status}` : `${answer.status} ${location}`
  }

  async status(headers: Record<string, string>, method = 'GET', path = '/x'): Promise<number> {
    const response = await fetch(`http://127.0.0.1:${this.web}${path}`, { method, headers })
    await response.text()
    return response.status
  }
}

const envoyBin = process.env['ENVOY_BIN']
const sides: [name: string, bin: string | undefined][] = [['Outrigger', undefined]]
if (envoyBin !== undefined) sides.push(['Envoy', envoyBin])

beforeAll(() => origin.listen())

afterAll(async () => {
  await stopAll()
  await origin.close()
})

describe.each(sides)('%s', (_name, bin) => {
  let side: Side

  beforeAll(async () => {
    origin.respond = (request, socket) => void socket.write(http(`${request.method} ${request.path} host ${request.headers.get('host')}`))
    side = await Side.start(bin)
  })

  it.each([
    ['127.0.0.1', 'loopback'],
    ['127.0.0.2', 'second'],
    ['127.0.0.3', ''],
    ['127.0.0.4', 'default'],
    ['127.0.0.5', 'plain'],
  ])('a connection from %s goes to the chain %j', async (address, name) => {
    expect(await side.told(side.chains, address, 'hello')).toBe(name)
  })

  it.each([
    ['GET', '/x', { 'x-role': 'Admin' }, 200],
    ['GET', '/x', { 'x-role': 'log' }, 200],
    ['GET', '/open/a', {}, 200],
    ['GET', '/open/a', { 'x-bad': 'yes' }, 403],
    ['DELETE', '/x', {}, 403],
    ['GET', '/x', {}, 403],
  ] as [string, string, Record<string, string>, number][])('%s %s with %j: %i', async (method, path, headers, status) => {
    expect(await side.status(headers, method, path)).toBe(status)
  })

  it('counts what it decided, and what the shadow would have', async () => {
    expect(await Promise.all(stats.map(name => side.proxy.stat(name)))).toEqual([3, 3, 0, 6])
  })

  it.each([
    ['/t/1/x/2?q=1', {}, 'GET /2/then/1?q=1 host h.test'],
    ['/t/a:b/x/c@d', {}, 'GET /c@d/then/a:b host h.test'],
    ['/t/1/x/2/3', {}, '404'],
    ['/deep/a/b/c', {}, 'GET /r/a/b/c host h.test'],
    ['/deep/', {}, 'GET /r/ host h.test'],
    ['/any/1/z', {}, 'GET /any/1/z host h.test'],
    ['/any/1/2/z', {}, '404'],
    ['/pr/x?q=1', { 'x-a': 'A' }, 'GET /new/A?q=1 host h.test'],
    ['/pr/x', {}, 'GET /new/ host h.test'],
    ['/hr/x', { 'x-a': 'A' }, 'GET /hr/x host A.svc'],
    ['/hr/x', {}, 'GET /hr/x host -.svc'],
    ['/rd/x?q=1', { 'x-a': 'A' }, '301 http://h.test/moved/A?q=1'],
    ['/cel/x', {}, 'GET /cel/x host h.test'],
    ['/cel/x', { 'x-cel': 'yes' }, 'GET /cel/x host h.test'],
    ['/cel/x', { 'x-cel': 'no' }, '403'],
  ] as [string, Record<string, string>, string][])('%s with %j: %s', async (target, headers, expected) => {
    expect(await side.routedTo(target, headers)).toBe(expected)
  })

  it('logs what the CEL filter lets pass', async () => {
    await until('the line of the denied request', () => side.proxy.log.includes('LOG /cel/x 403'))
    expect(side.proxy.log.split('\n').filter(line => line.startsWith('LOG '))).toEqual(['LOG /cel/x 403'])
  })

  it('a connection that the network filter does not find in its matcher is closed', async () => {
    expect(await side.told(side.guarded, '127.0.0.2', 'x')).toBe('')
    expect(await side.proxy.stat('guard.rbac.denied')).toBe(1)
  })
})

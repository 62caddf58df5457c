// Paths, hosts, queries and trust headers that should slip past a rule, for attack-differential.test.ts, and the connection managers and
// rules that they meet. Each goes through every manager of MANAGERS over HTTP/1, and through some over HTTP/2.

import type { FrameCase } from './attack-http2.js'
import type { AttackCase } from './attack-requests.js'
import { show, table } from './attack-table.js'
import { END, type Fields, headers } from './http2-frames.js'

/** HttpConnectionManager fields by lane. */
export const MANAGERS: Readonly<Record<string, object>> = {
  plain: {},
  canonical: { normalize_path: true, merge_slashes: true, path_with_escaped_slashes_action: 'UNESCAPE_AND_FORWARD' },
  redirecting: { normalize_path: true, merge_slashes: true, path_with_escaped_slashes_action: 'UNESCAPE_AND_REDIRECT' },
  strict: {
    normalize_path: true,
    path_with_escaped_slashes_action: 'REJECT_REQUEST',
    common_http_protocol_options: { headers_with_underscores_action: 'REJECT_REQUEST' },
  },
  edge: { use_remote_address: true, strip_any_host_port: true, strip_trailing_host_dot: true },
  behindOne: { use_remote_address: true, xff_num_trusted_hops: 1, strip_matching_host_port: true },
  insideOne: {
    xff_num_trusted_hops: 1,
    common_http_protocol_options: { headers_with_underscores_action: 'DROP_HEADER' },
  },
  inside: { internal_address_config: { cidr_ranges: [{ address_prefix: '127.0.0.0', prefix_len: 8 }] } },
  internal: { use_remote_address: true, internal_address_config: { cidr_ranges: [{ address_prefix: '127.0.0.0', prefix_len: 8 }] } },
}

/** The managers that get the HTTP/2 cases too: what they differ in is the same for both protocols in the others. */
export const HTTP2_MANAGERS: ReadonlySet<string> = new Set(['plain', 'canonical', 'strict', 'edge'])

const policy = (permission: object, principal: object = { any: true }): object => ({ permissions: [permission], principals: [principal] })
const path = (match: object): object => policy({ url_path: { path: match } })
const header = (name: string, exact: string): object => policy({ header: { name, string_match: { exact } } })

/** What is denied to everybody. */
export const DENIALS = {
  action: 'DENY',
  policies: {
    exact: path({ exact: '/admin' }),
    prefix: path({ prefix: '/deny/' }),
    suffix: path({ suffix: '.secret' }),
    regex: path({ safe_regex: { regex: '/re/\\d+' } }),
    folded: path({ prefix: '/api/v1', ignore_case: true }),
    host: header(':authority', 'secret.test'),
    role: header('x-role', 'admin'),
    address: policy({ any: true }, { remote_ip: { address_prefix: '10.9.0.0', prefix_len: 16 } }),
  },
}

const answered = (status: number): object => ({ direct_response: { status } })

export function pathRoutes(cluster: string): object {
  const rest = { match: { prefix: '/' } }
  return {
    name: 'paths',
    internal_only_headers: ['x-internal-only'],
    virtual_hosts: [
      { name: 'secret', domains: ['secret.test', 'secret.test:8080'], routes: [{ ...rest, ...answered(418) }] },
      { name: 'wild', domains: ['*.wild.test'], routes: [{ ...rest, ...answered(419) }] },
      { name: 'pre', domains: ['pre.*'], routes: [{ ...rest, ...answered(420) }] },
      {
        name: 'all',
        domains: ['*'],
        routes: [
          { match: { prefix: '/', query_parameters: [{ name: 'role', string_match: { exact: 'admin' } }] }, ...answered(421) },
          { match: { path_separated_prefix: '/api' }, ...answered(423) },
          { ...rest, route: { cluster } },
        ],
      },
    ],
  }
}

const PATHS = table`
  /admin¦/Admin¦//admin¦///admin¦/./admin¦/x/../admin¦/x/..//admin¦/../admin¦/%2e/admin¦/x/%2e%2e/admin¦/x/.%2e/admin¦/x/%252e%252e/admin
  /x/..;/admin¦/x/..;a=b/admin¦/.;/admin¦/;/admin¦/;x/admin¦/admin;¦/admin;x=y¦/admin/¦/admin//¦/admin/.¦/admin/..¦/admin/../x¦/admin%2f
  /admin%5c¦/x%2f..%2fadmin¦/x%5c..%5cadmin¦/x\\..\\admin¦\\admin¦/\\admin¦\\/admin¦/admin\\¦/%61dmin¦/%61%64%6d%69%6e¦/%41dmin¦/admin%00
  /admin%00.html¦/%00/admin¦/admin%20¦/admin%09¦/admin%0a¦/admin%0d%0a¦/admin%ff¦/admin%c0%af¦/%c0%ae%c0%ae/admin¦/%e0%80%af/admin¦/admin?
  /admin?x¦/admin%3f¦/admin#¦/admin#x¦/admin%23x¦/x?/../admin¦/?/admin¦/x#/../admin¦/admin.¦/admin/%2e%2e/x¦/x/%2e%2e%2fadmin¦/....//admin
  /.../admin¦/x/..%00/admin¦/x/..%20/admin¦/x/..%3b/admin¦/admin%3bx¦/%2fadmin¦/%5cadmin¦//x//..//admin¦/a/../../../admin¦/%¦/%/admin¦/%zz/admin
  /admin%¦/admin%2¦/%%32%66admin¦/%25%32%66admin¦/%u002fadmin¦/%uff0fadmin¦/http://h/admin¦*¦/*¦/admin,x¦/admin:x¦/admin@x¦/admin|¦/admin"
  /admin<¦/admin^¦/admin{¦/admin[¦/admin~¦/api/../admin/¦/API/v1¦/api/V1/x¦/api/..;/admin/¦/api/%2e%2e/admin/¦/api/..%2fadmin¦/api\\..\\admin
  /api//..//admin¦/apix¦/api;x¦/api%2f¦/deny/x¦/allow/../deny/x¦/allow/..%2fdeny/x¦/deny%2fx¦/deny\\x¦//deny/x¦/deny;a/x¦/a.secret¦/a.secret?x
  /a.secret/¦/a.secret;x¦/a.SECRET¦/a.secre%74¦/a.secret%00¦/re/123¦/re/123/¦/re/123?x¦/re/%31¦/re/1%2f2¦/re/1/../2`

const HOSTS = table`
  h¦H¦h.¦h:80¦h.:80¦secret.test¦SECRET.test¦secret.test.¦secret.test:80¦secret.test:8080¦secret.test.:80¦secret.test..¦a.wild.test¦A.WILD.TEST
  wild.test¦.wild.test¦a.b.wild.test¦a.wild.test:99¦a.wild.test.¦pre.x¦PRE.x¦pre.x:80`

const QUERIES = table`
  ?role=admin¦?role=user&role=admin¦?role=admin&role=user¦?ROLE=admin¦?role=Admin¦?role=%61dmin¦?r%6fle=admin¦?role=¦?role¦?role=admin;x
  ?x;role=admin¦?role[]=admin¦?role=admin&¦?&role=admin¦??role=admin¦?role=+admin¦?role%00=admin`

/** Header lines, several in one case divided by `|`. */
const TRUST = table`
  x-role: admin¦X-Role: admin¦x-role: user|x-role: admin¦x-role: admin|x-role: user¦x-role: user,admin¦x-role: user, admin¦x_role: admin
  x-role: Admin¦x-role:¦x-forwarded-for: 1.2.3.4¦x-forwarded-for: 10.9.9.9¦x-forwarded-for: 1.2.3.4, 10.9.9.9¦x-forwarded-for: 10.9.9.9, 1.2.3.4
  x-forwarded-for: 10.9.9.9|x-forwarded-for: 1.2.3.4¦x-forwarded-for: 1.2.3.4|x-forwarded-for: 10.9.9.9¦x-forwarded-for: 10.9.9.9:80
  x-forwarded-for: [::1]¦x-forwarded-for: 10.9.9.09¦x-forwarded-for: 010.9.9.9¦x-forwarded-for: 0xa.9.9.9¦x-forwarded-for: 10.9.9
  x-forwarded-for: 10.9.9.9,¦x-forwarded-for: ,10.9.9.9¦x-forwarded-for: unknown¦x-forwarded-for:¦x-forwarded-for: 127.0.0.1
  x-forwarded-for: 127.0.0.1|x-envoy-max-retries: 9|x-internal-only: 1¦x-forwarded-for: 127.0.0.1,127.0.0.1|x-envoy-max-retries: 9|x-internal-only: 1
  x-forwarded-proto: https¦x-forwarded-proto: HTTPS¦x-forwarded-host: secret.test
  x-envoy-internal: true¦x-internal-only: 1¦X-Internal-Only: 1|x-envoy-x: 1¦x-envoy-external-address: 10.9.9.9¦x-envoy-upstream-rq-timeout-ms: 60000
  x-envoy-max-retries: 9|x-envoy-retry-on: 5xx¦x-envoy-decorator-operation: x¦x-envoy-downstream-service-cluster: x¦forwarded: for=10.9.9.9
  x-real-ip: 10.9.9.9¦x-forwarded-client-cert: By=x¦x-other: y`

/** One case, as HTTP/1 bytes or as HTTP/2 frames. */
export type PathCase = { readonly id: string } & ({ readonly http1: AttackCase } | { readonly http2: FrameCase })

export function pathCorpus(http2: boolean): PathCase[] {
  const cases: PathCase[] = []
  const add = (what: string, host: string, target: string, fields: Fields = []): void => {
    const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')
    const id = `path/${show(what)}`
    cases.push({ id, http1: { id, parts: [`GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${lines}\r\n`] } })
    if (!http2) return
    const lower: Fields = fields.map(([name, value]) => [name.toLowerCase(), value])
    const head: Fields = [[':method', 'GET'], [':scheme', 'http'], [':authority', host], [':path', target], ...lower]
    cases.push({ id: `${id} over HTTP/2`, http2: { id, frames: [headers(1, head, END)] } })
  }
  for (const one of PATHS) add(one, 'h', one)
  for (const one of HOSTS) add(`host ${one}`, one, '/x')
  for (const one of QUERIES) add(`query ${one}`, 'h', `/x${one}`)
  for (const one of TRUST) {
    const fields = one.split('|').map(line => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()] as const)
    add(one, 'h', '/x', fields)
  }
  return cases
}

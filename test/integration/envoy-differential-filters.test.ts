import { createServer, type IncomingMessage, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { brotliCompressSync, brotliDecompressSync, gunzipSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { basicOf, bootstrap, HOST_LIMITS } from '../support/filter-routes.js'
import { freePort, ProxyProcess, stopAll, until } from '../support/proxy-process.js'

const envoyBin = process.env['ENVOY_BIN']

interface Exchange {
  readonly method?: string
  readonly path: string
  readonly host?: string
  readonly headers?: Readonly<Record<string, string | string[]>>
  readonly body?: string | Buffer
  /** It is sent once both proxies have this value. */
  readonly once?: readonly [stat: string, value: number]
}

/** An origin that tells its name and what it saw; `x-reply-*` and the path choose the answer. */
function startOrigin(name: string): Promise<Server> {
  const server = createServer((incoming: IncomingMessage, response) => {
    let body = ''
    incoming.on('data', chunk => (body += chunk))
    incoming.on('error', () => {})
    incoming.on('end', () => {
      const lines: string[] = []
      for (let i = 0; i < incoming.rawHeaders.length; i += 2)
        lines.push(`${incoming.rawHeaders[i]!.toLowerCase()}: ${incoming.rawHeaders[i + 1]}`)
      const kept = lines.filter(line => !/^(x-request-id|connection|x-mark):/.test(line)).sort()
      const text = JSON.stringify({ origin: name, method: incoming.method, path: incoming.url, headers: kept, body })
      const headers: Record<string, string> = {
        'content-type': String(incoming.headers['x-reply-type'] ?? 'application/json'),
        'x-origin': 'yes',
      }
      for (const field of ['etag', 'cache-control', 'vary', 'content-encoding', 'grpc-status', 'x-envoy-ratelimited', 'accept-ranges']) {
        const value = incoming.headers[`x-reply-${field}`]
        if (value !== undefined) headers[field] = String(value)
      }
      const status = Number(incoming.headers['x-reply-status'] ?? 200)
      const bytes = incoming.headers['x-reply-gzip'] === undefined ? Buffer.from(text) : gzipSync(text)
      if (incoming.headers['x-reply-gzip'] !== undefined) headers['content-encoding'] = 'gzip'
      if (incoming.headers['x-reply-chunked'] === undefined) headers['content-length'] = String(bytes.length)
      setTimeout(
        () => {
          if (incoming.headers['x-reply-reset'] !== undefined) {
            incoming.socket.destroy()
            return
          }
          response.writeHead(status, headers)
          response.end(bytes)
        },
        Number(incoming.headers['x-delay-ms'] ?? 0),
      )
    })
  })
  return new Promise(resolve => server.listen(0, '127.0.0.1', () => resolve(server)))
}

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: unknown
}

/** One line for each field that differs. */
function compare(path: string, envoy: unknown, ours: unknown): string[] {
  if (typeof envoy === 'object' && typeof ours === 'object' && envoy !== null && ours !== null) {
    const keys = new Set([...Object.keys(envoy), ...Object.keys(ours)])
    return [...keys].flatMap(key =>
      compare(`${path}/${key}`, (envoy as Record<string, unknown>)[key], (ours as Record<string, unknown>)[key]),
    )
  }
  return Object.is(envoy, ours) ? [] : [`${path}: Envoy ${JSON.stringify(envoy)}, Outrigger ${JSON.stringify(ours)}`]
}

const ANSWER_WITHIN_MS = 20_000
const VARIABLE = new Set(['date', 'x-envoy-upstream-service-time', 'x-request-id', 'keep-alive', 'connection'])

function decoded(bytes: Buffer, encoding: string | undefined): string {
  try {
    if (encoding === 'gzip') return gunzipSync(bytes).toString()
    if (encoding === 'br') return brotliDecompressSync(bytes).toString()
  } catch {
    // What only claims to be compressed is compared as it is.
  }
  return bytes.toString('latin1')
}

function send(port: number, exchange: Exchange, mark: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: '127.0.0.1',
        port,
        method: exchange.method ?? 'GET',
        path: exchange.path,
        agent: false,
        headers: { host: exchange.host ?? 'a.test', 'x-mark': mark, ...exchange.headers },
      },
      response => {
        const chunks: Buffer[] = []
        response.on('data', chunk => chunks.push(chunk))
        response.on('end', () => {
          const text = decoded(Buffer.concat(chunks), response.headers['content-encoding'])
          const headers = Object.entries(response.headers).filter(([name]) => !VARIABLE.has(name))
          let body: unknown = text.replace(/, limit: .*$/, '').replace(/: the limit is .*$/, '')
          try {
            body = JSON.parse(text)
          } catch {
            // Not JSON: compared as text.
          }
          // Where our text says more than Envoy's, its length differs too.
          const trimmed = body !== text && typeof body === 'string'
          resolve({
            status: response.statusCode ?? 0,
            headers: Object.fromEntries(headers.filter(([name]) => !(trimmed && name === 'content-length')).sort()),
            body,
          })
        })
        response.on('error', reject)
      },
    )
    outgoing.setTimeout(ANSWER_WITHIN_MS, () => {
      outgoing.destroy()
      resolve({ status: 0, headers: {}, body: 'no answer' })
    })
    outgoing.on('error', reject)
    if (exchange.body !== undefined) outgoing.write(exchange.body)
    outgoing.end()
  })
}

// ---- config ----------------------------------------------------------------------------------------------------------------------

const long = 'x'.repeat(1000)
const preflight = (path: string, origin: string, more: object = {}): Exchange => ({
  method: 'OPTIONS',
  path,
  headers: { origin, 'access-control-request-method': 'POST', ...more },
})
const users = ['alice', 'bob', 'carol', 'dave', 'erin', 'frank', 'grace', 'heidi', 'ivan', 'judy']
const times = (n: number, exchange: Exchange): Exchange[] => Array.from({ length: n }, () => exchange)
const grpc = { 'content-type': 'application/grpc' }

const login = (value: string | string[]): Exchange => ({ path: '/basic', headers: { authorization: value } })
const key = (path: string, headers: Record<string, string> = {}): Exchange => ({ path, headers })
const CREDENTIALS: readonly Exchange[] = [
  { path: `/basic/a"\\${'b'.repeat(300)}?q=1` },
  ...['ann:p:1', 'ann:wrong', 'nobody:p:1', 'none:', 'björk:ß', 'ann', ''].map(pair => login(basicOf(pair))),
  ...['basic YW5uOnA6MQ', 'Basic', 'Basic  YW5uOnA6MQ==', 'Basic YW5uOnA6MQ', 'Basic YW5uOnA6MQ===', 'Basic !!', 'Bearer x', ''].map(login),
  { path: '/basic', headers: { authorization: basicOf('ann:p:1'), 'x-user-name': 'evil' } },
  { path: '/basic/own', headers: { authorization: basicOf('ann:p:1') } },
  { path: '/basic/own', headers: { authorization: basicOf('own:o') } },
  { path: '/basic/maybe' },
  { path: '/basic/maybe', headers: { authorization: basicOf('ann:wrong') } },
  ...[basicOf('ann:p:1'), basicOf('ann:wrong'), 'Bearer x', ''].map(value => ({ path: '/basic/maybe', headers: { 'x-login': value } })),
  key('/key'),
  ...['k1', 'Bearer k1', 'bearer k1', 'k2', 'k 2'].map(value => key('/key', { 'x-key': value })),
  key('/key', { 'x-key': 'k1', 'x-client': 'evil', cookie: 'a=1; key=k1; b=2' }),
  key('/key', { cookie: 'key="k1"' }),
  key('/key', { cookie: 'akey=k1' }),
  ...['?key=k1', '?a=1&key=k%31&b=2&key=zz', '?key=k%202', '?key=k+2', '?key', '?KEY=k1'].map(query => key(`/key${query}`)),
  key('/key?key=k1', { 'x-key': 'wrong' }),
  key('/key?key=k1', { 'x-key': '' }),
  key('/key/some', { 'x-key': 'k1' }),
  key('/key/some', { 'x-key': 'k 2' }),
  key('/key/own', { 'x-key': 'k1' }),
  key('/key/own', { authorization: 'Bearer o' }),
  { path: '/matched' },
  { path: '/matched', headers: { 'x-num': '1' } },
  { path: '/matched', headers: { 'x-who': 'carol' } },
  { path: '/matched/cel' },
]

const who = (path: string, ...names: string[]): Exchange[] =>
  names.map(name => (name === '' ? { path } : { path, headers: { 'x-who': name } }))
const OWN_ACTIONS: readonly Exchange[] = [
  ...who('/limit/any', 'a', 'a', 'b', 'b', '', ''),
  ...who('/limit/few', 'a', 'b', 'a', 'a'),
  ...who('/limit/spared', 'a', 'a', '', '', 'a', 'a'),
]

const EXCHANGES: readonly Exchange[] = [
  ...OWN_ACTIONS,
  ...CREDENTIALS,
  { path: '/' },
  { path: '/fault/abort' },
  { path: '/fault/overflow' },
  { path: '/fault/rl-some', headers: { 'x-envoy-fault-throughput-response': '1' } },
  { path: '/fault/grpc-header', headers: { 'x-envoy-fault-abort-grpc-request': '7' } },
  { path: '/fault/grpc-header', headers: { ...grpc, 'x-envoy-fault-abort-grpc-request': '7' } },
  { path: '/fault/grpc-header', headers: { 'x-envoy-fault-abort-grpc-request': '7', 'x-envoy-fault-abort-request': '404' } },
  { path: '/fault/grpc', headers: grpc },
  { path: '/fault/rl-header', headers: { 'x-envoy-fault-throughput-response': '64', 'x-envoy-fault-throughput-response-percentage': '0' } },
  { path: '/fault/abort', method: 'POST', body: 'x', headers: grpc },
  { path: '/fault/grpc', method: 'POST', body: 'x', headers: grpc },
  { path: '/fault/grpc' },
  { path: '/fault/delay' },
  { path: '/fault/delay', method: 'POST', body: long },
  { path: '/fault/both' },
  { path: '/fault/header' },
  { path: '/fault/header', headers: { 'x-envoy-fault-abort-request': '429' } },
  { path: '/fault/header', headers: { 'x-envoy-fault-abort-request': '199' } },
  { path: '/fault/header', headers: { 'x-envoy-fault-abort-request': '429', 'x-envoy-fault-abort-request-percentage': '0' } },
  { path: '/fault/header', headers: { 'x-envoy-fault-abort-grpc-request': '5' } },
  { path: '/fault/header', headers: { 'x-envoy-fault-delay-request': '20' } },
  { path: '/fault/header', headers: { 'x-envoy-fault-delay-request': 'soon' } },
  { path: '/fault/zero', headers: { 'x-envoy-fault-abort-request': '429', 'x-envoy-fault-abort-request-percentage': '100' } },
  { path: '/fault/never' },
  { path: '/fault/match' },
  { path: '/fault/match', headers: { 'x-chaos': 'on' } },
  { path: '/fault/cluster' },
  { path: '/fault/node' },
  { path: '/fault/node', headers: { 'x-envoy-downstream-service-node': 'n1' } },
  { path: '/fault/slow' },
  { path: '/fault/slow', method: 'POST', body: long },
  { path: '/fault/rl-header', headers: { 'x-envoy-fault-throughput-response': '64' } },
  { path: '/fault/rl-header' },
  ...['/cors', '/cors/off', '/cors/forward', '/cors/no-forward', '/cors/any', '/cors/private', '/'].flatMap((path): Exchange[] => [
    { path, headers: { origin: 'https://ok.test' } },
    { path, headers: { origin: 'https://abc.wild.test' } },
    { path, headers: { origin: 'https://evil.test' } },
    { path, headers: { origin: '' } },
    preflight(path, 'https://ok.test'),
    preflight(path, 'https://evil.test'),
    preflight(path, 'https://ok.test', { 'access-control-request-private-network': 'true' }),
    { path, method: 'OPTIONS', headers: { origin: 'https://ok.test' } },
  ]),
  { path: '/cors', method: 'OPTIONS' },
  ...['/csrf', '/csrf/shadow'].flatMap((path): Exchange[] => [
    { path },
    { path, method: 'POST', body: 'x' },
    { path, method: 'POST', body: 'x', headers: { origin: 'http://a.test' } },
    { path, method: 'POST', body: 'x', headers: { origin: 'http://a.test:80' } },
    { path, method: 'POST', body: 'x', headers: { origin: 'http://A.test' } },
    { path, method: 'POST', body: 'x', headers: { origin: 'http://evil.test' } },
    { path, method: 'PUT', body: 'x', headers: { referer: 'http://a.test/page?x' } },
    { path, method: 'DELETE', headers: { origin: 'https://x.friend.test' } },
    { path, method: 'PATCH', headers: { origin: 'null' } },
    { path, method: 'POST', headers: { origin: 'null', referer: 'http://a.test/x' } },
    { path, method: 'POST', headers: { origin: 'http://user@a.test' } },
  ]),
  ...times(4, { path: '/limit/headers' }),
  ...times(2, { path: '/limit/grpc-code', method: 'POST', headers: grpc }),
  ...times(2, { path: '/limit/not-enforced' }),
  ...times(2, { path: '/limit/low-status' }),
  ...times(2, { path: '/limit/descriptor', headers: { 'x-who': 'bob' } }),
  ...times(2, { path: '/limit/descriptor', headers: { 'x-who': 'eve' } }),
  ...HOST_LIMITS.flatMap(([, name]) =>
    ['bare', 'own', 'included'].flatMap(route => times(2, { path: `/limit/${name}/${route}`, headers: { 'x-host': '1' } })),
  ),
  ...times(3, { path: '/limit' }),
  { path: '/limit', method: 'POST', headers: grpc },
  { path: '/buffer/small', method: 'POST', body: '0123456789' },
  { path: '/buffer/small', method: 'POST', body: '0123456789a' },
  { path: '/buffer/small', method: 'POST', body: '0123456789a', headers: grpc },
  { path: '/buffer/small', method: 'POST', body: 'short', headers: { 'transfer-encoding': 'chunked' } },
  { path: '/buffer/small' },
  { path: '/buffer/off', method: 'POST', body: 'x'.repeat(1000) },
  { path: '/', method: 'POST', body: 'x'.repeat(150_000) },
  ...[
    'gzip',
    'br',
    'gzip, br',
    'br;q=0.5, gzip',
    'gzip;q=0',
    '*',
    '*;q=0',
    'identity',
    'identity, gzip',
    'deflate',
    'GZIP',
    'gzip;q=abc',
    '',
  ].map(accept => ({ path: '/c', method: 'POST', body: long, headers: { 'accept-encoding': accept } })),
  ...(
    [
      { 'x-reply-type': 'image/png' },
      { 'x-reply-type': 'text/html; charset=utf-8' },
      { 'x-reply-etag': '"strong"' },
      { 'x-reply-etag': 'W/"weak"' },
      { 'x-reply-cache-control': 'no-transform' },
      { 'x-reply-vary': 'Origin' },
      { 'x-reply-vary': 'Accept-Encoding' },
      { 'x-reply-vary': '*' },
      { 'x-reply-content-encoding': 'gzip' },
      { 'x-reply-chunked': '1' },
      { 'x-reply-status': '206' },
      { 'x-reply-status': '500' },
      { 'x-reply-accept-ranges': 'bytes' },
    ] as Record<string, string>[]
  ).map(more => ({ path: '/c', method: 'POST', body: long, headers: { 'accept-encoding': 'gzip', ...more } })),
  { path: '/c', headers: { 'accept-encoding': 'gzip' }, method: 'HEAD' },
  ...(
    [
      [{ 'content-encoding': 'gzip' }, gzipSync(long)],
      [{ 'content-encoding': 'GZip' }, gzipSync(long)],
      [{ 'content-encoding': 'x-gzip' }, Buffer.from('left as it is')],
      [{ 'content-encoding': 'br' }, brotliCompressSync(long)],
      [{ 'content-encoding': 'gzip', 'cache-control': 'no-transform' }, Buffer.from('left as it is')],
      [{ 'content-encoding': 'gzip', 'x-reply-gzip': '1' }, gzipSync(long)],
      [{ 'x-reply-gzip': '1', 'x-reply-cache-control': 'no-transform' }, Buffer.from('x')],
      [{ 'x-reply-gzip': '1', 'x-reply-chunked': '1', 'accept-encoding': 'deflate' }, Buffer.from('x')],
    ] as [Record<string, string>, Buffer][]
  ).map(([headers, body]) => ({ path: '/decompress', method: 'POST', headers, body })),
  { path: '/decompress', headers: { 'accept-encoding': 'identity' } },
  { path: '/decompress', method: 'HEAD', headers: { 'x-reply-gzip': '1' } },
  ...(
    [
      { 'content-type': 'text/plain' },
      { 'content-type': 'application/json' },
      { 'content-type': 'text/plain', 'content-encoding': 'br' },
      { 'x-reply-type': 'application/x+json', 'accept-encoding': 'gzip' },
      { 'x-reply-type': 'application/x+json', 'accept-encoding': 'gzip', 'x-reply-etag': '"a"' },
      { 'x-reply-type': 'application/x+json', 'accept-encoding': 'gzip', 'x-reply-etag': 'W/"a"' },
      { 'x-reply-type': 'application/json', 'accept-encoding': 'gzip' },
      { 'x-reply-type': 'application/x+json', 'accept-encoding': 'gzip', 'x-reply-status': '206' },
      { 'x-reply-type': 'application/x+json', 'accept-encoding': 'gzip', 'x-reply-cache-control': 'no-transform' },
      { 'x-reply-type': 'application/x+json', 'accept-encoding': 'br' },
      { 'x-reply-type': 'application/x+json', 'accept-encoding': 'gzip', 'x-reply-chunked': '1' },
    ] as Record<string, string>[]
  ).map(headers => ({ path: '/compress/all', method: 'POST', body: 'y'.repeat(200), headers })),
  { path: '/compress/off', method: 'POST', body: long, headers: { 'accept-encoding': 'gzip' } },
  { path: '/direct', headers: { 'accept-encoding': 'gzip' } },
  { path: '/mutate', headers: { 'x-gone': '1', 'x-new': 'old', 'x-over': 'old', 'x-if': 'old' } },
  { path: '/mutate', headers: { 'x-absent': 'mine' } },
  { path: '/rbac' },
  { path: '/rbac', method: 'POST', body: 'x' },
  { path: '/rbac', method: 'POST', body: 'x', headers: { 'x-who': 'carol' } },
  { path: '/disabled' },
  { path: '/', headers: { 'x-who': 'ann', 'x-num': '42', 'x-re': 'a=b', cookie: 'sid=7; z=1' } },
  { path: '/', headers: { 'x-num': 'not a number', 'x-re': 'zzz' } },
  { path: '/', headers: { 'x-who': ['a', 'b'] } },
  { path: '/split' },
  { path: '/split', headers: { 'x-chaos': '1' } },
  ...users.flatMap((user): Exchange[] => [
    { path: '/ring', headers: { 'x-user': user } },
    { path: '/maglev', headers: { 'x-user': user } },
    { path: '/hash-split', headers: { 'x-user': user } },
    { path: '/ring/cookie', headers: { cookie: `sid=${user}` } },
    { path: `/ring/query?u=${user}` },
    { path: '/ring/two', headers: { 'x-user': user, 'x-b': '1' } },
    { path: '/ring/two', headers: { 'x-b': user } },
    { path: '/ring/rewrite', headers: { 'x-user': user } },
    { path: '/ring', headers: { 'x-user': [user, 'second'] } },
  ]),
  ...times(3, { path: '/subset' }),
  { path: '/no-subset' },
  { path: '/unhealthy' },
  { path: '/failover' },
  { path: '/aggregate' },
  { path: '/none' },
  { path: '/none', method: 'POST', headers: grpc },
  { path: '/down' },
  { path: '/down', method: 'POST', body: long },
  { path: '/no-requests' },
  { path: '/no-requests', method: 'POST', headers: grpc },
  { path: '/no-pending' },
  { path: '/retry-none', headers: { 'x-reply-status': '503' } },
  ...times(2, { path: '/outlier', headers: { 'x-reply-status': '500' } }),
  // Envoy's main thread ejects, some time after the worker has seen the failure.
  { path: '/outlier', headers: { 'x-reply-status': '500' }, once: ['cluster.outlier.outlier_detection.ejections_active', 1] },
  { path: '/drop' },
  { path: '/timeout', headers: { 'x-delay-ms': '2000' } },
  { path: '/timeout', method: 'POST', headers: { 'x-delay-ms': '2000', ...grpc } },
  { path: '/idle', headers: { 'x-delay-ms': '2000' } },
  { path: '/max-stream', headers: { 'x-delay-ms': '2000' } },
  { path: '/per-try', headers: { 'x-delay-ms': '2000' } },
  { path: '/try-idle', headers: { 'x-delay-ms': '2000' } },
  { path: '/retry', headers: { 'x-reply-status': '500' } },
  { path: '/retry', headers: { 'x-reply-status': '500', 'x-reply-x-envoy-ratelimited': 'true' } },
  { path: '/retry-reset', headers: { 'x-reply-reset': '1' } },
  { path: '/', headers: { 'x-reply-reset': '1' } },
  { path: '/again-to-down' },
  { path: '/redirect' },
  { path: '/direct' },
  { path: '/direct', method: 'POST', body: 'x', headers: grpc },
  { path: '/', method: 'POST', body: 'x', headers: { ...grpc, 'x-reply-grpc-status': '5', 'x-reply-type': 'application/grpc' } },
  { path: '/', host: 'b.test:8080', headers: { 'user-agent': 'quote " and \\ back', 'x-forwarded-for': '9.9.9.9' } },
]

/** A difference that is meant, and why. */
const DELIBERATE: readonly { readonly field: RegExp; readonly why: string; readonly only?: (exchange: Exchange) => boolean }[] = [
  {
    field: /./,
    why: 'content codings are case-insensitive (RFC 9110 §8.4.1)',
    only: ({ headers }) => headers?.['accept-encoding'] === 'GZIP',
  },
  { field: /^\/headers\/vary$/, why: '`*` says it all (RFC 9110 §12.5.5)', only: ({ headers }) => headers?.['x-reply-vary'] === '*' },
  { field: /^\/headers\/accept-ranges$/, why: 'ranges of a body compressed on the fly cannot be served' },
  { field: /^\/log\/sent$/, why: 'another compressor', only: ({ path }) => path === '/c' || path === '/compress/all' },
  {
    field: /^\/(log\/sent|headers\/(content-length|vary|grpc-message)|log\/details)$/,
    why: 'our text names the limit that was met and its value',
    only: ({ path }) => /^\/(no-|buffer)/.test(path),
  },
  {
    field: /^\/log\/(details|failure)$/,
    why: 'our reason names the endpoint and the error code',
    only: ({ path }) => path.includes('down'),
  },
  {
    field: /^\/body\/headers\//,
    why: 'what is left of the timeout at a retry depends on the clock',
    only: ({ path }) => path.startsWith('/retry'),
  },
]

describe.skipIf(envoyBin === undefined)('the same filters in Envoy and in Outrigger (needs ENVOY_BIN)', () => {
  let origins: Server[] = []
  let envoy: { port: number; proxy: ProxyProcess }
  let ours: { port: number; proxy: ProxyProcess }
  const answers: [envoy: Answer, ours: Answer][] = []

  beforeAll(async () => {
    origins = await Promise.all(['a', 'b', 'c'].map(startOrigin))
    const ports = origins.map(origin => (origin.address() as AddressInfo).port)
    const [first, second] = [await freePort(), await freePort()]
    const [a, b] = await Promise.all([
      ProxyProcess.start({
        bootstrap: bootstrap(first, ports),
        bin: envoyBin!,
        flags: ['--file-flush-interval-msec', '20', '-l', 'error'],
      }),
      ProxyProcess.start({ bootstrap: bootstrap(second, ports) }),
    ])
    envoy = { port: first, proxy: a }
    ours = { port: second, proxy: b }
    for (const [i, exchange] of EXCHANGES.entries()) {
      const { once } = exchange
      if (once !== undefined) await Promise.all([a, b].map(proxy => proxy.untilStat(once[0], value => value === once[1])))
      answers.push(await Promise.all([send(envoy.port, exchange, `m${i}`), send(ours.port, exchange, `m${i}`)]))
    }
  })

  afterAll(async () => {
    await stopAll()
    await Promise.all(origins.map(origin => new Promise(resolve => origin.close(resolve))))
  })

  async function logLine(proxy: ProxyProcess, mark: string): Promise<Record<string, unknown>> {
    const line = await until(`the log line of ${mark} in ${proxy === envoy.proxy ? 'Envoy' : 'Outrigger'}'s log`, () =>
      proxy.log.split('\n').find(text => text.includes(`"mark":"${mark}"`)),
    )
    const entry = JSON.parse(line.slice(line.indexOf('{'))) as Record<string, unknown>
    const text = JSON.stringify(entry)
      .replace(/delayed_connect_error:_|delayed connect error: /g, '')
      .replace(/"(remote|host)":"127.0.0.1:\d+"/g, (whole, key: string) => (key === 'host' ? whole : `"${key}":"*"`))
    return JSON.parse(text) as Record<string, unknown>
  }

  for (const [i, exchange] of EXCHANGES.entries()) {
    it(`${i}: ${exchange.method ?? 'GET'} ${exchange.path} ${JSON.stringify(exchange.headers ?? {})}`, async () => {
      const mark = `m${i}`
      const [expected, found] = answers[i]!
      const [expectedLine, foundLine] = await Promise.all([logLine(envoy.proxy, mark), logLine(ours.proxy, mark)])
      const differences = compare('', { ...expected, log: expectedLine }, { ...found, log: foundLine }).filter(
        line => !DELIBERATE.some(({ field, only }) => field.test(line.slice(0, line.indexOf(':'))) && only?.(exchange) !== false),
      )
      if (differences.length > 0) expect.fail(differences.join('\n'))
    })
  }
})

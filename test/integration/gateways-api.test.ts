// An API gateway before the sidecars of two services: host names, precedence of matches, filters, weights, tokens, certificates by server name,
// TCP, the status of its entries. The gateway is our proxy, and the real Envoy where ENVOY_BIN names it. The cases of matching are those of the
// Gateway API's conformance suite (HTTPRouteMatching, -PathMatchOrder, -MatchingAcrossRoutes, -HeaderMatching, -QueryParamMatching,
// -MethodMatching, -HostnameIntersection, -Weight), with prefixes as Consul takes them: of text, not of segments.
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { Agent, get } from 'node:https'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AnyCa } from '../support/mesh-certificates.js'
import { MeshFixture } from '../support/mesh-fixture.js'
import { EchoOrigin, HttpOrigin, http } from '../support/origins.js'
import { freePort, type ProxyProcess, until } from '../support/proxy-process.js'

const envoyBin = process.env['ENVOY_BIN']
const NAMES = ['v1', 'v2', 'v3'] as const
const origins = NAMES.map(
  name =>
    new HttpOrigin(({ path, headers }, socket) => {
      const seen = ['x-added', 'x-set', 'x-gone'].map(header => headers.get(header) ?? '-').join(' ')
      socket.write(http(`${name} ${path} ${seen}`, '200 OK', { 'x-hide': '1' }))
    }),
)
const echo = new EchoOrigin()
const ca = new AnyCa('Edge CA')
const mesh = new MeshFixture()
let port = 0
let tlsPort = 0
let tcpPort = 0
let filePort = 0
let latePort = 0
let edgeEntry: { readonly Kind: string; readonly Name: string; readonly Listeners: readonly object[] }
let files = ''

interface Answer {
  readonly status: number
  readonly text: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

function ask(path: string, options: { host?: string; method?: string; headers?: Record<string, string> } = {}): Promise<Answer> {
  const { host = 'example.com', method = 'GET', headers = {} } = options
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, path, method, headers: { ...headers, host } }, response => {
      let text = ''
      response.on('data', chunk => (text += chunk))
      response.on('end', () => resolve({ status: response.statusCode!, text, headers: response.headers }))
    })
    sent.on('error', reject)
    sent.end()
  })
}

const SECRET = 'a secret of thirty-two characters'
const base64url = (text: string): string => Buffer.from(text).toString('base64url')
function token(claims: object): string {
  const signed = `${base64url(JSON.stringify({ alg: 'HS256', kid: 'a' }))}.${base64url(JSON.stringify({ iss: 'me', exp: 4e9, ...claims }))}`
  return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`
}

const server = async (path: string, options = {}): Promise<string> => (await ask(path, options)).text.split(' ')[0]!

/** Name of the certificate that is shown for a server name. */
async function shown(servername: string, at = tlsPort): Promise<string> {
  const socket = tls.connect({ host: '127.0.0.1', port: at, servername, ca: ca.pem, checkServerIdentity: () => undefined })
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  const { subject } = socket.getPeerCertificate()
  socket.destroy()
  return String(subject.CN)
}

const to = (Name: string, more: object = {}): object => ({ Services: [{ Name }], ...more })
const route = (Name: string, Rules: object[], more: object = {}): object => ({
  Kind: 'http-route',
  Name,
  Parents: [{ Name: 'edge', SectionName: 'web' }],
  Rules,
  ...more,
})
const path = (Value: string, Match = 'prefix'): object => ({ Path: { Match, Value } })

const write = (entry: object): Promise<number> => mesh.write('/v1/config', entry)
function certificate(Name: string, dns: string, commonName = Name): object {
  const { cert, key } = ca.leaf({ dns: [dns], commonName })
  return { Kind: 'inline-certificate', Name, Certificate: cert, PrivateKey: key }
}

/** As tools that renew do it: written beside, and moved into the place. */
function certificateFiles(commonName: string): void {
  const { cert, key } = ca.leaf({ dns: ['file.example.com'], commonName })
  for (const [name, text] of [
    ['key.pem', key],
    ['cert.pem', cert],
  ] as const) {
    writeFileSync(join(files, `${name}.new`), text)
    renameSync(join(files, `${name}.new`), join(files, name))
  }
}

beforeAll(async () => {
  await Promise.all([...origins.map(origin => origin.listen()), echo.listen()])
  await mesh.start()
  ;[port, tlsPort, tcpPort, filePort, latePort] = (await Promise.all(Array.from({ length: 5 }, () => freePort()))) as [
    number,
    number,
    number,
    number,
    number,
  ]
  files = mkdtempSync(join(tmpdir(), 'outrigger-certificates-'))
  certificateFiles('from files')
  for (const [i, name] of NAMES.entries()) {
    await mesh.register(name, { name, port: origins[i]!.port })
    await mesh.intention(name, [{ Name: 'edge', Action: 'allow' }])
  }
  await mesh.register('db', { name: 'db', port: echo.port, protocol: 'tcp' })
  await mesh.intention('db', [{ Name: 'edge', Action: 'allow' }])
  await write(certificate('first', 'a.example.com'))
  await write(certificate('second', 'b.example.com'))
  const keys = Buffer.from(JSON.stringify({ keys: [{ kty: 'oct', alg: 'HS256', kid: 'a', k: base64url(SECRET) }] })).toString('base64')
  await write({ Kind: 'jwt-provider', Name: 'idp', Issuer: 'me', JSONWebKeySet: { Local: { JWKS: keys } } })
  const [Certificate, PrivateKey] = [join(files, 'cert.pem'), join(files, 'key.pem')]
  await write({ Kind: 'file-system-certificate', Name: 'on-disk', Certificate, PrivateKey })
  edgeEntry = {
    Kind: 'api-gateway',
    Name: 'edge',
    Listeners: [
      { Name: 'web', Port: port },
      { Name: 'tls', Port: tlsPort, TLS: { Certificates: [{ Name: 'first' }, { Name: 'second' }], MinVersion: 'TLSv1_3' } },
      { Name: 'tcp', Port: tcpPort, Protocol: 'tcp' },
      {
        Name: 'files',
        Port: filePort,
        TLS: { Certificates: [{ Kind: 'file-system-certificate', Name: 'on-disk' }, { Name: 'first' }] },
      },
    ],
  }
  await write(edgeEntry)
  await write(
    route('matching', [
      to('v1', { Matches: [path('/'), { Headers: [{ Match: 'exact', Name: 'version', Value: 'one' }] }] }),
      to('v2', { Matches: [path('/v2'), { Headers: [{ Match: 'exact', Name: 'version', Value: 'two' }] }] }),
      { Matches: [path('/none')], Services: [] },
    ]),
  )
  await write(
    route(
      'order',
      [
        to('v1', { Matches: [path('/match')] }),
        to('v2', { Matches: [path('/match/exact', 'exact')] }),
        to('v3', { Matches: [path('/match/prefix')] }),
        to('v1', { Matches: [path('/match/prefix/one/')] }),
        to('v2', { Matches: [path('/match/exact/one', 'exact')] }),
        to('v3', { Matches: [{ ...path('/method'), Method: 'POST' }] }),
        to('v2', { Matches: [path('/method')] }),
        to('v3', { Matches: [{ ...path('/query'), Query: [{ Match: 'exact', Name: 'animal', Value: 'whale' }] }] }),
        to('v1', {
          Matches: [
            {
              ...path('/query'),
              Query: [
                { Match: 'exact', Name: 'animal', Value: 'whale' },
                { Match: 'present', Name: 'color' },
              ],
            },
          ],
        }),
        to('v2', { Matches: [{ ...path('/two'), Headers: [{ Match: 'exact', Name: 'a', Value: '1' }] }] }),
        to('v3', {
          Matches: [
            {
              ...path('/two'),
              Headers: [
                { Match: 'exact', Name: 'a', Value: '1' },
                { Match: 'prefix', Name: 'b', Value: '2' },
              ],
            },
          ],
        }),
        to('v1', { Matches: [path('/re/[0-9]+', 'regex')] }),
      ],
      { Hostnames: ['order.example.com'] },
    ),
  )
  await write(route('wild', [to('v2')], { Hostnames: ['*.wild.example.com'] }))
  await write(route('exact', [to('v3', { Matches: [path('/only')] })], { Hostnames: ['very.wild.example.com'] }))
  await write(
    route(
      'filters',
      [
        to('v1', {
          Matches: [path('/rewritten')],
          Filters: { Headers: [{ Add: { 'x-added': 'a' }, Set: { 'x-set': 's' }, Remove: ['x-gone'] }], URLRewrite: { Path: '/inner' } },
          ResponseFilters: { Headers: [{ Add: { 'x-seen': 'yes' }, Remove: ['x-hide'] }] },
        }),
        {
          Matches: [path('/split')],
          Services: [
            { Name: 'v1', Weight: 3 },
            { Name: 'v2', Weight: 1 },
            { Name: 'v3', Weight: 0 },
          ],
        },
        to('v1', {
          Matches: [path('/token')],
          Filters: { JWT: { Providers: [{ Name: 'idp', VerifyClaims: [{ Path: ['role'], Value: 'admin' }] }] } },
        }),
      ],
      { Hostnames: ['filters.example.com'] },
    ),
  )
  await write({
    ...(route('secure', [to('v1')]) as object),
    Parents: ['tls', 'files'].map(SectionName => ({ Name: 'edge', SectionName })),
  })
  await write({ Kind: 'tcp-route', Name: 'db', Parents: [{ Name: 'edge', SectionName: 'tcp' }], Services: [{ Name: 'db' }] })
  await mesh.write('/v1/agent/service/register', { Kind: 'api-gateway', Name: 'edge', Address: '127.0.0.1' })
  for (const name of [...NAMES, 'db']) await mesh.sidecar(name)
})
afterAll(async () => {
  await mesh.stop()
  rmSync(files, { recursive: true, force: true })
  await Promise.all([...origins.map(origin => origin.close()), echo.close()])
})

const proxies = [['outrigger-proxy', undefined], ...(envoyBin ? [['the real Envoy', envoyBin] as const] : [])] as const

describe.each(proxies)('an API gateway: %s', (_label, bin) => {
  let gateway: ProxyProcess
  beforeAll(async () => {
    gateway = await mesh.gateway('edge', bin)
    await until('the gateway answers', async () => (await ask('/')).status === 200)
  })
  afterAll(() => gateway.kill())

  it.each([
    ['/', {}, 'v1'],
    ['/example', {}, 'v1'],
    ['/', { headers: { version: 'one' } }, 'v1'],
    ['/v2', {}, 'v2'],
    ['/v2/example', {}, 'v2'],
    ['/', { headers: { version: 'two' } }, 'v2'],
    ['/', { headers: { version: 'three' } }, 'v1'],
  ])('HTTPRouteMatching: %s %j', async (target, options, expected) => {
    expect(await server(target, options)).toBe(expected)
  })

  it.each([
    ['/match/exact', {}, 'v2'],
    ['/match/exact/one', {}, 'v2'],
    ['/match/prefix', {}, 'v3'],
    ['/match/prefix/one/any', {}, 'v1'],
    ['/match/any', {}, 'v1'],
    ['/method', { method: 'POST' }, 'v3'],
    ['/method', {}, 'v2'],
    ['/query?animal=whale', {}, 'v3'],
    ['/query?animal=whale&color=blue', {}, 'v1'],
    ['/two', { headers: { a: '1' } }, 'v2'],
    ['/two', { headers: { a: '1', b: '22' } }, 'v3'],
    ['/re/42', {}, 'v1'],
  ])('precedence: %s %j', async (target, options, expected) => {
    expect(await server(target, { ...options, host: 'order.example.com' })).toBe(expected)
  })

  it.each([
    ['/query?animal=cat', 'order.example.com'],
    ['/nothing', 'order.example.com'],
    ['/', 'very.wild.example.com'],
  ])('answers 404 where nothing matches: %s of %s', async (target, host) => {
    expect((await ask(target, { host })).status).toBe(404)
  })

  it('answers 503 to what a rule without services matches, and hands it to no other rule', async () => {
    expect((await ask('/none/at/all')).status).toBe(503)
  })

  it('takes the narrower of two host names, and any port in it', async () => {
    expect(await server('/x', { host: 'a.wild.example.com' })).toBe('v2')
    expect(await server('/only', { host: 'very.wild.example.com' })).toBe('v3')
    for (const behind of [port, 443, 30_080]) expect(await server('/only', { host: `very.wild.example.com:${behind}` })).toBe('v3')
  })

  it('changes headers both ways, and the path', async () => {
    const answer = await ask('/rewritten/x', { host: 'filters.example.com', headers: { 'x-set': 'old', 'x-gone': '1' } })
    expect(answer.text).toBe('v1 /inner/x a s -')
    expect([answer.headers['x-seen'], answer.headers['x-hide']]).toEqual(['yes', undefined])
  })

  it('shares requests by weight', async () => {
    const counts = new Map<string, number>()
    for (let i = 0; i < 200; i++) {
      const name = await server('/split', { host: 'filters.example.com' })
      counts.set(name, (counts.get(name) ?? 0) + 1)
    }
    expect(counts.get('v3')).toBeUndefined()
    expect(counts.get('v1')).toBeGreaterThan(counts.get('v2')!)
    expect(counts.get('v2')).toBeGreaterThan(10)
  })

  it('asks for a token where the route does', async () => {
    const withToken = async (bearer?: string): Promise<number> =>
      (await ask('/token', { host: 'filters.example.com', headers: bearer === undefined ? {} : { authorization: `Bearer ${bearer}` } }))
        .status
    expect([
      await withToken(),
      await withToken('x.y.z'),
      await withToken(token({ role: 'guest' })),
      await withToken(token({ role: 'admin' })),
    ]).toEqual([401, 401, 403, 200])
  })

  it('shows the certificate of the server name', async () => {
    expect([await shown('a.example.com'), await shown('b.example.com')]).toEqual(['first', 'second'])
  })

  it('passes the bytes of a TCP route', async () => {
    const socket = net.connect(tcpPort, '127.0.0.1')
    socket.write('ping')
    expect(String((await once(socket, 'data'))[0])).toBe('ping')
    socket.destroy()
  })

  it('replaces a certificate under load, and drops nothing', async () => {
    let running = true
    let asked = 0
    const load = (async () => {
      for (; running; asked++) expect((await ask('/')).status).toBe(200)
    })()
    await mesh.proxyAcknowledged('edge', await write(certificate('first', 'a.example.com', `renewed ${bin ?? ''}`)))
    await until('the new certificate is shown', async () => (await shown('a.example.com')) === `renewed ${bin ?? ''}`)
    const before = asked
    await until('requests go on', () => asked > before + 5)
    running = false
    await load
    await mesh.proxyAcknowledged('edge', await write(certificate('first', 'a.example.com')))
  })

  it('takes a certificate from its files, and another one as soon as it is moved there, without a dropped request', async () => {
    const agent = new Agent({ keepAlive: true })
    const fetch = (): Promise<number> =>
      new Promise((resolve, reject) => {
        const options = {
          host: '127.0.0.1',
          port: filePort,
          servername: 'file.example.com',
          ca: ca.pem,
          agent,
          headers: { host: 'file.example.com' },
        }
        get(options, response => response.resume().on('end', () => resolve(response.statusCode!))).on('error', reject)
      })
    expect(await shown('file.example.com', filePort)).toBe('from files')
    expect(await shown('a.example.com', filePort)).toBe('first')
    let running = true
    let asked = 0
    const load = (async () => {
      for (; running; asked++) expect(await fetch()).toBe(200)
    })()
    certificateFiles(`renewed ${bin ?? ''}`)
    await until('the new certificate is shown', async () => (await shown('file.example.com', filePort)) === `renewed ${bin ?? ''}`)
    const before = asked
    await until('requests go on', () => asked > before + 5)
    // Half of a pair serves nobody: the pair before stays.
    writeFileSync(join(files, 'key.pem'), ca.leaf({ dns: ['x'] }).key)
    expect(await shown('file.example.com', filePort)).toBe(`renewed ${bin ?? ''}`)
    running = false
    await load
    agent.destroy()
    certificateFiles('from files')
    await until('the first one is back', async () => (await shown('file.example.com', filePort)) === 'from files')
  })

  it('is told of by its entry as programmed', async () => {
    const { Status } = await mesh.read('/v1/config/api-gateway/edge')
    expect(Status.Conditions.filter(({ Type }: { Type: string }) => Type === 'Programmed')).toHaveLength(5)
    expect(Status.Conditions.find(({ Type }: { Type: string }) => Type === 'Programmed')).toMatchObject({
      Status: 'True',
      Reason: 'Programmed',
    })
  })

  it('serves all other listeners while the files of one are not there', async () => {
    const programmed = async (): Promise<{ Status: string; Reason: string; Message: string }> =>
      (await mesh.read('/v1/config/api-gateway/edge')).Status.Conditions.find(({ Type }: { Type: string }) => Type === 'Programmed')
    const late = join(files, bin === undefined ? 'ours' : 'envoy')
    await write({ Kind: 'file-system-certificate', Name: 'late', Certificate: `${late}.crt`, PrivateKey: `${late}.key` })
    const TLS = { Certificates: [{ Kind: 'file-system-certificate', Name: 'late' }] }
    const index = await write({ ...edgeEntry, Listeners: [...edgeEntry.Listeners, { Name: 'late', Port: latePort, TLS }] })
    if (bin === undefined) {
      await mesh.proxyAcknowledged('edge', index)
      // Ours looks for the files by itself; to Envoy the secret is offered again after a while.
      const { cert, key } = ca.leaf({ dns: ['late.example.com'], commonName: 'late' })
      writeFileSync(`${late}.key`, key)
      writeFileSync(`${late}.crt`, cert)
      await until('it is shown', async () => (await shown('late.example.com', latePort).catch(() => '')) === 'late')
    } else {
      await until('the refusal is told', async () => (await programmed()).Reason === 'Invalid')
      expect(await programmed()).toMatchObject({ Status: 'False', Message: expect.stringMatching(/^edge has refused late: /) })
    }
    expect(await server('/')).toBe('v1')
    expect(await shown('a.example.com')).toBe('first')
    await mesh.proxyAcknowledged('edge', await write(edgeEntry))
    expect(await programmed()).toMatchObject({ Status: 'True' })
  })

  it('counts under the names of its listeners', async () => {
    expect(await gateway.stat(`http.ingress_upstream_${port}.downstream_rq_2xx`)).toBeGreaterThan(0)
  })
})

describe('the entries', () => {
  it('say what is bound, without a write', async () => {
    const before = (await mesh.read('/v1/config/http-route/matching')).ModifyIndex
    const { Status } = await mesh.read('/v1/config/http-route/matching')
    expect(Status.Conditions).toMatchObject([
      { Type: 'Accepted', Status: 'True', Reason: 'Accepted' },
      { Type: 'Bound', Status: 'True', Reason: 'Bound', Resource: { Kind: 'api-gateway', Name: 'edge', SectionName: 'web' } },
    ])
    expect((await mesh.read('/v1/config/http-route/matching')).ModifyIndex).toBe(before)
    const bound = await mesh.read('/v1/config/bound-api-gateway/edge')
    expect(bound.Listeners.map(({ Name, Routes }: { Name: string; Routes: object[] }) => [Name, Routes.length])).toEqual([
      ['web', 5],
      ['tls', 1],
      ['tcp', 1],
      ['files', 1],
    ])
  })
})

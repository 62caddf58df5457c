// The web console's files as they are served, and what its API answers: who it may be shown to, what a browser keeps, what leaves the folder.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ApiFixture } from './api-fixture.js'

const PAGE = `<!doctype html><title>console</title>${'<p>words</p>'.repeat(50)}`
let folder: string
let api: ApiFixture

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'outrigger-console-'))
  mkdirSync(join(folder, 'console/assets'), { recursive: true })
  writeFileSync(join(folder, 'console/index.html'), PAGE)
  writeFileSync(join(folder, 'console/assets/console-ABC.js'), 'let a = 1')
  writeFileSync(join(folder, 'secret.txt'), 'not for the web')
  api = await ApiFixture.start({ consoleFolder: join(folder, 'console') })
})
afterAll(async () => {
  await api.stop()
  rmSync(folder, { recursive: true })
})

interface Raw {
  readonly status: number
  readonly headers: Record<string, string | string[] | undefined>
  readonly body: Buffer
}

/** As written: no client tidies the path, follows a redirect or unpacks the body. */
function raw(path: string, headers: Record<string, string> = {}, method = 'GET', plane = api.plane): Promise<Raw> {
  const [host, port] = plane.httpAddress.split(':')
  return new Promise((resolve, reject) => {
    const sent = request({ host, port, path, method, headers }, response => {
      const chunks: Buffer[] = []
      response.on('data', chunk => chunks.push(chunk))
      response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, body: Buffer.concat(chunks) }))
    })
    sent.on('error', reject)
    sent.end()
  })
}

describe('the files of the console', () => {
  it('begin at /ui/, where / and /ui lead to', async () => {
    for (const path of ['/', '/ui']) expect(await raw(path)).toMatchObject({ status: 301, headers: { location: '/ui/' } })
    expect(await raw('/ui/')).toMatchObject({
      status: 200,
      headers: { 'content-type': 'text/html; charset=utf-8' },
      body: Buffer.from(PAGE),
    })
  })

  it('are one page for all paths of the console, also for names with dots', async () => {
    for (const path of ['/ui/services', '/ui/services/web', '/ui/services/web.v1', '/ui/kv/a/%3Dapp.js'])
      expect((await raw(path)).body.toString()).toBe(PAGE)
  })

  it('are the page too where an escape is none: the console says what it makes of the name', async () => {
    for (const path of ['/ui/services/%zz', '/ui/%', '/ui/services/%ff?tab=%zz', '/ui/kv/a%2/b.txt']) {
      const { status, body } = await raw(path)
      expect({ path, status, body: body.toString() }).toEqual({ path, status: 200, body: PAGE })
    }
    // What is beside a broken escape leads nowhere else, and a path of the API is refused as before.
    for (const path of ['/ui/assets/%2e%2e/%2e%2e/secret.txt%', '/ui/assets/none%zz.js']) expect((await raw(path)).status).toBe(404)
    expect((await raw('/v1/kv/%zz')).status).toBe(400)
  })

  it('are not there where they are not: no file of that name, and nothing outside of the folder', async () => {
    for (const path of [
      '/ui/assets/none.js',
      '/ui/none.css',
      '/ui/assets/',
      '/ui/assets/../../secret.txt',
      '/ui/assets/%2e%2e/%2e%2e/secret.txt',
      '/ui/assets/..%2f..%2fsecret.txt',
    ]) {
      const { status, body } = await raw(path)
      expect({ path, status, leaked: body.includes('not for the web') }).toEqual({ path, status: 404, leaked: false })
    }
    for (const path of ['/ui/../secret.txt', '/ui/%2e%2e/secret.txt', '/ui/..%2fsecret.txt', '/ui/x/..%5c..%5csecret.txt'])
      expect((await raw(path)).body.includes('not for the web')).toBe(false)
  })

  it('run nothing but themselves, and stand in no other page', async () => {
    const { headers } = await raw('/ui/')
    const policy = String(headers['content-security-policy'])
    expect(policy).toContain("default-src 'none'")
    expect(policy).toContain("script-src 'self';")
    expect(policy).toContain("frame-ancestors 'none'")
    expect(policy).not.toMatch(/unsafe|data:|https?:|\*/)
    expect(headers).toMatchObject({ 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer' })
  })

  it('are kept by browsers: the page while it is the same, files with a hash in the name for good', async () => {
    const { headers } = await raw('/ui/')
    expect(headers['cache-control']).toBe('no-cache')
    const etag = String(headers['etag'])
    expect(await raw('/ui/', { 'if-none-match': `"other", W/${etag}` })).toMatchObject({ status: 304, body: Buffer.alloc(0) })
    expect((await raw('/ui/', { 'if-none-match': '"other"' })).status).toBe(200)
    expect((await raw('/ui/assets/console-ABC.js')).headers).toMatchObject({
      'cache-control': 'public, max-age=31536000, immutable',
      'content-type': 'text/javascript; charset=utf-8',
    })
  })

  it('are compressed for who asks, under another ETag', async () => {
    const plain = await raw('/ui/')
    const zipped = await raw('/ui/', { 'accept-encoding': 'br, gzip;q=0.5' })
    expect(zipped.headers['content-encoding']).toBe('gzip')
    expect(zipped.headers['etag']).not.toBe(plain.headers['etag'])
    expect(zipped.headers['vary']).toBe('Accept-Encoding')
    expect(gunzipSync(zipped.body).toString()).toBe(PAGE)
    expect((await raw('/ui/', { 'accept-encoding': 'gzip;q=0, identity' })).headers['content-encoding']).toBeUndefined()
    // What would not become smaller goes as it is.
    expect((await raw('/ui/assets/console-ABC.js', { 'accept-encoding': 'gzip' })).headers['content-encoding']).toBeUndefined()
  })

  it('answer HEAD without a body and no method that would change them', async () => {
    const { status, headers, body } = await raw('/ui/', {}, 'HEAD')
    expect({ status, length: headers['content-length'], body: body.length }).toEqual({ status: 200, length: String(PAGE.length), body: 0 })
    expect((await raw('/ui/', {}, 'PUT')).status).toBe(405)
  })

  it('are refused to names that are not this machine, as the API is', async () => {
    expect((await raw('/ui/', { host: 'evil.example' })).status).toBe(403)
  })
})

describe('where the API asks for a token', () => {
  it.each([
    ['of the whole API', { httpToken: 'shared-secret' }],
    ['of ACLs', { acl: { defaultPolicy: 'deny', initialManagement: '8a1f0a3e-7f0b-4a70-9d0b-9b5f5a2b7c11' } }],
  ] as const)('%s, the files need none, and nothing else is told', async (_what, options) => {
    const guarded = await ApiFixture.start({ consoleFolder: join(folder, 'console'), ...options })
    expect((await raw('/ui/', {}, 'GET', guarded.plane)).status).toBe(200)
    expect((await raw('/ui/', { 'x-consul-token': 'nobody-knows-it' }, 'GET', guarded.plane)).status).toBe(200)
    expect((await guarded.get('/v1/outrigger/topology')).body).not.toHaveProperty('Services[0]')
    expect((await guarded.get('/v1/outrigger/audit')).status).toBe(403)
    await guarded.stop()
  })
})

it('without a folder there is no console, and / says so', async () => {
  const bare = await ApiFixture.start()
  expect((await raw('/', {}, 'GET', bare.plane)).body.toString()).toContain('UI disabled')
  expect((await raw('/ui/', {}, 'GET', bare.plane)).status).toBe(404)
  await bare.stop()
})

describe('what the console asks the API', () => {
  const sidecar = (Name: string, Upstreams: readonly string[] = []) => ({
    Name,
    Port: 80,
    Connect: {
      SidecarService: { Proxy: { Upstreams: Upstreams.map((DestinationName, i) => ({ DestinationName, LocalBindPort: 9_000 + i })) } },
    },
  })
  beforeAll(async () => {
    for (const service of [sidecar('api'), sidecar('web', ['api']), sidecar('batch', ['api'])])
      await api.put('/v1/agent/service/register', service)
    await api.put('/v1/config', { Kind: 'service-intentions', Name: 'api', Sources: [{ Name: 'web', Action: 'allow' }] })
  })

  it('what this control plane is', async () => {
    expect((await api.get('/v1/outrigger/console')).body).toMatchObject({
      Datacenter: 'dc1',
      ACLsEnabled: false,
      DefaultIntentionPolicy: 'deny',
    })
  })

  it('who calls whom, and whether it may', async () => {
    const { body } = await api.get('/v1/outrigger/topology')
    expect(body.Services.map(({ Name, Proxies }: { Name: string; Proxies: number }) => [Name, Proxies])).toEqual([
      ['api', 1],
      ['batch', 1],
      ['web', 1],
    ])
    expect(body.Edges.map((edge: { Source: string; Allowed: boolean }) => [edge.Source, edge.Allowed]).sort()).toEqual([
      ['batch', false],
      ['web', true],
    ])
    expect(
      await api.blocks('/v1/outrigger/topology', () => api.put('/v1/config', { Kind: 'service-defaults', Name: 'api', Protocol: 'http' })),
    ).toBe(true)
  })

  it('what an intention would change before it is written, and nothing is written', async () => {
    const Entry = { Kind: 'service-intentions', Name: 'api', Sources: [{ Name: 'batch', Action: 'allow' }] }
    const { body } = await api.put('/v1/outrigger/intentions/preview', { Entry, Edges: [{ Source: 'cron', Destination: 'api' }] })
    const changed = body.Edges.filter(({ Changed }: { Changed: boolean }) => Changed)
    expect(
      changed
        .map((edge: { Source: string; Before: { Allowed: boolean }; After: { Allowed: boolean } }) => [
          edge.Source,
          edge.Before.Allowed,
          edge.After.Allowed,
        ])
        .sort(),
    ).toEqual([
      ['batch', false, true],
      ['web', true, false],
    ])
    expect(body.Edges.some(({ Source }: { Source: string }) => Source === 'cron')).toBe(true)
    expect((await api.get('/v1/config/service-intentions/api')).body.Sources).toHaveLength(1)
  })

  it('what taking the last source out would change', async () => {
    const { body } = await api.put('/v1/outrigger/intentions/preview', { Entry: { Kind: 'service-intentions', Name: 'api', Sources: [] } })
    expect(body.Edges.filter(({ Changed }: { Changed: boolean }) => Changed).map(({ Source }: { Source: string }) => Source)).toEqual([
      'web',
    ])
  })

  it.each([
    [{ Entry: { Kind: 'service-defaults', Name: 'api' } }, 'Entry.Kind: must be service-intentions'],
    [{ Entry: { Kind: 'service-intentions', Name: 'api', Sources: [{ Name: 'web' }] } }, 'Action'],
    [{ Entry: { Kind: 'service-intentions', Name: 'api', Sources: [] }, Edges: [1] }, 'Edges'],
    [
      {
        Entry: { Kind: 'service-intentions', Name: 'api', Sources: [] },
        Edges: Array.from({ length: 5_001 }, () => ({ Source: 'a', Destination: 'b' })),
      },
      '5000',
    ],
  ])('a preview of what is no intention is refused by name: %#', async (body, reason) => {
    const answer = await api.put('/v1/outrigger/intentions/preview', body)
    expect(answer.status).toBe(400)
    expect(answer.body).toContain(reason)
  })

  it('whether an entry would be taken, with every reason and its place', async () => {
    const check = (entry: object) => api.put('/v1/outrigger/config-entries/check', entry).then(({ body }) => body)
    const before = (await api.get('/v1/config')).body
    expect(await check({ Kind: 'service-defaults', Name: 'db', Protocol: 'http' })).toEqual({ Errors: [], Warnings: [] })
    const { Errors } = await check({ Kind: 'service-splitter', Name: 'api', Splits: [{ Weight: 50 }] })
    expect(Errors[0]).toMatchObject({ Path: expect.stringContaining('Splits') })
    expect(
      (await check({ Kind: 'service-intentions', Name: 'api', Sources: [{ Name: 'typo', Action: 'allow' }] })).Warnings.join(),
    ).toContain('typo')
    expect((await api.get('/v1/config')).body).toEqual(before)
  })

  it('who holds which certificate, and no key', async () => {
    const { body } = await api.get('/v1/outrigger/certificates')
    expect(
      body.Leaves.map(({ Service, Outdated, Proxies }: { Service: string; Outdated: boolean; Proxies: string[] }) => [
        Service,
        Outdated,
        Proxies,
      ]),
    ).toContainEqual(['api', false, ['api-sidecar-proxy']])
    expect(body).toMatchObject({ OutdatedLeaves: 0, Provider: 'consul', Roots: [{ Active: true }] })
    expect(JSON.stringify(body)).not.toMatch(/PRIVATE|BEGIN/)
  })
})

// Federation between two real control planes over their bundle endpoints (https_spiffe), and what bundles as documents must be.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ControlPlane } from '../../../src/control/control-plane.js'
import { readBundleText, writeBundleDocument } from '../../../src/control/spiffe/bundle-document.js'
import { parseFederation } from '../../../src/control/spiffe/parse-federation.js'
import { AnyCa } from '../../mtls/tls/tls-support.js'

const planes: ControlPlane[] = []
const LOOPBACK = '127.0.0.1:0'

async function start(nodeName: string): Promise<ControlPlane> {
  const plane = new ControlPlane({ httpAddr: LOOPBACK, grpcAddr: 'off', grpcTlsAddr: LOOPBACK, nodeName, spiffeBundleAddr: LOOPBACK })
  planes.push(plane)
  await plane.start()
  return plane
}

afterAll(() => Promise.all(planes.map(plane => plane.stop())))

async function call(plane: ControlPlane, method: string, path: string, body?: object) {
  const response = await fetch(`http://${plane.httpAddress}/v1/outrigger/spiffe/${path}`, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, text, json: response.ok ? JSON.parse(text) : undefined }
}

describe('two control planes', () => {
  let west: ControlPlane
  let east: ControlPlane
  let trustDomain: string
  let document: object

  beforeAll(async () => {
    ;[west, east] = await Promise.all([start('west'), start('east')])
    document = (await call(east, 'GET', 'bundle')).json
    const roots = (await (await fetch(`http://${east.httpAddress}/v1/connect/ca/roots`)).json()) as { TrustDomain: string }
    trustDomain = roots.TrustDomain
  })

  const federation = (more: object = {}): object => ({
    TrustDomain: trustDomain,
    BundleEndpointURL: `https://${east.spiffeBundleAddress}/`,
    BundleEndpointProfile: 'https_spiffe',
    EndpointSPIFFEID: `spiffe://${trustDomain}/agent/server/dc/dc1`,
    TrustBundle: JSON.stringify(document),
    ...more,
  })

  it('publish a bundle with sequence and hint, and fetch the other’s, verified by id and bundle', async () => {
    expect(document).toMatchObject({
      keys: [{ use: 'x509-svid', kty: 'EC' }],
      spiffe_sequence: expect.any(Number),
      spiffe_refresh_hint: 60,
    })
    expect(await call(west, 'PUT', 'federation/east', federation())).toMatchObject({ status: 200 })
    const refreshed = await call(west, 'PUT', 'federation/east/refresh')
    expect(refreshed.json).toMatchObject({ Name: 'east', Problem: '', Bundle: { RefreshHintSeconds: 60, RootCerts: [expect.any(String)] } })
    expect((await call(west, 'GET', 'federations')).json).toHaveLength(1)
  })

  it('name it as a peer: intentions on it are no typing mistakes, and no peering takes the name', async () => {
    const intentions = { Kind: 'service-intentions', Name: 'api', Sources: [{ Name: 'billing', Peer: 'east', Action: 'allow' }] }
    const written = await fetch(`http://${west.httpAddress}/v1/config`, { method: 'PUT', body: JSON.stringify(intentions) })
    expect(written.status).toBe(200)
    expect(JSON.stringify([...written.headers])).not.toContain('there is no peering')
    const taken = await fetch(`http://${west.httpAddress}/v1/peering/token`, { method: 'POST', body: JSON.stringify({ PeerName: 'east' }) })
    expect([taken.status, await taken.text()]).toEqual([409, 'there is a federation "east": a peering needs another name'])
    const together = await Promise.all([
      fetch(`http://${west.httpAddress}/v1/peering/token`, { method: 'POST', body: JSON.stringify({ PeerName: 'twin' }) }),
      call(west, 'PUT', 'federation/twin', federation({ TrustDomain: 'twin.test', EndpointSPIFFEID: 'spiffe://twin.test/endpoint' })),
    ])
    expect(together.map(({ status }) => status).sort(), 'of two that ask at once one has it').toEqual([200, 409])
  })

  it('refuse an endpoint that another serves, or that the bundle does not vouch for; what is held stays', async () => {
    const wrongId = federation({ EndpointSPIFFEID: `spiffe://${trustDomain}/agent/server/dc/dc9` })
    await call(west, 'PUT', 'federation/east', wrongId)
    expect(await call(west, 'PUT', 'federation/east/refresh')).toMatchObject({
      status: 502,
      text: expect.stringMatching(/is not who it should be: .*none of the names/),
    })
    await call(west, 'PUT', 'federation/east', federation({ TrustBundle: new AnyCa().pem }))
    const refused = await call(west, 'PUT', 'federation/east/refresh')
    expect(refused).toMatchObject({ status: 502, text: expect.stringMatching(/is not who it should be/) })
    expect((await call(west, 'GET', 'federation/east')).json).toMatchObject({ Problem: refused.text })
    await call(west, 'PUT', 'federation/east', federation({ BundleEndpointProfile: 'https_web', EndpointSPIFFEID: '' }))
    expect((await call(west, 'PUT', 'federation/east/refresh')).status).toBe(502)
  })

  it('refuse a trust domain that is our own or taken, and end what is ended', async () => {
    const own = (await (await fetch(`http://${west.httpAddress}/v1/connect/ca/roots`)).json()) as { TrustDomain: string }
    const pem = new AnyCa().pem
    expect(await call(west, 'PUT', 'federation/self', { TrustDomain: own.TrustDomain, TrustBundle: pem })).toMatchObject({
      status: 400,
      text: expect.stringMatching(/our own/),
    })
    expect(await call(west, 'PUT', 'federation/again', { TrustDomain: trustDomain, TrustBundle: pem })).toMatchObject({ status: 409 })
    expect((await call(west, 'DELETE', 'federation/east')).status).toBe(200)
    expect((await call(west, 'GET', 'federation/east')).status).toBe(404)
  })
})

describe('a bundle document', () => {
  const pem = new AnyCa().pem
  const document = writeBundleDocument({ rootPems: [pem], sequence: 3, refreshHintSeconds: 60 }) as { keys: object[] }
  const read = (value: unknown) => readBundleText(JSON.stringify(value))

  it('is read as it was written; keys of other uses and types are ignored', () => {
    const others = [
      { use: 'jwt-svid', kty: 'EC' },
      { use: 'x509-svid', kty: 'new' },
    ]
    expect(read({ ...document, keys: [...document.keys, ...others] })).toEqual({
      ok: true,
      bundle: { rootPems: [pem], sequence: 3, refreshHintSeconds: 60 },
    })
    expect(readBundleText(pem)).toEqual({ ok: true, bundle: { rootPems: [pem] } })
  })

  it.each<[unknown, RegExp]>([
    [{}, /no list "keys"/],
    [{ keys: [] }, /holds no certificate/],
    [{ keys: [{ use: 'x509-svid', kty: 'EC' }] }, /keys\[0\].x5c does not hold exactly one/],
    [{ keys: [{ use: 'x509-svid', kty: 'EC', x5c: ['AAAA'] }] }, /is no certificate/],
    [{ ...document, spiffe_sequence: 1.5 }, /spiffe_sequence/],
    [{ ...document, spiffe_refresh_hint: -1 }, /spiffe_refresh_hint/],
    ['nonsense', /no list/],
  ])('%j is refused', (value, reason) => {
    const result = read(value)
    expect(result.ok ? '' : result.reason).toMatch(reason)
  })

  it('holds certificates of CAs alone', () => {
    expect(readBundleText(new AnyCa().leaf({ uris: ['spiffe://a/b'] }).cert)).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/not one of a CA/),
    })
  })
})

it('what is wrong with a federation is said with its path, all of it', () => {
  const parsed = parseFederation(
    { TrustDomain: 'Example', BundleEndpointURL: 'http://a', BundleEndpointProfile: 'x', IDTemplate: 'spiffe://b/{service}', Nope: 1 },
    'a.b',
  )
  expect('errors' in parsed ? parsed.errors.map(({ path }) => path) : []).toEqual([
    'Name',
    'TrustDomain',
    'BundleEndpointURL',
    'BundleEndpointProfile',
    'IDTemplate',
    'Nope',
  ])
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  formatMeshIdentity,
  MAX_SPIFFE_ID_BYTES,
  type MeshIdentity,
  meshIdentityOf,
  parseSpiffeId,
  type SpiffeErrorCode,
  serviceSpiffeId,
} from '../../src/mtls/spiffe.js'

const td = '11111111-2222-3333-4444-555555555555.consul'

function codeOf(uri: string): SpiffeErrorCode | 'ok' {
  const result = parseSpiffeId(uri)
  return result.ok ? 'ok' : result.error.code
}

describe('SPIFFE id syntax', () => {
  const refused: [SpiffeErrorCode, string][] = [
    ['empty', ''],
    ['scheme', 'https://td/a'],
    ['scheme', 'SPIFFE://td/a'],
    ['scheme', 'spiffe:/td/a'],
    ['scheme', ' spiffe://td/a'],
    ['trust-domain-missing', 'spiffe://'],
    ['trust-domain-missing', 'spiffe:///a'],
    ['trust-domain-upper-case', 'spiffe://Td/a'],
    ['trust-domain-character', 'spiffe://t d/a'],
    ['trust-domain-character', 'spiffe://t\0d/a'],
    ['trust-domain-character', 'spiffe://td\u212a/a'],
    ['trust-domain-too-long', `spiffe://${'a'.repeat(256)}/a`],
    ['percent-encoding', 'spiffe://t%64/a'],
    ['userinfo', 'spiffe://user@td/a'],
    ['userinfo', 'spiffe://user:secret@td/a'],
    ['port', 'spiffe://td:8443/a'],
    ['port', 'spiffe://::1/a'],
    ['query', 'spiffe://td/a?x=1'],
    ['query', 'spiffe://td?x=1'],
    ['query', 'spiffe://td/a?x#y'],
    ['fragment', 'spiffe://td/a#b'],
    ['fragment', 'spiffe://td/a#b?c'],
    ['trailing-slash', 'spiffe://td/'],
    ['trailing-slash', 'spiffe://td/a/'],
    ['empty-segment', 'spiffe://td//a'],
    ['dot-segment', 'spiffe://td/a/../b'],
    ['dot-segment', 'spiffe://td/./b'],
    ['percent-encoding', 'spiffe://td/a%2fb'],
    ['path-character', 'spiffe://td/a b'],
    ['path-character', 'spiffe://td/a\nb'],
    ['path-character', 'spiffe://td/a\0b'],
    ['path-character', 'spiffe://td/ns/default/dc/dc1/svc/web|api'],
    ['path-character', 'spiffe://td/svc/\uff41'],
    ['too-long', `spiffe://td/${'a'.repeat(MAX_SPIFFE_ID_BYTES)}`],
  ]
  it.each(refused)('SPIFFE spec negatives: refuses with %s: %j', (code, uri) => {
    expect(codeOf(uri)).toBe(code)
  })

  it('accepts ids up to 2048 bytes and every character of the specification', () => {
    const start = 'spiffe://a-b_c.9/'
    expect(codeOf(start + 'x'.repeat(MAX_SPIFFE_ID_BYTES - start.length))).toBe('ok')
    expect(codeOf(start + 'x'.repeat(MAX_SPIFFE_ID_BYTES - start.length + 1))).toBe('too-long')
    expect(codeOf('spiffe://td/A-Z_a.z/...')).toBe('ok')
    expect(codeOf(`spiffe://${'a'.repeat(255)}/a`)).toBe('ok')
  })

  it('names what is wrong in one line and never repeats a long input', () => {
    const result = parseSpiffeId(`spiffe://${'A'.repeat(1000)}/a`)
    expect(result.ok ? '' : result.error.reason).toMatch(/^the trust domain "A{64}\.\.\." must be lower case$/)
  })

  it('never throws, and what it accepts is spelt in one way only', () => {
    const alphabet = fc.constantFrom(...'spife:/td.-_%?#@A \0'.split(''), 'spiffe://', '\u00e9')
    fc.assert(
      fc.property(fc.array(alphabet, { maxLength: 30 }), parts => {
        const uri = `spiffe://${parts.join('')}`
        const result = parseSpiffeId(uri)
        if (!result.ok) return result.error.reason.length > 0
        expect(`spiffe://${result.id.trustDomain}${result.id.path}`).toBe(uri)
        expect(new URL(uri).href).toBe(uri)
        return true
      }),
      { seed: 7, numRuns: 2000 },
    )
  })
})

describe("Consul's forms", () => {
  const forms: [string, MeshIdentity][] = [
    [
      `spiffe://${td}/ns/default/dc/dc1/svc/web`,
      { kind: 'service', trustDomain: td, partition: 'default', namespace: 'default', datacenter: 'dc1', service: 'web' },
    ],
    [
      `spiffe://${td}/ap/part/ns/ns1/dc/dc1/svc/web`,
      { kind: 'service', trustDomain: td, partition: 'part', namespace: 'ns1', datacenter: 'dc1', service: 'web' },
    ],
    [`spiffe://${td}/gateway/mesh/dc/dc1`, { kind: 'mesh-gateway', trustDomain: td, partition: 'default', datacenter: 'dc1' }],
    [`spiffe://${td}/ap/part/gateway/mesh/dc/dc1`, { kind: 'mesh-gateway', trustDomain: td, partition: 'part', datacenter: 'dc1' }],
    [`spiffe://${td}/agent/client/dc/dc1/id/n1`, { kind: 'agent', trustDomain: td, partition: 'default', datacenter: 'dc1', agent: 'n1' }],
    [`spiffe://${td}/agent/server/dc/dc1`, { kind: 'server', trustDomain: td, datacenter: 'dc1' }],
    [`spiffe://${td}`, { kind: 'signing', trustDomain: td }],
  ]
  it.each(forms)('%s reads and writes back', (uri, identity) => {
    const result = parseSpiffeId(uri)
    expect(result.ok && meshIdentityOf(result.id)).toEqual(identity)
    expect(formatMeshIdentity(identity)).toBe(uri)
  })

  it.each([
    '/ns/default/dc/dc1/svc',
    '/ns/default/dc/dc1/svc/web/x',
    '/ns/default/svc/web',
    '/ap/part',
    '/ap/part/agent/server/dc/dc1',
    '/gateway/ingress/dc/dc1',
    '/workload',
  ])('%s is none of them', path => {
    const result = parseSpiffeId(`spiffe://${td}${path}`)
    expect(result.ok).toBe(true)
    expect(result.ok && meshIdentityOf(result.id)).toBeUndefined()
  })

  it('leaves out the default partition, and names the default namespace', () => {
    const service = { trustDomain: td, datacenter: 'dc1', service: 'web' }
    expect(serviceSpiffeId(service)).toBe(`spiffe://${td}/ns/default/dc/dc1/svc/web`)
    expect(serviceSpiffeId({ ...service, partition: 'default', namespace: '' })).toBe(`spiffe://${td}/ns/default/dc/dc1/svc/web`)
  })
})

import { describe, expect, it } from 'vitest'
import { checkCaConfig, DEFAULT_CA_CONFIG, decodeCaConfig } from '../../../src/mtls/ca/config.js'
import { hourMs } from './support.js'

const problemsOf = (change: object) => checkCaConfig({ ...DEFAULT_CA_CONFIG, ...change }).map(({ path, reason }) => `${path} ${reason}`)

describe('CA configuration', () => {
  it("has Consul's defaults", () => {
    expect(decodeCaConfig({})).toEqual({ ok: true, config: DEFAULT_CA_CONFIG })
    expect(DEFAULT_CA_CONFIG).toMatchObject({
      leafCertTtlMs: 72 * hourMs,
      intermediateCertTtlMs: 8760 * hourMs,
      rootCertTtlMs: 87_600 * hourMs,
      privateKey: { type: 'ec', bits: 256 },
      csrMaxPerSecond: 50,
      csrMaxConcurrent: 0,
    })
    expect(problemsOf({})).toEqual([])
  })

  it.each([
    [{ leafCertTtlMs: hourMs - 1 }, /^LeafCertTTL must be at least 1h/],
    [{ leafCertTtlMs: 8761 * hourMs, intermediateCertTtlMs: 30_000 * hourMs }, /^LeafCertTTL must be at most 8760h/],
    [{ leafCertTtlMs: Number.NaN }, /^LeafCertTTL is not a duration/],
    [{ leafCertTtlMs: hourMs, intermediateCertTtlMs: 2 * hourMs }, /^IntermediateCertTTL must be at least 3h/],
    [{ intermediateCertTtlMs: 215 * hourMs }, /^IntermediateCertTTL must be at least 3 x LeafCertTTL \(216h\), is 215h/],
    [{ rootCertTtlMs: 8760 * hourMs }, /^RootCertTTL must be greater than IntermediateCertTTL/],
    [{ rootCertTtlMs: 1e15 }, /^RootCertTTL must be at most/],
    [{ privateKey: { type: 'ec', bits: 255 } }, /^PrivateKeyBits an ec key has/],
    [{ privateKey: { type: 'rsa', bits: 1024 } }, /^PrivateKeyBits an rsa key has/],
    [{ privateKey: { type: 'dsa', bits: 256 } }, /^PrivateKeyType the key type is/],
    [{ csrMaxPerSecond: -1 }, /^CSRMaxPerSecond must be 0 or more/],
    [{ csrMaxConcurrent: 1.5 }, /^CSRMaxConcurrent must be a whole number/],
    [{ provider: { kind: 'consul', privateKeyPem: 'x', rootCertPem: '' } }, /^RootCert RootCert and PrivateKey must be given together/],
    [{ provider: { kind: 'files', rootFile: 'a', intermediateFile: 'b', keyFile: '' } }, /^KeyFile is required/],
  ])('refuses %j', (change, expected) => {
    expect(problemsOf(change)).toEqual([expect.stringMatching(expected)])
  })

  it('accepts the limits themselves', () => {
    expect(problemsOf({ leafCertTtlMs: hourMs, intermediateCertTtlMs: 3 * hourMs, rootCertTtlMs: 4 * hourMs })).toEqual([])
    expect(problemsOf({ leafCertTtlMs: 8760 * hourMs, intermediateCertTtlMs: 26_280 * hourMs })).toEqual([])
    expect(problemsOf({ csrMaxPerSecond: 0.5, csrMaxConcurrent: 4 })).toEqual([])
  })

  it("reads Consul's JSON, in both spellings", () => {
    const result = decodeCaConfig({
      Provider: 'consul',
      Config: {
        LeafCertTTL: '1h30m',
        intermediate_cert_ttl: '100h',
        RootCertTTL: 500 * 3600 * 1e9,
        PrivateKeyType: 'rsa',
        CSRMaxPerSecond: 0,
        RotationPeriod: '2160h',
      },
      ForceWithoutCrossSigning: true,
    })
    expect(result).toMatchObject({
      ok: true,
      config: {
        leafCertTtlMs: 1.5 * hourMs,
        intermediateCertTtlMs: 100 * hourMs,
        rootCertTtlMs: 500 * hourMs,
        privateKey: { type: 'rsa', bits: 2048 },
        csrMaxPerSecond: 0,
        forceWithoutCrossSigning: true,
      },
    })
    expect(decodeCaConfig({ Provider: 'files', Config: { RootFile: 'r', IntermediateFile: 'i', KeyFile: 'k' } })).toMatchObject({
      ok: true,
      config: { provider: { kind: 'files', rootFile: 'r', intermediateFile: 'i', keyFile: 'k' } },
    })
  })

  it.each(['aws-pca', 'acm-pca', 'cert-manager'])('refuses the provider %s by name', name => {
    expect(decodeCaConfig({ Provider: name, Config: { ExistingARN: 'x' } })).toEqual({
      ok: false,
      problems: [{ path: 'Provider', reason: `"${name}" is not offered here; must be "consul", "files" or "vault", is "${name}"` }],
    })
  })

  it('lists every problem with its field', () => {
    const result = decodeCaConfig({ Provider: 'consul', Config: { LeafCertTTL: 'soon', CSRMaxPerSecond: '50', __proto__x: 1, Tokn: 'x' } })
    expect(!result.ok && result.problems.map(({ path }) => path)).toEqual(['LeafCertTTL', 'CSRMaxPerSecond', '__proto__x', 'Tokn'])
    expect(decodeCaConfig({ Config: [] })).toMatchObject({ ok: false, problems: [{ path: 'Config' }] })
    expect(decodeCaConfig(JSON.parse('{"Config":{"__proto__":{"LeafCertTTL":"1h"},"constructor":1}}'))).toMatchObject({
      ok: false,
      problems: [{ path: '__proto__' }, { path: 'constructor' }],
    })
  })
})

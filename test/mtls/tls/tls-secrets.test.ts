import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DataSource, SdsSecretRef } from '../../../src/model/tls.js'
import { SecretRegistry } from '../../../src/mtls/secrets/secret-registry.js'
import { checkTlsModel } from '../../../src/mtls/tls/tls-checks.js'
import { eventually } from '../../support/eventually.js'
import {
  AnyCa,
  common,
  downstream,
  downstreamContext,
  inline,
  type Leaf,
  Pair,
  san,
  side,
  spiffe,
  upstream,
  validation,
} from './tls-support.js'

const ca = new AnyCa()
const trust = { trustedCa: inline(ca.pem) }
const first = ca.service('api')
const second = ca.service('api')
const open: { close(): void }[] = []
let dir = ''

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tls-secrets-'))
})
afterEach(() => {
  for (const item of open.splice(0)) item.close()
  rmSync(dir, { recursive: true })
})

const file = (name: string, watchedDirectory = ''): DataSource => ({ kind: 'file', path: join(dir, name), watchedDirectory })
const fileModel = (watched = '', sub = '') =>
  downstream(
    common(null, trust, {
      certificates: [{ certificateChain: file(`${sub}tls.crt`, watched), privateKey: file(`${sub}tls.key`, watched), password: null }],
    }),
  )

function write(leaf: Leaf, at = dir): void {
  writeFileSync(join(at, 'tls.crt'), leaf.cert)
  writeFileSync(join(at, 'tls.key'), leaf.key)
}

describe('secrets in files', () => {
  it('are swapped when they change, and a half-written pair keeps the last good one (consul-k8s#3346)', async () => {
    write(first)
    const s = side()
    open.push(s.contexts)
    const context = downstreamContext(s, fileModel())
    const before = context.material
    writeFileSync(join(dir, 'tls.crt'), second.cert)
    s.registry.checkFiles()
    expect(context.material).toBe(before)
    expect(s.log).toEqual([
      {
        message: 'TLS secrets are not usable, the last good ones stay',
        fields: expect.objectContaining({ path: 'common_tls_context.tls_certificates[0].private_key' }),
      },
    ])
    writeFileSync(join(dir, 'tls.key'), second.key)
    // The watch or the retry finds it, whichever is first.
    await eventually(() => expect(context.material).not.toBe(before))
    expect(context.material?.own[0]?.identity.pem).toContain(second.cert.slice(100, 160))
  })

  it('are found when the watched directory is moved, as Kubernetes does it', async () => {
    mkdirSync(join(dir, 'one'))
    mkdirSync(join(dir, 'two'))
    write(first, join(dir, 'one'))
    write(second, join(dir, 'two'))
    symlinkSync('one', join(dir, 'data'))
    const s = side()
    open.push(s.contexts)
    const context = downstreamContext(s, fileModel(dir, 'data/'))
    const before = context.material
    symlinkSync('two', join(dir, 'next'))
    renameSync(join(dir, 'next'), join(dir, 'data'))
    await eventually(() => expect(context.material).not.toBe(before))
  })
})

describe('secrets by SDS', () => {
  const ref: SdsSecretRef = { name: 'leaf', source: { kind: 'ads' }, initialFetchTimeoutMs: 0 }
  it('are asked for once, make the context ready, and swap it', async () => {
    const wanted: string[] = []
    const s = side({ registry: { onWanted: item => wanted.push(item.name) } })
    open.push(s.contexts)
    const model = downstream(common(null, trust, { certificateSds: [ref] }))
    const context = downstreamContext(s, model)
    expect(context.ready).toBe(false)
    expect(wanted).toEqual(['leaf'])
    const certificate = (leaf: Leaf) => ({ certificateChain: inline(leaf.cert), privateKey: inline(leaf.key), password: null })
    s.registry.setSecret(ref, { name: 'leaf', kind: 'certificate', certificate: certificate(first) })
    expect(context.ready).toBe(true)
    const before = context.material
    s.registry.setSecret(ref, { name: 'leaf', kind: 'certificate', certificate: certificate(second) })
    expect(context.material).not.toBe(before)
    expect(context.material?.verifyKey).toBe(before?.verifyKey)
    expect(wanted).toEqual(['leaf'])
  })

  it('whose files are not there hold back no other certificate, and join it when they come', async () => {
    const s = side()
    open.push(s.contexts)
    const late: SdsSecretRef = { name: 'late', source: { kind: 'ads' }, initialFetchTimeoutMs: 0 }
    const context = downstreamContext(s, downstream(common(null, trust, { certificateSds: [late, ref] })))
    const inFiles = { certificateChain: file('tls.crt'), privateKey: file('tls.key'), password: null }
    s.registry.setSecret(late, { name: 'late', kind: 'certificate', certificate: inFiles })
    expect(context.ready).toBe(false)
    const certificate = { certificateChain: inline(first.cert), privateKey: inline(first.key), password: null }
    s.registry.setSecret(ref, { name: 'leaf', kind: 'certificate', certificate })
    expect(context.material?.own.map(({ path }) => path)).toEqual(['<inline>'])
    expect(s.log).toEqual([
      {
        message: 'a TLS certificate is not usable, the others are shown',
        fields: expect.objectContaining({ path: 'common_tls_context.tls_certificate_sds_secret_configs[0].certificate_chain' }),
      },
    ])
    write(second)
    await eventually(() => expect(context.material?.own).toHaveLength(2))
    rmSync(join(dir, 'tls.crt'))
    s.registry.checkFiles()
    expect(context.material?.own).toHaveLength(2)
  })

  it('merge into the validation context beside them', () => {
    const s = side()
    open.push(s.contexts)
    const parts = common(first, { sanMatchers: [san('URI', spiffe('web'))] }, { validationSds: ref })
    const context = downstreamContext(s, downstream(parts))
    s.registry.setSecret(ref, { name: 'leaf', kind: 'validation', validation: validation(trust) })
    expect(context.material?.verifier.rules).toMatchObject({ hasTrustedCa: true, validation: { sanMatchers: [{ sanType: 'URI' }] } })
  })
})

describe('a rotated leaf', () => {
  it('is served to new connections without a new key for the pools', async () => {
    const pair = new Pair(downstream(common(first, trust)), upstream(common(ca.service('web'), trust)))
    open.push(pair)
    const keyBefore = pair.client.contexts.upstream(pair.upstream, pair.client.cluster).key
    const serialOf = (result: Awaited<ReturnType<Pair['dial']>>) => (result.client?.ok ? result.client.peer?.serialNumber : undefined)
    const a = serialOf(await pair.dial())
    pair.downstream = downstream(common(second, trust))
    pair.upstream = upstream(common(ca.service('web'), trust))
    const b = serialOf(await pair.dial())
    expect(a).toBeDefined()
    expect(b).not.toBe(a)
    expect(pair.client.contexts.upstream(pair.upstream, pair.client.cluster).key).toBe(keyBefore)
    pair.upstream = upstream(common(ca.service('web'), { ...trust, sanMatchers: [san('URI', spiffe('api'))] }))
    expect(pair.client.contexts.upstream(pair.upstream, pair.client.cluster).key).not.toBe(keyBefore)
  })

  it('shows in certificates() and daysUntilFirstCertExpiring', () => {
    const day = 86_400_000
    const s = side()
    open.push(s.contexts)
    const leaf = ca.leaf({ uris: [spiffe('api')], dns: ['api'], untilMs: Date.now() + 3.5 * day })
    const context = downstreamContext(s, downstream(common(leaf, { trustedCa: inline(new AnyCa().pem) })))
    const [entry] = s.contexts.certificates()
    expect(entry?.cert_chain).toMatchObject([
      { path: '<inline>', subject_alt_names: [{ dns: 'api' }, { uri: spiffe('api') }], days_until_expiration: '3' },
    ])
    expect(entry?.ca_cert[0]?.expiration_time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
    expect(s.contexts.daysUntilFirstCertExpiring()).toBe(0)
    expect(context.ready).toBe(true)
  })
})

describe('checkTlsModel names', () => {
  const at = 'common_tls_context'
  const base = common(first, trust)
  it.each([
    ['a group that this OpenSSL lacks', { ...base, ecdhCurves: ['X25519', 'X-NOT-THERE'] }, `${at}.tls_params.ecdh_curves`, 'X-NOT-THERE'],
    ['an unknown cipher', { ...base, cipherSuites: ['NO-SUCH'] }, `${at}.tls_params.cipher_suites`, 'NO-SUCH'],
    // OpenSSL has these, BoringSSL has not.
    ...['DHE-RSA-AES128-GCM-SHA256', 'ECDHE-RSA-AES256-SHA384', 'AES256-SHA256', 'eNULL', 'ADH-AES128-SHA', 'TLS_AES_128_GCM_SHA256'].map(
      (name): [string, typeof base, string, string] => [
        `the cipher ${name}`,
        { ...base, cipherSuites: [name] },
        `${at}.tls_params.cipher_suites`,
        name,
      ],
    ),
    ['one of a group', { ...base, cipherSuites: ['[AES128-SHA|AES128-SHA256]'] }, `${at}.tls_params.cipher_suites`, '"AES128-SHA256"'],
    ['a list that leaves none', { ...base, cipherSuites: ['AES', '!kRSA', '-ECDHE'] }, `${at}.tls_params.cipher_suites`, 'leaves no'],
    ['an operator in a group', { ...base, cipherSuites: ['[AES128-SHA|-SHA]'] }, `${at}.tls_params.cipher_suites`, '"-SHA"'],
    ['an unknown signature algorithm', { ...base, signatureAlgorithms: ['nope'] }, `${at}.tls_params.signature_algorithms`, 'nope'],
    ['a certificate that is none', common({ ...first, cert: 'x' }, trust), `${at}.tls_certificates[0].certificate_chain`, 'PEM'],
    ['a key that is none', common({ ...first, key: 'x' }, trust), `${at}.tls_certificates[0].private_key`, 'PEM'],
    ['a key of another certificate', common({ ...first, key: second.key }, trust), `${at}.tls_certificates[0].private_key`, 'belong'],
    [
      'a bundle without certificates',
      common(first, { trustedCa: inline('nothing') }),
      `${at}.validation_context.trusted_ca`,
      'no certificate',
    ],
    ['a CRL that is none', common(first, { ...trust, crl: inline(first.cert) }), `${at}.validation_context.crl`, 'no CRL'],
    [
      'a CRL that is cut off',
      common(first, { ...trust, crl: inline(ca.crl([]).replace(/\n.{9}/, '\n')) }),
      `${at}.validation_context.crl`,
      'base64',
    ],
    ['names without a CA', common(first, { sanMatchers: [san('DNS', 'a')] }), `${at}.validation_context`, 'trusted_ca'],
    ['a server without a certificate', common(null, trust), `${at}.tls_certificates`, 'needs'],
    [
      'versions the wrong way round',
      { ...base, minVersion: 'TLSv1.3', maxVersion: 'TLSv1.2' } as const,
      `${at}.tls_params.tls_minimum_protocol_version`,
      'above',
    ],
  ])('%s', (_name, parts, path, reason) => {
    expect(checkTlsModel(downstream(parts))).toEqual([{ path, reason: expect.stringContaining(reason) }])
  })

  it('every cipher suite of BoringSSL that this OpenSSL has is taken, by either of its names, in groups and lists', () => {
    const lists = [
      'ECDHE-RSA-AES128-SHA256',
      'AES256-SHA',
      'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256',
      '[AES128-SHA|AES256-SHA]',
      'AES128-SHA:AES256-SHA',
    ]
    for (const name of [...lists, 'ALL', 'HIGH', 'DEFAULT', 'ECDHE+AESGCM', 'kEECDH', 'ALL:!kRSA', '']) {
      expect(checkTlsModel(downstream({ ...base, cipherSuites: [name] })), name).toEqual([])
    }
  })

  it('nothing in good models, with what OpenSSL has by all its names', () => {
    const parts = {
      ...base,
      ecdhCurves: ['X25519', 'P-256'],
      cipherSuites: ['[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]'],
      signatureAlgorithms: ['ecdsa_secp256r1_sha256', 'rsa_pss_rsae_sha256'],
    }
    expect(checkTlsModel(downstream(parts))).toEqual([])
  })

  it('an SNI with a NUL (CVE-2026-48930, CVE-2026-105482)', () => {
    expect(checkTlsModel(upstream(base, { sni: 'a\0.b' }))).toMatchObject([{ path: 'sni' }])
  })

  it('a file and an environment variable that are not there', () => {
    expect(checkTlsModel(fileModel())[0]?.reason).toContain('ENOENT')
    const env = { kind: 'env', name: 'NO_KEY' } as const
    const parts = common(null, trust, { certificates: [{ certificateChain: inline(first.cert), privateKey: env, password: null }] })
    const registry = new SecretRegistry({ environment: () => undefined })
    expect(checkTlsModel(downstream(parts), registry)[0]).toEqual({
      path: `${at}.tls_certificates[0].private_key`,
      reason: 'the environment variable NO_KEY is not set',
    })
  })
})

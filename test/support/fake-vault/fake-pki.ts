// A PKI secrets engine for tests: issuers, keys and a role in one mount, with real keys and signatures. Served by fake-vault.ts.
import { createPrivateKey, createPublicKey, type KeyObject, randomUUID } from 'node:crypto'
import { createCsr, readCsr } from '../../../src/mtls/x509/csr.js'
import { certificatePems } from '../../../src/mtls/x509/der.js'
import { generateKey } from '../../../src/mtls/x509/keys.js'
import {
  type Certificate,
  crossSign,
  isIssuedBy,
  issueIntermediate,
  issueLeafCertificate,
  issueRoot,
  readCertificate,
} from '../../../src/mtls/x509/x509.js'
import { SCHEMAS, seconds } from './vault-schemas.js'

/** An answer that is no success: Vault's status and `errors`. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly errors: readonly string[],
  ) {
    super(errors.join('; '))
  }
}

interface Issuer {
  readonly certificate: Certificate
  readonly keyId: string | undefined
}

const BACKDATE_MS = 30_000
/** Vault's own for mounts that say nothing: 768 hours. */
const SYSTEM_MAX_S = 768 * 3600

export class FakePki {
  readonly issuers = new Map<string, Issuer>()
  private readonly keys = new Map<string, KeyObject>()
  role: ReturnType<typeof SCHEMAS.role.parse> | undefined
  defaultIssuer: string | undefined
  maxLeaseS: number

  constructor(
    maxLeaseS: number,
    private readonly wallNow: () => number,
  ) {
    this.maxLeaseS = maxLeaseS === 0 ? SYSTEM_MAX_S : maxLeaseS
  }

  async generateRoot(body: unknown) {
    const fields = SCHEMAS.generateRoot.parse(body)
    const [keyId, key] = await this.newKey(fields.key_type, fields.key_bits)
    const { ttlMs, warnings } = this.life(seconds(fields.ttl))
    const now = this.wallNow()
    const certificate = issueRoot({
      key,
      name: fields.common_name,
      ...trustDomain(fields.uri_sans),
      notBeforeMs: now - BACKDATE_MS,
      notAfterMs: now + ttlMs,
    })
    const issuerId = this.add(certificate, keyId)
    return { data: { certificate: certificate.pem, issuing_ca: certificate.pem, issuer_id: issuerId, key_id: keyId }, warnings }
  }

  async generateCsr(body: unknown) {
    const fields = SCHEMAS.generateCsr.parse(body)
    const [keyId, key] = await this.newKey(fields.key_type, fields.key_bits)
    return { data: { csr: createCsr(key, { uris: fields.uri_sans?.split(',') ?? [], dns: [] }), key_id: keyId } }
  }

  signIntermediate(body: unknown) {
    const fields = SCHEMAS.signIntermediate.parse(body)
    const csr = readCsr(fields.csr)
    const { ttlMs, warnings } = this.life(seconds(fields.ttl))
    const now = this.wallNow()
    const certificate = issueIntermediate(this.signer('default'), {
      publicKey: csr.publicKey,
      name: 'intermediate of the fake',
      ...trustDomain(csr.names.uris[0]!),
      notBeforeMs: now - BACKDATE_MS,
      notAfterMs: now + ttlMs,
    })
    return { data: { certificate: certificate.pem.trim(), issuing_ca: this.issuer('default').certificate.pem.trim() }, warnings }
  }

  setSigned(body: unknown) {
    const { certificate: bundle } = SCHEMAS.setSigned.parse(body)
    const imported: string[] = []
    const existing: string[] = []
    const mapping: Record<string, string> = {}
    for (const certificate of certificatePems(bundle).map(readCertificate)) {
      const known = [...this.issuers].find(([, issuer]) => issuer.certificate.pem === certificate.pem)
      if (known !== undefined) {
        existing.push(known[0])
        mapping[known[0]] = known[1].keyId ?? ''
        continue
      }
      const key = [...this.keys].find(([, candidate]) => certificate.publicKey.equals(createPublicKey(candidate)))
      const issuerId = this.add(certificate, key?.[0])
      imported.push(issuerId)
      mapping[issuerId] = key?.[0] ?? ''
    }
    return { data: { imported_issuers: imported, imported_keys: [], existing_issuers: existing, existing_keys: [], mapping } }
  }

  configureIssuers(body: unknown) {
    const fields = SCHEMAS.issuersConfig.parse(body)
    this.issuer(fields.default)
    this.defaultIssuer = fields.default
    return { data: { default: fields.default } }
  }

  writeRole(body: unknown) {
    this.role = SCHEMAS.role.parse(body)
    return { data: {} }
  }

  sign(issuerRef: string, body: unknown) {
    const fields = SCHEMAS.sign.parse(body)
    const { role } = this
    if (role === undefined) throw new Refusal(400, ['unknown role: leaf-cert'])
    const issuer = this.signer(issuerRef)
    const csr = readCsr(fields.csr)
    if (role.require_cn !== false && fields.common_name === undefined) throw new Refusal(400, ['the common_name field is required'])
    const allowed = (role.allowed_uri_sans ?? []).map(glob => glob.replace(/\*$/, ''))
    for (const uri of csr.names.uris)
      if (!allowed.some(prefix => uri.startsWith(prefix)))
        throw new Refusal(400, [`subject alternate name URI ${uri} not allowed by this role`])
    if (csr.names.dns.length > 0 && role.allow_any_name !== true)
      throw new Refusal(400, ['subject alternate name not allowed by this role'])
    const maxS = Math.min(this.maxLeaseS, seconds(role.max_ttl) || this.maxLeaseS)
    const now = this.wallNow()
    const notAfterMs = now + Math.min(seconds(fields.ttl) || maxS, maxS) * 1000
    if (notAfterMs > issuer.certificate.notAfterMs)
      throw new Refusal(400, [
        'cannot satisfy request, as TTL would result in notAfter that is beyond the expiration of the CA certificate',
      ])
    const leaf = issueLeafCertificate(issuer, {
      publicKey: csr.publicKey,
      names: csr.names,
      notBeforeMs: now - (seconds(role.not_before_duration) || 30) * 1000,
      notAfterMs,
    })
    return { data: { certificate: leaf.pem.trim(), issuing_ca: issuer.certificate.pem.trim(), expiration: Math.floor(notAfterMs / 1000) } }
  }

  signSelfIssued(issuerRef: string, body: unknown) {
    const fields = SCHEMAS.signSelfIssued.parse(body)
    const root = readCertificate(fields.certificate)
    if (!root.ca || !isIssuedBy(root, root)) throw new Refusal(400, ['given certificate is not self-issued'])
    const issuer = this.signer(issuerRef)
    const signed = crossSign(issuer, root, { notBeforeMs: root.notBeforeMs, notAfterMs: root.notAfterMs })
    return { data: { certificate: signed.pem.trim(), issuing_ca: issuer.certificate.pem.trim() } }
  }

  list() {
    if (this.issuers.size === 0) throw new Refusal(404, [])
    return { data: { keys: [...this.issuers.keys()] } }
  }

  caChain() {
    const chain: Certificate[] = []
    let certificate: Certificate | undefined = this.issuer('default').certificate
    while (certificate !== undefined && !chain.includes(certificate)) {
      chain.push(certificate)
      const child: Certificate = certificate
      certificate = [...this.issuers.values()].map(issuer => issuer.certificate).find(parent => isIssuedBy(child, parent))
    }
    const pem = chain.map(each => each.pem.trim()).join('\n')
    return { data: { certificate: pem, ca_chain: pem } }
  }

  readIssuer(issuerRef: string) {
    return { data: { certificate: this.issuer(issuerRef).certificate.pem, issuer_id: issuerRef } }
  }

  /** What an operator does: an issuer with its key, made elsewhere. */
  import(certificate: Certificate, keyPem: string | undefined): string {
    let keyId: string | undefined
    if (keyPem !== undefined) {
      keyId = randomUUID()
      this.keys.set(keyId, createPrivateKey(keyPem))
    }
    return this.add(certificate, keyId)
  }

  private add(certificate: Certificate, keyId: string | undefined): string {
    const issuerId = randomUUID()
    this.issuers.set(issuerId, { certificate, keyId })
    // The first issuer of a mount becomes its default; later ones do not.
    this.defaultIssuer ??= issuerId
    return issuerId
  }

  private issuer(ref: string): Issuer {
    const found = this.issuers.get(ref === 'default' ? (this.defaultIssuer ?? '') : ref)
    if (found === undefined) throw new Refusal(500, [`unable to find PKI issuer for reference: ${ref}`])
    return found
  }

  private signer(ref: string) {
    const { certificate, keyId } = this.issuer(ref)
    const key = this.keys.get(keyId ?? '')
    if (key === undefined) throw new Refusal(400, ['unable to fetch corresponding key for issuer; unable to use this issuer for signing'])
    return { certificate, key }
  }

  private async newKey(type: 'rsa' | 'ec' | 'ed25519' = 'rsa', bits = 0): Promise<[string, KeyObject]> {
    if (type === 'ed25519') throw new Refusal(400, ['the fake makes no ed25519 keys'])
    const key = await generateKey({ type, bits: bits === 0 ? (type === 'ec' ? 256 : 2048) : bits })
    const keyId = randomUUID()
    this.keys.set(keyId, key)
    return [keyId, key]
  }

  private life(ttlS: number): { ttlMs: number; warnings: string[] } {
    if (ttlS > this.maxLeaseS)
      return {
        ttlMs: this.maxLeaseS * 1000,
        warnings: [`TTL "${ttlS}s" is longer than permitted maxTTL "${this.maxLeaseS}s", so maxTTL is being used`],
      }
    return { ttlMs: (ttlS || this.maxLeaseS) * 1000, warnings: [] }
  }
}

const trustDomain = (uri: string | undefined): { trustDomain: string } => ({ trustDomain: (uri ?? '').replace('spiffe://', '') })

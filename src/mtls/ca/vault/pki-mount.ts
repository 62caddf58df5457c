// One mount of Vault's PKI secrets engine: made where it is absent, its issuers, its role for leaves, and what it signs. Used by
// vault-provider.ts. Published API: `sys/mounts` and the PKI engine's paths as of Vault 1.11 (several issuers in a mount) and OpenBao.
// Invariant: an answer that lacks what it must hold is an error that names request and field, never an empty certificate.

import type { JsonObject } from '../../../vault/json-object.js'
import { VaultError } from '../../../vault/vault-error.js'
import type { VaultSession } from '../../../vault/vault-session.js'
import type { VaultAnswer } from '../../../vault/vault-transport.js'
import { CaError } from '../../x509/certificate-error.js'
import { certificatePems } from '../../x509/der.js'
import type { KeySpec } from '../../x509/keys.js'

/** Consul's name, so that a mount may pass from one to the other. */
export const LEAF_ROLE = 'leaf-cert'
/** What `GET sys/mounts/<path>` answers where nothing is mounted; older versions say 404. */
const ABSENT_MOUNT = 400
/** As many of a mount's issuers are looked through for one. */
const MAX_ISSUERS = 64
const ISSUER_ID = /^[A-Za-z0-9-]{1,64}$/

/** Go's form, in whole seconds. */
const vaultDuration = (ms: number): string => `${Math.floor(ms / 1000)}s`

interface CaNames {
  readonly commonName: string
  readonly uri: string
  readonly key: KeySpec
}

export class PkiMount {
  constructor(
    private readonly session: VaultSession,
    readonly path: string,
    private readonly namespace: string | undefined,
    private readonly onWarning: (warning: string) => void,
  ) {}

  /** Mounts the engine unless it is there. `tune`: a mount that is there is given the longer life too. */
  async ensure(options: { readonly description: string; readonly maxLeaseMs: number; readonly tune: boolean }): Promise<void> {
    const maxLease = vaultDuration(options.maxLeaseMs)
    const found = await this.mounted()
    if (found === undefined) {
      const config = { max_lease_ttl: maxLease, default_lease_ttl: maxLease }
      await this.session.write(`sys/mounts/${this.path}`, { type: 'pki', description: options.description, config }, this.where)
      return
    }
    const { type, config } = found
    if (type !== 'pki')
      throw new CaError('config', `${this.path}/ is a mount of type ${JSON.stringify(type)} in Vault, and none of type "pki"`)
    const known = Number((config as JsonObject | undefined)?.['max_lease_ttl'] ?? 0)
    if (options.tune && known < Math.floor(options.maxLeaseMs / 1000))
      await this.session.write(`sys/mounts/${this.path}/tune`, { max_lease_ttl: maxLease }, this.where)
  }

  private async mounted(): Promise<JsonObject | undefined> {
    try {
      return (await this.session.read(`sys/mounts/${this.path}`, this.where))?.data
    } catch (error) {
      if (error instanceof VaultError && error.status === ABSENT_MOUNT) return undefined
      throw error
    }
  }

  async hasIssuers(): Promise<boolean> {
    return (await this.issuers()).length > 0
  }

  /** The default issuer first, then what signed it, as far as the mount knows; none: there is no CA in it yet. */
  async caChain(): Promise<string[]> {
    if (!(await this.hasIssuers())) return []
    const answer = await this.session.read(`${this.path}/cert/ca_chain`, this.where)
    const pem = answer?.data['certificate']
    if (typeof pem !== 'string') throw new VaultError(`GET ${this.path}/cert/ca_chain`, 200, ['the answer holds no certificate'], [])
    return certificatePems(pem)
  }

  /** `undefined`: it is no issuer of the mount; asked for such a one, Vault answers 500, as if it were at fault itself. */
  async certificateOf(issuerId: string): Promise<string | undefined> {
    return (await this.issuers()).includes(issuerId) ? this.readIssuer(issuerId) : undefined
  }

  private async readIssuer(issuerId: string): Promise<string | undefined> {
    const pem = (await this.session.read(`${this.path}/issuer/${issuerId}/json`, this.where))?.data['certificate']
    return typeof pem === 'string' ? pem : undefined
  }

  /** The mount's own self-signed root. */
  async generateRoot({ commonName, uri, key }: CaNames, ttlMs: number): Promise<void> {
    const body = { ...caFields(commonName, uri, key), ttl: vaultDuration(ttlMs) }
    this.warn(await this.write('root/generate/internal', body))
  }

  /** A new key that never leaves Vault, and the request for its certificate. */
  async generateCsr({ commonName, uri, key }: CaNames): Promise<string> {
    const path = 'intermediate/generate/internal'
    return this.text(path, await this.write(path, caFields(commonName, uri, key)), 'csr')
  }

  /** For an intermediate that signs leaves only. */
  async signIntermediate(csrPem: string, ttlMs: number): Promise<string> {
    const path = 'root/sign-intermediate'
    const body = { csr: csrPem, use_csr_values: true, format: 'pem', max_path_length: 0, ttl: vaultDuration(ttlMs) }
    const answer = await this.write(path, body)
    this.warn(answer)
    return this.text(path, answer, 'certificate')
  }

  /** Gives the mount its signed certificate with those above it. Returns the id of the issuer that has the key. */
  async setSigned(bundlePem: string): Promise<string> {
    const path = 'intermediate/set-signed'
    const { data } = await this.write(path, { certificate: bundlePem })
    const withKey = Object.entries((data['mapping'] ?? {}) as JsonObject)
      .filter(([, keyId]) => typeof keyId === 'string' && keyId !== '')
      .map(([issuerId]) => issuerId)
    const imported = Array.isArray(data['imported_issuers']) ? data['imported_issuers'] : []
    // Sent twice, because the first answer was lost, it is there already and no new one any more.
    const own = withKey.find(issuerId => imported.includes(issuerId)) ?? (withKey.length === 1 ? withKey[0] : undefined)
    if (own === undefined || !ISSUER_ID.test(own))
      throw new CaError('config', `Vault: POST ${this.path}/${path}: the answer names no issuer with a key; Vault 1.11 or later is needed`)
    return own
  }

  /** Who asks the mount for no issuer in particular gets this one. */
  async makeDefault(issuerId: string): Promise<void> {
    await this.write('config/issuers', { default: issuerId })
  }

  /** What the authority has checked already is left open here: any name, and no name from the request's subject. */
  async writeLeafRole(maxTtlMs: number): Promise<void> {
    await this.write(`roles/${LEAF_ROLE}`, {
      allow_any_name: true,
      allowed_uri_sans: ['spiffe://*'],
      allow_ip_sans: true,
      allow_wildcard_certificates: true,
      enforce_hostnames: false,
      client_flag: true,
      server_flag: true,
      key_type: 'any',
      key_usage: ['DigitalSignature', 'KeyEncipherment', 'DataEncipherment', 'KeyAgreement'],
      basic_constraints_valid_for_non_ca: true,
      max_ttl: vaultDuration(maxTtlMs),
      no_store: true,
      generate_lease: false,
      require_cn: false,
      use_csr_common_name: false,
      use_csr_sans: true,
      not_before_duration: '60s',
    })
  }

  /** By the issuer named, whichever the default is: another may be waiting for its turn. */
  async signLeaf(issuerId: string, csrPem: string, ttlMs: number): Promise<string> {
    const path = `issuer/${issuerId}/sign/${LEAF_ROLE}`
    return this.text(path, await this.write(path, { csr: csrPem, ttl: vaultDuration(ttlMs), format: 'pem' }), 'certificate')
  }

  /** Another root, signed by the issuer `byPem` of this mount, which need not be the default any more: subject, key and validity stay. */
  async signSelfIssued(rootPem: string, byPem: string): Promise<string> {
    const issuerId = await this.issuerOf(byPem)
    if (issuerId === undefined)
      throw new CaError('cross-sign-unsupported', `the active root is no issuer of ${this.path}/ in Vault any more`)
    const path = `issuer/${issuerId}/sign-self-issued`
    return this.text(path, await this.write(path, { certificate: rootPem }), 'certificate')
  }

  private async issuerOf(pem: string): Promise<string | undefined> {
    for (const issuerId of (await this.issuers()).slice(0, MAX_ISSUERS)) {
      const found = await this.readIssuer(issuerId)
      if (found !== undefined && certificatePems(found)[0] === pem) return issuerId
    }
    return undefined
  }

  private async issuers(): Promise<string[]> {
    const list = await this.session.read(`${this.path}/issuers?list=true`, this.where)
    const keys = list?.data['keys']
    return Array.isArray(keys) ? keys.filter((id): id is string => typeof id === 'string' && ISSUER_ID.test(id)) : []
  }

  private get where(): { readonly namespace?: string } {
    return this.namespace === undefined ? {} : { namespace: this.namespace }
  }

  private write(path: string, body: JsonObject): Promise<VaultAnswer> {
    return this.session.write(`${this.path}/${path}`, body, this.where)
  }

  private text(path: string, { data }: VaultAnswer, field: string): string {
    const value = data[field]
    if (typeof value === 'string' && value !== '') return value
    throw new VaultError(`POST ${this.path}/${path}`, 200, [`the answer holds no ${field}`], [])
  }

  private warn({ warnings }: VaultAnswer): void {
    for (const warning of warnings) this.onWarning(`Vault: ${this.path}: ${warning.replace(/\s+/g, ' ').slice(0, 300)}`)
  }
}

function caFields(commonName: string, uri: string, { type, bits }: KeySpec): JsonObject {
  return { common_name: commonName, uri_sans: uri, exclude_cn_from_sans: true, key_type: type, key_bits: bits }
}

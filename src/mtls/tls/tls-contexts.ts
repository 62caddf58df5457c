// The maker of TLS contexts. A listener's are made as it is compiled and held by its version; a cluster's are found by model and owner,
// per acquire (l7/client/upstream-pools). Owns the session cache, and keeps a weak list of what lives for /certs. Invariant: one context per
// upstream model and owner; a model that no snapshot holds takes its context with it, while open connections keep the material they began with.

import type { X509Certificate } from 'node:crypto'
import type { Checked, ConfigError } from '../../model/config-error.js'
import type { DownstreamTls, UpstreamTls } from '../../model/tls.js'
import { CertificateIdentity } from '../peer/certificate-identity.js'
import { TrustHistory } from '../peer/trust-history.js'
import { SecretRegistry } from '../secrets/secret-registry.js'
import { DownstreamTlsContext, type DownstreamTlsOwner } from './downstream-tls.js'
import { endingOf, type OwnEnding } from './own-ending.js'
import { SessionCache } from './session-cache.js'
import { checkTlsModel } from './tls-checks.js'
import type { TlsContext, TlsContextDeps } from './tls-context.js'
import { downstreamInput } from './tls-input.js'
import { buildMaterial, type MaterialResult } from './tls-material.js'
import { type TlsLog, TlsRefusals } from './tls-refusals.js'
import { UpstreamTlsContext, type UpstreamTlsOwner } from './upstream-tls.js'

export interface TlsContextsOptions {
  /** Ticket keys come of it, and of the rules; absent: they are random. */
  readonly ticketSeed?: Uint8Array
  readonly registry?: SecretRegistry
  readonly log?: TlsLog
  readonly nowMs?: () => number
}

/** One certificate as Envoy's admin /certs shows it (envoy.admin.v3.CertificateDetails in JSON). */
export interface CertificateDetails {
  readonly path: string
  readonly serial_number: string
  readonly subject_alt_names: readonly ({ readonly uri: string } | { readonly dns: string } | { readonly ip_address: string })[]
  /** A 64-bit number, so JSON has it as text. */
  readonly days_until_expiration: string
  readonly valid_from: string
  readonly expiration_time: string
}

export interface ContextCertificates {
  readonly ca_cert: readonly CertificateDetails[]
  readonly cert_chain: readonly CertificateDetails[]
}

const DAY_MS = 86_400_000

export class TlsContexts {
  readonly registry: SecretRegistry
  readonly sessions: SessionCache
  private readonly deps: TlsContextDeps
  private readonly upstreams = new WeakMap<UpstreamTls, WeakMap<UpstreamTlsOwner, UpstreamTlsContext>>()
  private readonly live = new Set<WeakRef<TlsContext>>()
  private readonly collected = new FinalizationRegistry<WeakRef<TlsContext>>(ref => this.live.delete(ref))

  constructor(options: TlsContextsOptions = {}) {
    this.registry = options.registry ?? new SecretRegistry()
    this.sessions = new SessionCache(options.ticketSeed ?? null)
    this.deps = {
      registry: this.registry,
      sessions: this.sessions,
      history: new TrustHistory(),
      refusals: new TlsRefusals(options.log ?? (() => {})),
      nowMs: options.nowMs ?? Date.now,
    }
  }

  /** HOT: two look-ups once the context is there. */
  upstream(model: UpstreamTls, owner: UpstreamTlsOwner): UpstreamTlsContext {
    const known = this.upstreams.get(model)?.get(owner)
    if (known !== undefined) return known
    const context = new UpstreamTlsContext(model, owner, this.deps)
    let owners = this.upstreams.get(model)
    if (owners === undefined) this.upstreams.set(model, (owners = new WeakMap()))
    owners.set(owner, context)
    this.begin(context, null)
    return context
  }

  /**
   * The context of a filter chain, or what is wrong with its model beyond its form: key material, files, names that this OpenSSL lacks.
   * The material is built this once. Secrets that SDS has yet to deliver are no problem. `name` is for log lines.
   */
  downstream(model: DownstreamTls, owner: DownstreamTlsOwner, name = 'listener'): Checked<DownstreamTlsContext> {
    const built = buildMaterial(downstreamInput(model), this.registry, this.sessions)
    if (!built.ok && built.errors.length > 0) return { ok: false, errors: built.errors }
    const context = new DownstreamTlsContext(model, owner, name, this.deps)
    this.begin(context, built)
    return { ok: true, value: context, warnings: [] }
  }

  /** What is wrong with a cluster's model beyond its form. */
  check(model: UpstreamTls): readonly ConfigError[] {
    return checkTlsModel(model, this.registry, this.sessions)
  }

  /** For /certs: one entry per live context. */
  certificates(): readonly ContextCertificates[] {
    const nowMs = this.deps.nowMs()
    return this.liveMaterial().map(material => ({
      ca_cert: material.trustedCa === null ? [] : [detailsOf(identityOf(material.trustedCa.certificate), material.trustedCa.path, nowMs)],
      cert_chain: material.own.map(item => detailsOf(item.identity, item.path, nowMs)),
    }))
  }

  /** Whole days until the first certificate in use (own or CA) ends; null without one. Envoy's server.days_until_first_cert_expiring. */
  daysUntilFirstCertExpiring(): number | null {
    let first = Number.POSITIVE_INFINITY
    for (const material of this.liveMaterial()) {
      for (const { identity } of material.own) first = Math.min(first, identity.notAfterMs)
      if (material.trustedCa !== null) first = Math.min(first, identityOf(material.trustedCa.certificate).notAfterMs)
    }
    return first === Number.POSITIVE_INFINITY ? null : Math.max(0, Math.floor((first - this.deps.nowMs()) / DAY_MS))
  }

  /** Our own certificates in use that have expired or are near their end, each once. */
  ownEndings(): readonly OwnEnding[] {
    const endings = new Map<string, OwnEnding>()
    const nowMs = this.deps.nowMs()
    for (const { own } of this.liveMaterial()) {
      for (const item of own) {
        const ending = endingOf(item, nowMs)
        if (ending !== null) endings.set(ending.sha256, ending)
      }
    }
    return [...endings.values()]
  }

  close(): void {
    this.registry.close()
  }

  private liveMaterial() {
    const found = []
    for (const ref of this.live) {
      const material = ref.deref()?.material
      if (material !== null && material !== undefined) found.push(material)
    }
    return found
  }

  private begin(context: TlsContext, built: MaterialResult | null): void {
    const ref = new WeakRef<TlsContext>(context)
    this.live.add(ref)
    this.collected.register(context, ref)
    context.start(built)
  }
}

const caIdentities = new WeakMap<X509Certificate, CertificateIdentity>()

function identityOf(certificate: X509Certificate): CertificateIdentity {
  let identity = caIdentities.get(certificate)
  if (identity === undefined) caIdentities.set(certificate, (identity = new CertificateIdentity(certificate, true)))
  return identity
}

function detailsOf(identity: CertificateIdentity, path: string, nowMs: number): CertificateDetails {
  return {
    path,
    serial_number: identity.serialNumber,
    subject_alt_names: [
      ...identity.dnsSans.map(dns => ({ dns })),
      ...identity.uriSans.map(uri => ({ uri })),
      ...identity.ipSans.map(ip_address => ({ ip_address })),
    ],
    days_until_expiration: String(Math.max(0, Math.floor((identity.notAfterMs - nowMs) / DAY_MS))),
    valid_from: wholeSecond(identity.notBefore),
    expiration_time: wholeSecond(identity.notAfter),
  }
}

function wholeSecond(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, 'Z')
}

// What upstream and downstream TLS contexts share: the material of a model, swapped when a secret changes, and the few facts of Node's TLS
// sockets that its public interface does not give. Extended by UpstreamTlsContext and DownstreamTlsContext. Invariant: a handshake keeps the
// material it began with, and is judged by that; a change that can't be built leaves the last good material in use, and a secret that is taken
// back leaves none; of several certificates one that has never been good is left out, as in Envoy.

import type { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import type { TlsStats } from '../../metrics/stat-names.js'
import type { ConfigError } from '../../model/config-error.js'
import type { CommonTlsContext, SdsSecretRef } from '../../model/tls.js'
import type { TrustHistory } from '../peer/trust-history.js'
import type { SecretListener, SecretRegistry } from '../secrets/secret-registry.js'
import type { SessionCache } from './session-cache.js'
import type { MaterialInput } from './tls-input.js'
import { buildMaterial, type MaterialResult, type TlsMaterial } from './tls-material.js'
import type { TlsRefusals } from './tls-refusals.js'
import { CERTIFICATE_SDS_PATH, certificateSdsPath, dependenciesOf, secretRefsOf } from './tls-sources.js'

export interface TlsContextDeps {
  readonly registry: SecretRegistry
  readonly sessions: SessionCache
  readonly refusals: TlsRefusals
  readonly history: TrustHistory
  readonly nowMs: () => number
}

export abstract class TlsContext implements SecretListener {
  protected readonly deps: TlsContextDeps
  protected readonly ownerName: string
  private readonly input: MaterialInput
  private readonly stats: TlsStats
  private current: TlsMaterial | null = null
  /** `current` is without certificates that have never been good. */
  private partial = false
  private failing = false

  constructor(input: MaterialInput, ownerName: string, stats: TlsStats, deps: TlsContextDeps) {
    this.input = input
    this.ownerName = ownerName
    this.stats = stats
    this.deps = deps
  }

  /** Secrets are there and usable: handshakes may begin. */
  get ready(): boolean {
    return this.current !== null
  }

  /** The material in use, for /certs and the expiry gauges; null until ready. */
  get material(): TlsMaterial | null {
    return this.current
  }

  get common(): CommonTlsContext {
    return this.input.common
  }

  get secretRefs(): readonly SdsSecretRef[] {
    return secretRefsOf(this.input)
  }

  /** Called once, after the subclass is made. `built`: what its model gave, where that is known already. */
  start(built: MaterialResult | null = null): void {
    this.subscribe()
    this.rebuild(built)
  }

  onSecretChange(): void {
    const { certificateSds, validationSds } = this.common
    if (certificateSds.length > 0 || validationSds !== null) this.stats.socketFactory.ssl_context_update_by_sds.value++
    this.subscribe()
    this.rebuild()
  }

  protected abstract onMaterial(material: TlsMaterial): void

  private subscribe(): void {
    const { sources, refs } = dependenciesOf(this.input, this.deps.registry)
    this.deps.registry.depend(this, sources, refs)
  }

  private rebuild(built: MaterialResult | null = null): void {
    const { registry } = this.deps
    const result = built ?? buildMaterial(this.input, registry, this.deps.sessions)
    if (!result.ok) {
      if (result.missing.length > 0) {
        this.withdraw(result.missing)
        return
      }
      const [first] = result.errors
      if (this.current === null || this.partial) this.useOthers(result.errors)
      if (!this.failing) {
        const message =
          this.current === null
            ? 'TLS context is not usable'
            : this.partial
              ? 'a TLS certificate is not usable, the others are shown'
              : 'TLS secrets are not usable, the last good ones stay'
        this.deps.refusals.warn(message, { owner: this.ownerName, path: first?.path ?? '', reason: first?.reason ?? '' })
      }
      this.failing = true
      registry.retryLater(this)
      return
    }
    if (this.failing) registry.settled(this)
    this.failing = false
    this.partial = false
    this.use(result.material)
  }

  /** One certificate of several by SDS whose files are not there does not hold back the others. */
  private useOthers(errors: readonly ConfigError[]): void {
    const common = withoutBadCertificates(this.common, errors)
    if (common === null) return
    const result = buildMaterial({ ...this.input, common }, this.deps.registry, this.deps.sessions)
    if (!result.ok) return
    this.partial = true
    this.use(result.material)
  }

  private use(material: TlsMaterial): void {
    this.onMaterial(material)
    this.current = material
    this.showExpiry(material)
  }

  /** Secrets that were there have been taken back: no handshake begins any more. Connections that are open stay. */
  private withdraw(missing: readonly string[]): void {
    if (this.current === null) return
    this.current = null
    const message = 'TLS secrets have been taken back: no handshakes until they come again'
    this.deps.refusals.warn(message, { owner: this.ownerName, path: '', reason: missing.join(', ') })
  }

  /** Gauges by the SDS name of the certificate; Envoy calls all others by the digest of no name. */
  private showExpiry({ common, own, trustedCa }: TlsMaterial): void {
    const { certificates, certificateSds, validationSds } = common
    own.forEach(({ identity }, i) => {
      const name = certificateSds[i - certificates.length]?.name ?? 'unnamed_cert_e3b0c442'
      this.stats.certificateExpiry(name).value = Math.floor(identity.notAfterMs / 1000)
    })
    if (trustedCa === null) return
    this.stats.certificateExpiry(validationSds?.name ?? 'unnamed_ca_cert_e3b0c442').value = Math.floor(
      Date.parse(trustedCa.certificate.validTo) / 1000,
    )
  }
}

/** Null where the errors are of more than certificates by SDS, or of all that there are. */
function withoutBadCertificates(common: CommonTlsContext, errors: readonly ConfigError[]): CommonTlsContext | null {
  const bad = new Set(
    common.certificateSds.flatMap((ref, i) => (errors.some(({ path }) => path.startsWith(certificateSdsPath(i))) ? [ref] : [])),
  )
  const isTheirs = errors.every(({ path }) => path.startsWith(CERTIFICATE_SDS_PATH))
  const certificateSds = common.certificateSds.filter(ref => !bad.has(ref))
  return isTheirs && certificateSds.length + common.certificates.length > 0 ? { ...common, certificateSds } : null
}

/** Parts of Node's TLSSocket without public names; stable since Node 10. */
interface TlsInternals {
  readonly _handle: { verifyError?(): (Error & { code?: string }) | null; setOCSPResponse?(der: Buffer): void } | null
  _releaseControl?(): boolean
}

/** OpenSSL's verdict on the chain as a code, null for trusted. Where it can't be asked the answer is a refusal. */
export function chainErrorOf(socket: TLSSocket): string | null {
  const handle = (socket as unknown as TlsInternals)._handle
  if (typeof handle?.verifyError !== 'function') return 'UNKNOWN'
  const error = handle.verifyError()
  return error === null || error === undefined ? null : (error.code ?? error.message)
}

/** Before the handshake: the OCSP response for a client that asks. Where it can't be set none is sent. */
export function sendStaple(socket: TLSSocket, der: Buffer): void {
  ;(socket as unknown as TlsInternals)._handle?.setOCSPResponse?.(der)
}

/** From here on errors of the connection are emitted, as tls.Server and tls.connect arrange. */
export function releaseControl(this: TLSSocket): void {
  ;(this as unknown as TlsInternals)._releaseControl?.()
}

/**
 * Listens to `error`. A record that is broken behind the handshake makes Node's TLS socket send an alert and emit the error, and nothing
 * more: the connection would stay open until somebody else ended it. It closes with the error, since what came may not be all.
 */
export function closeOnError(this: TLSSocket, error: NodeJS.ErrnoException): void {
  // This one OpenSSL answers with a warning, and the old handshake goes on (RFC 5246 §7.2.2).
  if (error.code !== 'ERR_TLS_RENEGOTIATION_DISABLED') this.destroy(error)
}

export function peerCertificateOf(socket: TLSSocket): X509Certificate | undefined {
  return socket.getPeerX509Certificate()
}

/** Protocol names in wire form, for ALPNProtocols. */
export function alpnWire(names: readonly string[]): Buffer {
  return Buffer.concat(names.map(name => Buffer.concat([Buffer.from([Buffer.byteLength(name, 'latin1')]), Buffer.from(name, 'latin1')])))
}

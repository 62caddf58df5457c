// What a TLS model asks of the material that is made for it, the same for both directions. Made by the upstream and downstream contexts and
// by the checks of a model; read by tls-material and tls-sources.

import type { CommonTlsContext, DataSource, DownstreamTls, SdsSecretRef, UpstreamTls } from '../../model/tls.js'
import type { StaplePolicy } from './ocsp-staple.js'

export interface MaterialInput {
  readonly role: 'client' | 'server'
  readonly common: CommonTlsContext
  readonly requireClientCertificate: boolean
  readonly allowRenegotiation: boolean
  readonly tickets: boolean
  readonly sessionTimeoutMs: number | null
  readonly ticketKeys: readonly DataSource[]
  readonly ticketKeysSds: SdsSecretRef | null
  readonly staplePolicy: StaplePolicy
  /** What else a connection is verified against, e.g. SNI and whether it must be among the names. */
  readonly extraKey: string
}

export function downstreamInput(model: DownstreamTls): MaterialInput {
  return {
    role: 'server',
    common: model.common,
    requireClientCertificate: model.requireClientCertificate,
    allowRenegotiation: false,
    tickets: !model.disableStatelessSessionResumption,
    sessionTimeoutMs: model.sessionTimeoutMs,
    ticketKeys: model.ticketKeys,
    ticketKeysSds: model.ticketKeysSds,
    staplePolicy: model.ocspStaplePolicy,
    extraKey: String(model.requireClientCertificate),
  }
}

export function upstreamInput(model: UpstreamTls, autoSan: boolean): MaterialInput {
  return {
    role: 'client',
    common: model.common,
    requireClientCertificate: false,
    allowRenegotiation: model.allowRenegotiation,
    tickets: model.maxSessionKeys > 0,
    sessionTimeoutMs: null,
    ticketKeys: [],
    ticketKeysSds: null,
    staplePolicy: 'LENIENT',
    extraKey: JSON.stringify([model.sni, model.autoHostSni, autoSan || model.autoSniSanValidation]),
  }
}

// Format commands about the downstream TLS connection and its certificates. Without TLS, or without a certificate, they have nothing.

import type { PeerIdentity } from '../../mtls/peer-identity.js'
import type { TlsInfo } from '../connection-info.js'
import { toByteString } from '../match/byte-string.js'
import { urlEncodePem } from '../xfcc.js'
import { compileDateFormat } from './date-format.js'
import { type OperatorFactory, orNothing, plain } from './operator.js'

function tls(read: (tls: TlsInfo) => string): OperatorFactory {
  return plain(({ connection }) => (connection.tls === null ? undefined : orNothing(toByteString(read(connection.tls)))))
}

function peer(read: (peer: PeerIdentity) => string): OperatorFactory {
  return tls(info => (info.peer === null ? '' : read(info.peer)))
}

function validity(read: (peer: PeerIdentity) => Date): OperatorFactory {
  return argument => {
    const format = compileDateFormat(argument, false)
    return ({ connection }) => {
      const identity = connection.tls?.peer ?? null
      return identity === null ? undefined : format(read(identity).getTime())
    }
  }
}

const list = (values: readonly string[]) => values.join(',')

export const TLS_OPERATORS: readonly [string, OperatorFactory][] = [
  ['DOWNSTREAM_PEER_URI_SAN', peer(p => list(p.uriSans))],
  ['DOWNSTREAM_PEER_DNS_SAN', peer(p => list(p.dnsSans))],
  ['DOWNSTREAM_PEER_IP_SAN', peer(p => list(p.ipSans))],
  ['DOWNSTREAM_PEER_EMAIL_SAN', peer(p => list(p.emailSans))],
  ['DOWNSTREAM_PEER_SUBJECT', peer(p => p.subject)],
  ['DOWNSTREAM_PEER_ISSUER', peer(p => p.issuer)],
  ['DOWNSTREAM_PEER_SERIAL', peer(p => p.serialNumber)],
  ['DOWNSTREAM_PEER_FINGERPRINT_256', peer(p => p.sha256)],
  ['DOWNSTREAM_PEER_CERT', peer(p => (p.pem === '' ? '' : urlEncodePem(p.pem)))],
  ['DOWNSTREAM_PEER_CERT_V_START', validity(p => p.notBefore)],
  ['DOWNSTREAM_PEER_CERT_V_END', validity(p => p.notAfter)],
  ['DOWNSTREAM_LOCAL_URI_SAN', tls(t => list(t.localUriSans))],
  ['DOWNSTREAM_LOCAL_DNS_SAN', tls(t => list(t.localDnsSans))],
  ['DOWNSTREAM_LOCAL_SUBJECT', tls(t => t.localSubject)],
  ['DOWNSTREAM_TLS_VERSION', tls(t => t.version)],
  ['DOWNSTREAM_TLS_CIPHER', tls(t => t.cipher)],
]

/** Commands that Envoy has and for which nothing is known here: they print as missing values. */
export const UNAVAILABLE_OPERATORS: readonly string[] = (
  'DOWNSTREAM_LOCAL_IP_SAN DOWNSTREAM_LOCAL_EMAIL_SAN DOWNSTREAM_LOCAL_OTHERNAME_SAN DOWNSTREAM_PEER_OTHERNAME_SAN DOWNSTREAM_TLS_SESSION_ID ' +
  'DOWNSTREAM_TLS_GROUP DOWNSTREAM_PEER_FINGERPRINT_1 DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256 DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1 ' +
  'DOWNSTREAM_PEER_CHAIN_SERIALS DOWNSTREAM_PEER_ISSUER_FINGERPRINT_256 DOWNSTREAM_PEER_ISSUER_SERIAL TLS_JA3_FINGERPRINT TLS_JA4_FINGERPRINT ' +
  'UPSTREAM_PEER_SUBJECT UPSTREAM_PEER_ISSUER UPSTREAM_TLS_SESSION_ID UPSTREAM_TLS_CIPHER UPSTREAM_TLS_GROUP UPSTREAM_TLS_VERSION ' +
  'UPSTREAM_SERVER_NAME UPSTREAM_PEER_CERT UPSTREAM_PEER_CERT_V_START UPSTREAM_PEER_CERT_V_END UPSTREAM_PEER_URI_SAN UPSTREAM_PEER_DNS_SAN ' +
  'UPSTREAM_PEER_IP_SAN UPSTREAM_LOCAL_URI_SAN UPSTREAM_LOCAL_DNS_SAN UPSTREAM_LOCAL_IP_SAN UPSTREAM_CONNECTION_ID UPSTREAM_FILTER_STATE ' +
  'UPSTREAM_CONNECTION_IDS_ATTEMPTED UPSTREAM_HOSTS_ATTEMPTED UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT UPSTREAM_HOST_NAMES_ATTEMPTED ' +
  'UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT UPSTREAM_DETECTED_CLOSE_TYPE UPSTREAM_LOCAL_CLOSE_REASON DOWNSTREAM_TRANSPORT_FAILURE_REASON ' +
  'DOWNSTREAM_LOCAL_CLOSE_REASON DOWNSTREAM_DETECTED_CLOSE_TYPE DOWNSTREAM_HANDSHAKE_DURATION UPSTREAM_CONNECTION_POOL_READY_DURATION ' +
  'ROUNDTRIP_DURATION TRACE_ID SPAN_ID CUSTOM_FLAGS ENVIRONMENT UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID ' +
  'DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID PER_REQUEST_STATE'
).split(' ')

/** Counters that Envoy prints as 0 where they are not kept. */
export const ZERO_OPERATORS: readonly string[] = (
  'BYTES_RETRANSMITTED PACKETS_RETRANSMITTED RESPONSE_TRAILERS_BYTES UPSTREAM_HEADER_BYTES_SENT UPSTREAM_HEADER_BYTES_RECEIVED ' +
  'UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED DOWNSTREAM_HEADER_BYTES_SENT ' +
  'DOWNSTREAM_HEADER_BYTES_RECEIVED DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED'
).split(' ')

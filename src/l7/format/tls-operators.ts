// Format commands about the TLS of both connections and their certificates. Without TLS, or without a certificate, they have nothing.

import type { X509Certificate } from 'node:crypto'
import { TLSSocket } from 'node:tls'
import { CertificateIdentity, issuersOf } from '../../mtls/peer/certificate-identity.js'
import type { PeerIdentity } from '../../mtls/peer/peer-identity.js'
import { toByteString } from '../codec/byte-string.js'
import type { TlsInfo } from '../stream/connection-info.js'
import type { StreamInfo } from '../stream/stream-info.js'
import { urlEncodePem } from '../stream/xfcc.js'
import { compileDateFormat } from './date-format.js'
import { type Operator, type OperatorFactory, orNothing, plain } from './operator.js'

function tls(read: (tls: TlsInfo) => string): OperatorFactory {
  return plain(({ connection }) => (connection.tls === null ? undefined : orNothing(toByteString(read(connection.tls)))))
}

type IdentityOf = (info: StreamInfo) => PeerIdentity | null

const downstreamPeer: IdentityOf = ({ connection }) => connection.tls?.peer ?? null
const downstreamLocal: IdentityOf = ({ connection }) => connection.tls?.local ?? null
const upstreamPeer: IdentityOf = info => info.upstreamConnection?.peer ?? null

function upstreamSocket({ upstreamConnection }: StreamInfo): TLSSocket | null {
  return upstreamConnection?.socket instanceof TLSSocket ? upstreamConnection.socket : null
}

/** The certificate that we showed the upstream, while the connection stands. */
const upstreamLocal: IdentityOf = info => {
  const x509 = upstreamSocket(info)?.getX509Certificate()
  return x509 === undefined ? null : new CertificateIdentity(x509, true)
}

function text(of: IdentityOf, read: (identity: PeerIdentity) => string): OperatorFactory {
  return plain(info => {
    const identity = of(info)
    return identity === null ? undefined : orNothing(toByteString(read(identity)))
  })
}

function peer(read: (peer: PeerIdentity) => string): OperatorFactory {
  return text(downstreamPeer, read)
}

function upstreamTls(read: (socket: TLSSocket) => string | null | undefined): OperatorFactory {
  return plain(info => {
    const socket = upstreamSocket(info)
    return socket === null ? undefined : orNothing(toByteString(read(socket) ?? ''))
  })
}

function validity(of: IdentityOf, read: (peer: PeerIdentity) => Date): OperatorFactory {
  return argument => {
    const format = compileDateFormat(argument === '' ? CERTIFICATE_TIME : argument, false)
    const operator: Operator = info => {
      const identity = of(info)
      return identity === null ? undefined : format(read(identity).getTime())
    }
    return operator
  }
}

/** The leaf and the issuers that came with it, one text each. */
function chain(read: (certificate: X509Certificate) => string): OperatorFactory {
  return peer(({ x509 }) => (x509 === null ? '' : list([x509, ...issuersOf(x509)].map(read))))
}

/** Of the issuer's certificate, where the peer sent it. */
function issuer(read: (certificate: X509Certificate) => string): OperatorFactory {
  return peer(({ x509 }) => (x509?.issuerCertificate === undefined ? '' : read(x509.issuerCertificate)))
}

const hex = (fingerprint: string) => fingerprint.replaceAll(':', '').toLowerCase()

const CERTIFICATE_TIME = '%Y-%m-%dT%H:%M:%S.000Z'

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
  ['DOWNSTREAM_PEER_CERT_V_START', validity(downstreamPeer, p => p.notBefore)],
  ['DOWNSTREAM_PEER_CERT_V_END', validity(downstreamPeer, p => p.notAfter)],
  ['DOWNSTREAM_PEER_OTHERNAME_SAN', peer(p => list(p.otherNames))],
  ['DOWNSTREAM_PEER_FINGERPRINT_1', peer(p => (p.x509 === null ? '' : hex(p.x509.fingerprint)))],
  ['DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256', chain(c => hex(c.fingerprint256))],
  ['DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1', chain(c => hex(c.fingerprint))],
  ['DOWNSTREAM_PEER_CHAIN_SERIALS', chain(c => c.serialNumber.toLowerCase())],
  ['DOWNSTREAM_PEER_ISSUER_FINGERPRINT_256', issuer(c => hex(c.fingerprint256))],
  ['DOWNSTREAM_PEER_ISSUER_SERIAL', issuer(c => c.serialNumber.toLowerCase())],
  ['DOWNSTREAM_LOCAL_IP_SAN', text(downstreamLocal, p => list(p.ipSans))],
  ['DOWNSTREAM_LOCAL_EMAIL_SAN', text(downstreamLocal, p => list(p.emailSans))],
  ['DOWNSTREAM_LOCAL_OTHERNAME_SAN', text(downstreamLocal, p => list(p.otherNames))],
  ['DOWNSTREAM_LOCAL_URI_SAN', tls(t => list(t.localUriSans))],
  ['DOWNSTREAM_LOCAL_DNS_SAN', tls(t => list(t.localDnsSans))],
  ['DOWNSTREAM_LOCAL_SUBJECT', tls(t => t.localSubject)],
  ['DOWNSTREAM_TLS_VERSION', tls(t => t.version)],
  ['DOWNSTREAM_TLS_CIPHER', tls(t => t.cipher)],
  ['UPSTREAM_PEER_SUBJECT', text(upstreamPeer, p => p.subject)],
  ['UPSTREAM_PEER_ISSUER', text(upstreamPeer, p => p.issuer)],
  ['UPSTREAM_PEER_URI_SAN', text(upstreamPeer, p => list(p.uriSans))],
  ['UPSTREAM_PEER_DNS_SAN', text(upstreamPeer, p => list(p.dnsSans))],
  ['UPSTREAM_PEER_IP_SAN', text(upstreamPeer, p => list(p.ipSans))],
  ['UPSTREAM_PEER_CERT', text(upstreamPeer, p => (p.pem === '' ? '' : urlEncodePem(p.pem)))],
  ['UPSTREAM_PEER_CERT_V_START', validity(upstreamPeer, p => p.notBefore)],
  ['UPSTREAM_PEER_CERT_V_END', validity(upstreamPeer, p => p.notAfter)],
  ['UPSTREAM_LOCAL_URI_SAN', text(upstreamLocal, p => list(p.uriSans))],
  ['UPSTREAM_LOCAL_DNS_SAN', text(upstreamLocal, p => list(p.dnsSans))],
  ['UPSTREAM_LOCAL_IP_SAN', text(upstreamLocal, p => list(p.ipSans))],
  ['UPSTREAM_TLS_VERSION', upstreamTls(socket => socket.getProtocol())],
  ['UPSTREAM_TLS_CIPHER', upstreamTls(socket => socket.getCipher()?.name)],
  ['UPSTREAM_TLS_GROUP', upstreamTls(socket => (socket.getEphemeralKeyInfo() as { name?: string } | null)?.name)],
  ['UPSTREAM_SERVER_NAME', upstreamTls(socket => (socket as { servername?: string | false }).servername || '')],
]

/** Commands that Envoy has and for which nothing is known here: they print as missing values. */
export const UNAVAILABLE_OPERATORS: readonly string[] = (
  'DOWNSTREAM_TLS_SESSION_ID DOWNSTREAM_TLS_GROUP TLS_JA3_FINGERPRINT TLS_JA4_FINGERPRINT UPSTREAM_TLS_SESSION_ID UPSTREAM_FILTER_STATE ' +
  'UPSTREAM_LOCAL_CLOSE_REASON DOWNSTREAM_TRANSPORT_FAILURE_REASON DOWNSTREAM_LOCAL_CLOSE_REASON DOWNSTREAM_HANDSHAKE_DURATION ' +
  'ROUNDTRIP_DURATION ROUTE_RESOLUTION_TIME_US'
).split(' ')

/** Counters that Envoy prints as 0 where they are not kept. */
export const ZERO_OPERATORS: readonly string[] = (
  'DOWNSTREAM_CX_RTT BYTES_RETRANSMITTED PACKETS_RETRANSMITTED RESPONSE_TRAILERS_BYTES UPSTREAM_HEADER_BYTES_SENT UPSTREAM_HEADER_BYTES_RECEIVED ' +
  'UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED DOWNSTREAM_HEADER_BYTES_SENT ' +
  'DOWNSTREAM_HEADER_BYTES_RECEIVED DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED'
).split(' ')

// Who the client is: x-forwarded-for and the trusted client address (Envoy use_remote_address, xff_num_trusted_hops,
// original_ip_detection_extensions). Called by request-headers for each request. Invariant: what is no address, or one with a zone, never
// becomes the client's.

import { isIP } from 'node:net'
import type { HttpConnectionManager, IpDetection } from '../../model/http-connection-manager.js'
import type { HeaderList } from '../codec/header-list.js'
import { compileCidr } from '../match/cidr.js'
import type { LocalReply } from '../reply/local-reply.js'
import { localAddress } from '../stream/local-address.js'

interface Detected {
  readonly address: string | null
  /** The address may make the request internal. */
  readonly trusted: boolean
  /** Our peer is added to x-forwarded-for. */
  readonly append: boolean
  /** The request is answered with this status. */
  readonly reject: number | null
}

/** One extension, compiled. `peer`: the connection's remote address. */
export type IpDetector = (headers: HeaderList, peer: string) => Detected

/** The request whose client it is. */
interface AddressedRequest {
  readonly request: { readonly headers: HeaderList }
  readonly runtime: { readonly config: HttpConnectionManager; readonly ipDetectors: readonly IpDetector[] | null }
  readonly info: { remoteAddress: string; readonly connection: { readonly remoteAddress: string } }
}

const FORBIDDEN = 403

export function compileIpDetection(detection: IpDetection): IpDetector {
  if (detection.kind === 'customHeader') {
    const { header, trusted, rejectStatus } = detection
    // As Envoy: what is no error status is 403.
    const reject = rejectStatus === null ? null : rejectStatus >= 400 ? rejectStatus : FORBIDDEN
    return headers => {
      const address = addressOf(headers.get(header))
      return { address, trusted: trusted && address !== null, append: true, reject: address === null ? reject : null }
    }
  }
  const { trustedHops, trustedCidrs, skipAppend } = detection
  if (trustedCidrs.length === 0) {
    return headers => {
      const list = headers.getJoined('x-forwarded-for')
      const address = xffAddress(list, trustedHops)
      const trusted = address !== null && trustedHops === 0 && !list!.includes(',')
      return { address, trusted, append: !skipAppend, reject: null }
    }
  }
  const checks = trustedCidrs.map(compileCidr)
  const isProxy = (address: string): boolean => checks.some(check => check(address))
  return (headers, peer) => {
    if (!isProxy(peer)) return { address: null, trusted: false, append: true, reject: null }
    return { address: lastStranger(headers.getJoined('x-forwarded-for'), isProxy), trusted: false, append: !skipAppend, reject: null }
  }
}

/**
 * Sets the client's address. False when it may not make the request internal: one that came through other proxies is not, whoever the
 * last of them is (Envoy's x-envoy-internal rules). A reply where no address was found that is asked for.
 */
export function setClientAddress({ request, runtime, info }: AddressedRequest): boolean | LocalReply {
  const { connection } = info
  const { config, ipDetectors } = runtime
  const { headers } = request
  if (config.useRemoteAddress) {
    const direct = !headers.has('x-forwarded-for')
    const trusted = config.xffNumTrustedHops
    if (trusted > 0) info.remoteAddress = xffAddress(headers.getJoined('x-forwarded-for'), trusted - 1) ?? connection.remoteAddress
    if (!config.skipXffAppend) appendForwardedFor(headers, connection.remoteAddress)
    return direct
  }
  if (ipDetectors === null) {
    if (!headers.has('x-forwarded-for')) return false
    const forwarded = headers.getJoined('x-forwarded-for')!
    const address = xffAddress(forwarded, config.xffNumTrustedHops)
    if (address === null) return false
    info.remoteAddress = address
    return config.xffNumTrustedHops === 0 && !forwarded.includes(',')
  }
  for (const detect of ipDetectors) {
    const { address, trusted, append, reject } = detect(headers, connection.remoteAddress)
    if (reject !== null) return { status: reject, body: '', flag: 0, details: 'rejecting_because_detection_failed' }
    if (append && !config.skipXffAppend) appendForwardedFor(headers, connection.remoteAddress)
    if (address !== null) {
      info.remoteAddress = address
      return trusted
    }
  }
  return false
}

function appendForwardedFor(headers: HeaderList, remote: string): void {
  const before = headers.getJoined('x-forwarded-for')
  // As Envoy: a loopback peer says nothing to the next hop, our own address does.
  const address = remote.startsWith('127.') || remote === '::1' ? localAddress() : remote
  headers.setLower('x-forwarded-for', before === undefined || before === '' ? address : `${before},${address}`)
}

/** The address `skip` places from the right, or null when it is not an address. */
function xffAddress(list: string | undefined, skip: number): string | null {
  if (list === undefined) return null
  const parts = list.split(',')
  return addressOf(parts[parts.length - 1 - skip])
}

/** From the right the first that is none of our proxies; the leftmost where all are. Null before what is no address. */
function lastStranger(list: string | undefined, isProxy: (address: string) => boolean): string | null {
  let last: string | null = null
  for (const part of (list ?? '').split(',').reverse()) {
    if (part.trim() === '') continue
    const address = addressOf(part)
    if (address === null) return null
    last = address
    if (!isProxy(address)) return last
  }
  return last
}

/** Nothing that only looks like one (`010.0.0.1`, `1.2.3.4:80`): no address rule would match it. Nor one with a zone. */
function addressOf(text: string | undefined): string | null {
  const part = text?.trim()
  return part !== undefined && isIP(part) !== 0 && !part.includes('%') ? part : null
}

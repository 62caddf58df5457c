// What `outrigger connect redirect-traffic` is to do, checked, before it becomes rules of one tool or the other: which connections the kernel
// hands to the proxy, and which it leaves alone. Made by commands/redirect-traffic.ts; read by nftables-rules.ts and iptables-rules.ts.
// Invariant: what the proxy itself sends is never redirected, else it would meet itself.
import { isIP } from 'node:net'
import { CliError } from '../command-line/command-io.js'

export interface RedirectPlan {
  /** Of the proxy first: what these users send is left alone. */
  readonly exemptUsers: readonly number[]
  readonly outboundPort: number
  readonly exemptOutboundPorts: readonly number[]
  readonly exemptOutboundRanges: readonly string[]
  /** Null: what comes in stays as it is. */
  readonly inboundPort: number | null
  readonly exemptInboundPorts: readonly number[]
  /** Connections to IPv6 addresses too, to the same ports. */
  readonly ipv6: boolean
  /** Null: names are asked where they always were. Of IPv4: who asks by IPv6 is not redirected. */
  readonly dns: { readonly host: string; readonly port: number } | null
}

/** Consul's. */
export const DEFAULT_OUTBOUND_PORT = 15_001
export const DNS_PORT = 53
const MAX_UID = 2 ** 32 - 2

export function portOf(flag: string, text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (port < 1 || port > 65_535) throw new CliError(`${flag} ${text}: must be a port from 1 to 65535`)
  return port
}

export function userOf(flag: string, text: string): number {
  const uid = /^\d{1,10}$/.test(text) ? Number(text) : -1
  if (uid < 0 || uid > MAX_UID) throw new CliError(`${flag} ${text}: must be the number of a user`)
  return uid
}

/** An address or a range. */
export function rangeOf(flag: string, text: string): string {
  const [address = '', bits, ...more] = text.split('/')
  const family = address.includes('%') ? 0 : isIP(address)
  const isRange = more.length === 0 && (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128)))
  if (family === 0 || !isRange) throw new CliError(`${flag} ${text}: must be a range of addresses, such as 10.0.0.0/8 or fd00::/8`)
  return text
}

/** Ranges of one family. */
export const rangesOf = (family: IpFamily, ranges: readonly string[]): string[] =>
  ranges.filter(range => range.includes(':') === (family === 'ip6'))

/** As nftables calls them. */
export type IpFamily = 'ip' | 'ip6'

/** Never redirected. */
export const LOOPBACK: Readonly<Record<IpFamily, string>> = { ip: '127.0.0.0/8', ip6: '::1/128' }

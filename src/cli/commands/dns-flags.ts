// The DNS flags of `outrigger control` as `DnsOptions`. Called by control.ts. Durations are Go's, as everywhere in Consul's configuration.
import { parseDuration } from '../../control/config-entries/duration.js'
import type { DnsOptions } from '../../control/dns/start-dns.js'
import { parseAddress } from '../../control/http-api/listen-addresses.js'
import { CliError } from '../command-line/command-io.js'

export interface DnsFlags {
  readonly dnsAddr?: string
  readonly domain?: string
  readonly altDomain?: string
  readonly recursor?: readonly string[]
  readonly dnsOnlyPassing?: boolean
  readonly dnsNodeTtl?: string
  readonly dnsServiceTtl?: readonly string[]
}

const DEFAULT_DNS_ADDR = '127.0.0.1:8600'
const DNS_PORT = 53
const MAX_TTL_SECONDS = 2 ** 31 - 1
const DOMAIN = /^(?=.{1,200}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*\.?$/i

/** Undefined: no DNS (`--dns-addr off`). Throws `CliError` that names the flag. */
export function dnsOptions(flags: DnsFlags): DnsOptions | undefined {
  if (flags.dnsAddr === 'off') return undefined
  return {
    address: address(flags.dnsAddr ?? DEFAULT_DNS_ADDR, '--dns-addr'),
    isDefault: flags.dnsAddr === undefined,
    ...(flags.domain === undefined ? {} : { domain: domain(flags.domain, '--domain') }),
    ...(flags.altDomain === undefined ? {} : { altDomain: domain(flags.altDomain, '--alt-domain') }),
    recursors: (flags.recursor ?? []).map(recursor),
    onlyPassing: flags.dnsOnlyPassing === true,
    nodeTtlSeconds: flags.dnsNodeTtl === undefined ? 0 : ttlSeconds(flags.dnsNodeTtl, '--dns-node-ttl'),
    serviceTtlSeconds: new Map((flags.dnsServiceTtl ?? []).map(serviceTtl)),
  }
}

function address(text: string, flag: string): DnsOptions['address'] {
  try {
    return parseAddress(text, flag)
  } catch (error) {
    throw new CliError((error as Error).message)
  }
}

function recursor(text: string): DnsOptions['address'] {
  const bare = /^[\d.]+$/.test(text) ? `${text}:${DNS_PORT}` : /^[0-9A-Fa-f:]+$/.test(text) ? `[${text}]:${DNS_PORT}` : text
  return address(bare, '--recursor')
}

function domain(text: string, flag: string): string {
  if (!DOMAIN.test(text)) throw new CliError(`${flag} "${text}": must be a domain name`)
  return text
}

function serviceTtl(text: string): [string, number] {
  const equals = text.indexOf('=')
  if (equals < 1) throw new CliError(`--dns-service-ttl "${text}": must be name=duration (name may end in *)`)
  return [text.slice(0, equals).toLowerCase(), ttlSeconds(text.slice(equals + 1), '--dns-service-ttl')]
}

function ttlSeconds(text: string, flag: string): number {
  const seconds = (parseDuration(text) ?? Number.NaN) / 1e9
  if (!(seconds >= 0 && seconds <= MAX_TTL_SECONDS)) throw new CliError(`${flag} "${text}": must be a duration such as 10s`)
  return Math.floor(seconds)
}

// Format commands about addresses of both connections. Addresses print as `ip:port`, `[v6]:port`, or the path of a pipe.

import { isIP } from 'node:net'
import { type Address, formatAddress } from '../../model/address.js'
import type { Host } from '../../upstream/host/host.js'
import { ipBytes } from '../match/cidr.js'
import type { StreamInfo } from '../stream/stream-info.js'
import { distinct, type Operator, type OperatorFactory, orNothing, plain } from './operator.js'

interface Endpoint {
  readonly host: string
  /** 0: unknown, as of an address out of x-forwarded-for. */
  readonly port: number
}

function withPort({ host, port }: Endpoint): string | undefined {
  switch (isIP(host)) {
    case 4:
      return `${host}:${port}`
    case 6:
      return `[${host}]:${port}`
    default:
      return orNothing(host)
  }
}

/** `ip:port` or `[v6]:port` taken apart; a pipe's path is a host with port 0. */
function parse(text: string): Endpoint {
  const colon = text.lastIndexOf(':')
  if (colon === -1 || text.startsWith('/')) return { host: text, port: 0 }
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) }
}

function ofAddress(address: Address): Endpoint {
  return address.kind === 'pipe' ? { host: address.path, port: 0 } : { host: address.host, port: address.port }
}

/** `10.1.0.0/16` */
function masked(host: string, length: number): string | undefined {
  const found = ipBytes(host)
  if (found === null) return undefined
  const bytes = [...found]
  for (let i = 0; i < bytes.length; i++) bytes[i]! &= 0xff00 >> Math.min(8, Math.max(0, length - i * 8))
  if (bytes.length === 4) return `${bytes.join('.')}/${Math.min(length, 32)}`
  const words: string[] = []
  for (let i = 0; i < 16; i += 2) words.push(((bytes[i]! << 8) | bytes[i + 1]!).toString(16))
  const text = words.join(':')
  // The longest run of zeros, at least two words, becomes `::` (RFC 5952 §4.2).
  let best = ''
  for (const run of text.match(/(?:^|:)0(?::0)+(?=:|$)/g) ?? []) if (run.length > best.length) best = run
  if (best === '') return `${text}/${Math.min(length, 128)}`
  const at = text.indexOf(best)
  return `${text.slice(0, at)}::${text.slice(at + best.length).replace(/^:/, '')}/${Math.min(length, 128)}`
}

type Source = (info: StreamInfo) => Endpoint | undefined

function withoutPort(source: Source): OperatorFactory {
  return argument => {
    if (argument === '') return info => orNothing(source(info)?.host ?? '')
    const length = Number(argument)
    // As Envoy: what is no prefix length is none.
    if (!/^\d{1,9}$/.test(argument)) return info => orNothing(source(info)?.host ?? '')
    return info => {
      const endpoint = source(info)
      return endpoint === undefined ? undefined : masked(endpoint.host, length)
    }
  }
}

function port(source: Source): Operator {
  return info => {
    const endpoint = source(info)
    return endpoint === undefined || isIP(endpoint.host) === 0 ? undefined : endpoint.port
  }
}

function family(name: string, source: Source, portName = name.replace(/_ADDRESS$/, '_PORT')): [string, OperatorFactory][] {
  return [
    [
      name,
      plain(info => {
        const endpoint = source(info)
        return endpoint === undefined ? undefined : withPort(endpoint)
      }),
    ],
    [`${name}_WITHOUT_PORT`, withoutPort(source)],
    [portName, plain(port(source))],
  ]
}

const localEndpoint: Source = ({ connection }) => ({ host: connection.localAddress, port: connection.localPort })
const remoteEndpoint: Source = info => ({
  host: info.remoteAddress,
  port: info.remoteAddress === info.connection.remoteAddress ? info.connection.remotePort : 0,
})
const directRemoteEndpoint: Source = ({ connection }) => ({ host: connection.directRemoteAddress, port: connection.directRemotePort })
const upstreamLocalEndpoint: Source = info => (info.upstreamLocalAddress === '' ? undefined : parse(info.upstreamLocalAddress))
/** Of the connection: none stands before one was open. */
const upstreamRemoteEndpoint: Source = info =>
  info.upstreamHost === null || info.upstreamLocalAddress === '' ? undefined : ofAddress(info.upstreamHost.address)

const hostName = (host: Host): string => host.hostname || host.addressText

function hostNameWithoutPort(host: Host): string {
  return host.hostname === '' ? ofAddress(host.address).host : host.hostname.replace(/:\d+$/, '')
}

/** Of every endpoint that a try had a connection to, in order. */
function attempted(read: (host: Host) => string): OperatorFactory {
  return plain(info => orNothing(distinct(info.connectionsUsed(), connection => (connection.host === null ? '' : read(connection.host)))))
}

export const ADDRESS_OPERATORS: readonly [string, OperatorFactory][] = [
  ...family('DOWNSTREAM_LOCAL_ADDRESS', localEndpoint),
  ...family('DOWNSTREAM_DIRECT_LOCAL_ADDRESS', localEndpoint),
  ...family('DOWNSTREAM_REMOTE_ADDRESS', remoteEndpoint),
  ...family('DOWNSTREAM_DIRECT_REMOTE_ADDRESS', directRemoteEndpoint),
  ...family('UPSTREAM_LOCAL_ADDRESS', upstreamLocalEndpoint),
  ...family('UPSTREAM_REMOTE_ADDRESS', upstreamRemoteEndpoint),
  ['DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID', plain(() => '')],
  ['DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID', plain(() => '')],
  ['UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID', plain(info => (upstreamRemoteEndpoint(info) === undefined ? undefined : ''))],
  ['UPSTREAM_HOSTS_ATTEMPTED', attempted(host => formatAddress(host.address))],
  ['UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT', attempted(host => ofAddress(host.address).host)],
  ['UPSTREAM_HOST_NAMES_ATTEMPTED', attempted(hostName)],
  ['UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT', attempted(hostNameWithoutPort)],
  ['UPSTREAM_HOST', plain(info => (info.upstreamHost === null ? undefined : formatAddress(info.upstreamHost.address)))],
  ['UPSTREAM_HOST_NAME', plain(info => (info.upstreamHost === null ? undefined : hostName(info.upstreamHost)))],
  ['UPSTREAM_HOST_NAME_WITHOUT_PORT', plain(info => (info.upstreamHost === null ? undefined : hostNameWithoutPort(info.upstreamHost)))],
]

// A peering token: base64 of JSON in Consul's shape, by which one control plane dials another. Made and read by peerings.ts.
// Invariant: what is read holds at least one certificate, one address and a secret; anything else is one error that says what is wrong.
import { X509Certificate } from 'node:crypto'
import { type HostPort, parseAddress } from '../http-api/listen-addresses.js'

export interface PeeringToken {
  readonly CA: readonly string[]
  readonly ServerAddresses: readonly string[]
  readonly ServerName: string
  readonly PeerID: string
  readonly EstablishmentSecret: string
  readonly Datacenter: string
}

const MAX_TOKEN_CHARS = 256 * 1024
const MAX_ADDRESSES = 64
const MAX_CERTIFICATES = 32
/** Mesh gateways go by it, so it must be none of a service's. */
const SERVER_NAME = /^server\.[a-z0-9_-]+\.peering(\.[a-z0-9_-]+)+$/i
const MAX_SERVER_NAME_CHARS = 253

/** The server name that a control plane shows its peers a certificate for. */
export const peeringServerName = (datacenter: string, trustDomain: string): string => `server.${datacenter}.peering.${trustDomain}`

/** `manual`: the addresses are the operator's. */
export function encodeToken(token: PeeringToken, manual: boolean): string {
  const { CA, ServerAddresses, ServerName, PeerID, EstablishmentSecret, Datacenter } = token
  const json = {
    CA,
    ManualServerAddresses: manual ? ServerAddresses : null,
    ServerAddresses: manual ? null : ServerAddresses,
    ServerName,
    PeerID,
    EstablishmentSecret,
    Remote: { Partition: '', Datacenter },
  }
  return Buffer.from(JSON.stringify(json)).toString('base64')
}

/** Throws one line. */
export function decodeToken(text: string): PeeringToken {
  const trimmed = text.trim()
  if (trimmed.length > MAX_TOKEN_CHARS) throw new Error(`the peering token is longer than ${MAX_TOKEN_CHARS} characters`)
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(trimmed)) throw new Error('the peering token is no base64: copy it whole, without line breaks')
  let json: unknown
  try {
    json = JSON.parse(Buffer.from(trimmed, 'base64').toString('utf8'))
  } catch {
    throw new Error('the peering token is truncated or damaged: copy it whole')
  }
  if (typeof json !== 'object' || json === null) throw new Error('the peering token is damaged: it holds no object')
  const fields = json as Record<string, unknown>
  const manual = strings(fields['ManualServerAddresses'])
  const remote = fields['Remote'] as { Datacenter?: unknown } | null | undefined
  const token: PeeringToken = {
    CA: strings(fields['CA'])
      .slice(0, MAX_CERTIFICATES + 1)
      .map(pem => plainPem(pem, 'the peering token')),
    ServerAddresses: manual.length > 0 ? manual : strings(fields['ServerAddresses']),
    ServerName: string(fields['ServerName']),
    PeerID: string(fields['PeerID']),
    EstablishmentSecret: string(fields['EstablishmentSecret']),
    Datacenter: string(remote?.Datacenter),
  }
  for (const name of ['ServerName', 'PeerID', 'EstablishmentSecret'] as const)
    if (token[name] === '') throw new Error(`the peering token is damaged: it has no ${name}`)
  if (token.CA.length === 0 || token.CA.length > MAX_CERTIFICATES)
    throw new Error(`the peering token is damaged: it holds ${token.CA.length} CA certificates`)
  if (!SERVER_NAME.test(token.ServerName) || token.ServerName.length > MAX_SERVER_NAME_CHARS)
    throw new Error('the peering token is damaged: its ServerName is none of a control plane')
  if (token.ServerAddresses.length === 0 || token.ServerAddresses.length > MAX_ADDRESSES)
    throw new Error(`the peering token is damaged: it holds ${token.ServerAddresses.length} server addresses`)
  for (const address of token.ServerAddresses) serverAddress(address)
  return token
}

/** Throws one line that names the address. */
export function serverAddress(text: string): HostPort {
  const address = parseAddress(text, 'server address')
  if (address.port === 0) throw new Error(`server address "${text}": needs a port`)
  return address
}

/** The one certificate of a text, and nothing else that the text holds: it goes on to proxies. Throws one line that begins with `whose`. */
export function plainPem(text: string, whose: string): string {
  try {
    return new X509Certificate(text).toString()
  } catch {
    throw new Error(`${whose} is damaged: a CA certificate in it is none`)
  }
}

const string = (value: unknown): string => (typeof value === 'string' ? value : '')
const strings = (value: unknown): string[] => (Array.isArray(value) ? value.filter(item => typeof item === 'string') : [])

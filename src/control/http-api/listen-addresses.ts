// Where the control plane listens: `host:port` options read, judged and bound, for HTTP and for gRPC. Called by `ControlPlane`.
// Invariant: an address beyond loopback is refused unless a token (gRPC: or TLS) guards it.
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'

export interface HostPort {
  readonly host: string
  readonly port: number
}

/** PEM throughout. */
export interface GrpcTls {
  readonly certPem: string
  readonly keyPem: string
  /** Bundle that sidecars verify the server with (put into bootstraps). Default: `certPem`. */
  readonly caPem?: string
  /** When given, sidecars must present a certificate of this CA. */
  readonly clientCaPem?: string
}

interface Secrets {
  readonly httpToken?: string
  readonly grpcToken?: string
  readonly grpcTls?: GrpcTls
  /** ACLs: who shows no token is the anonymous one. */
  readonly acl?: { readonly defaultPolicy: 'allow' | 'deny' }
}

/** Throws when others than this machine could come without a token (gRPC: or TLS). */
export function refuseOpenAddresses(http: HostPort, grpc: HostPort, options: Secrets): void {
  if (options.acl?.defaultPolicy === 'deny') return
  if (!isLoopback(grpc.host) && options.grpcToken === undefined && options.grpcTls === undefined)
    throw new Error(
      `--grpc-addr ${formatAddress(grpc)}: not a loopback address, and sidecars receive private keys there: set a token or TLS`,
    )
  if (!isLoopback(http.host) && options.httpToken === undefined)
    throw new Error(`--http-addr ${formatAddress(http)}: not a loopback address: set a token`)
}

/** Throws one line that names the option. IPv6 in brackets. */
export function parseAddress(text: string, option: string): HostPort {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (match === null || port > 65_535) throw new Error(`${option} "${text}": must be host:port`)
  return { host: match[1] ?? match[2]!, port }
}

export function formatAddress(address: HostPort | undefined): string {
  if (address === undefined) return ''
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host)
}

/** An address that listens on all interfaces is reached on this machine by its loopback. */
export function reachableHost(host: string): string {
  return host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
}

/** Resolves with the port as bound; rejects with one line that names the option. */
export async function bindHttp(app: FastifyInstance, address: HostPort): Promise<HostPort> {
  try {
    await app.listen({ host: address.host, port: address.port })
  } catch (error) {
    throw new Error(`--http-addr ${formatAddress(address)}: ${bindReason(error as Error)}`)
  }
  return { host: address.host, port: (app.server.address() as AddressInfo).port }
}

export function bindReason(error: Error): string {
  return /EADDRINUSE/.test(error.message) ? 'the address is already in use' : error.message
}

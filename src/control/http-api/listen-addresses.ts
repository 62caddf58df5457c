// Where the control plane listens: `host:port` options read and judged, for HTTP and for gRPC, in clear text and over TLS. Called by
// `ControlPlane`. Invariant: an address beyond loopback is refused unless who comes is known and what is said is encrypted, or the operator
// has said that it may be otherwise.

export interface HostPort {
  /** Of a socket file, which the HTTP API may listen on: `unix:///path`, and port 0. */
  readonly host: string
  readonly port: number
}

export interface ListenOptions {
  readonly httpAddr?: string
  readonly httpsAddr?: string
  readonly grpcAddr?: string
  readonly grpcTlsAddr?: string
  readonly httpToken?: string
  readonly grpcToken?: string
  /** TLS of `grpcAddr` where there is no `grpcTlsAddr`, else of that. */
  readonly grpcTls?: { readonly clientCaPem?: string }
  /** Clients of the HTTP API over TLS must show a certificate. */
  readonly httpsVerifiesClients?: boolean
  readonly grpcVerifiesClients?: boolean
  /** ACLs: who shows no token is the anonymous one. */
  readonly acl?: { readonly defaultPolicy: 'allow' | 'deny' }
  readonly allowOpen?: boolean
}

/** Undefined: not served. */
export interface ListenPlan {
  readonly http: HostPort | undefined
  readonly https: HostPort | undefined
  readonly grpc: HostPort | undefined
  readonly grpcTls: HostPort | undefined
}

const DEFAULT_HTTP_ADDR = '127.0.0.1:8500'
const DEFAULT_GRPC_ADDR = '127.0.0.1:8502'
const UNIX = 'unix://'
/** The kernel's room for the path of a socket. */
const MAX_SOCKET_PATH_BYTES = 107

/** Throws one line that names the option: what is no address, or one that is open to more than this machine. */
export function planListeners(options: ListenOptions): ListenPlan {
  const read = (text: string | undefined, option: string): HostPort | undefined =>
    text === undefined || text === 'off' ? undefined : parseAddress(text, option)
  const grpc = read(options.grpcAddr ?? DEFAULT_GRPC_ADDR, '--grpc-addr')
  const plan = {
    http: options.httpAddr === 'off' ? undefined : parseHttpAddress(options.httpAddr ?? DEFAULT_HTTP_ADDR, '--http-addr'),
    https: read(options.httpsAddr, '--https-addr'),
    // Without an address of its own for TLS, a certificate is for this one.
    ...(options.grpcTls !== undefined && options.grpcTlsAddr === undefined
      ? { grpc: undefined, grpcTls: grpc }
      : { grpc, grpcTls: read(options.grpcTlsAddr, '--grpc-tls-addr') }),
  }
  if (plan.http === undefined && plan.https === undefined)
    throw new Error('--http-addr and --https-addr are both off: one of them is needed')
  if (options.allowOpen !== true) refuseOpenAddresses(plan, options)
  return plan
}

function refuseOpenAddresses({ http, https, grpc, grpcTls }: ListenPlan, options: ListenOptions): void {
  const deny = options.acl?.defaultPolicy === 'deny'
  const httpToken = deny || options.httpToken !== undefined
  const grpcToken = deny || options.grpcToken !== undefined
  const check = (address: HostPort | undefined, option: string, known: boolean, encrypted: boolean, tlsOption: string): void => {
    if (address === undefined || isLoopback(address.host) || (known && encrypted)) return
    const missing = [...(known ? [] : ['--acl (or a token)']), ...(encrypted ? [] : [`TLS (${tlsOption})`])]
    throw new Error(
      `${option} ${formatAddress(address)}: not a loopback address: it needs ${missing.join(' and ')}; --allow-open serves it all the same`,
    )
  }
  check(http, '--http-addr', httpToken, false, '--https-addr')
  check(https, '--https-addr', httpToken || options.httpsVerifiesClients === true, true, '')
  check(grpc, '--grpc-addr', grpcToken, false, '--grpc-tls-addr')
  check(
    grpcTls,
    '--grpc-tls-addr',
    grpcToken || options.grpcTls?.clientCaPem !== undefined || options.grpcVerifiesClients === true,
    true,
    '',
  )
}

/** An address of the HTTP API in clear text, which may be a socket file. Throws one line that names the option. */
export function parseHttpAddress(text: string, option: string): HostPort {
  const path = text.startsWith(UNIX) ? text.slice(UNIX.length) : undefined
  if (path === undefined) return parseAddress(text, option)
  if (!path.startsWith('/') || Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES)
    throw new Error(`${option} "${text}": must be unix:///path, of at most ${MAX_SOCKET_PATH_BYTES} bytes`)
  return { host: text, port: 0 }
}

/** The path of a socket file; undefined for an address of the network. */
export function socketPath({ host }: HostPort): string | undefined {
  return host.startsWith(UNIX) ? host.slice(UNIX.length) : undefined
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
  if (socketPath(address) !== undefined) return address.host
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`
}

export function isLoopback(host: string): boolean {
  return host.startsWith(UNIX) || host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host)
}

/** Whether all of them are of the network and none is beyond loopback. A socket file alone is neither: no web page reaches it. */
export function areLoopback(addresses: readonly (HostPort | undefined)[]): boolean {
  const ports = addresses.filter(address => address !== undefined && socketPath(address) === undefined)
  return ports.length > 0 && ports.every(address => isLoopback(address!.host))
}

/** An address that listens on all interfaces is reached on this machine by its loopback. */
export function reachableHost(host: string): string {
  return host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
}

/** Where other machines reach what listens here: on all interfaces, the node's own address. */
export function hostForOthers(listening: string, nodeAddress: string): string {
  return listening === '0.0.0.0' || listening === '::' ? nodeAddress : listening
}

export function bindReason(error: Error): string {
  return /EADDRINUSE/.test(error.message) ? 'the address is already in use' : error.message
}

// Who is asked for the addresses of a name, and how (typed_dns_resolver_config), as model: c-ares with its options, or the system's
// getaddrinfo. Of the bootstrap, or of one cluster.

export interface CaresResolver {
  readonly kind: 'cares'
  /** address:port, or an address for port 53; empty = the system's. */
  readonly servers: readonly string[]
  /** `servers` are asked only where the system names none. */
  readonly serversAsFallback: boolean
  /** No addresses of a family that no interface but the loopback has. */
  readonly skipUnroutableFamilies: boolean
  readonly tcp: boolean
  /** Names without enough dots are looked for in the search domains of resolv.conf. */
  readonly searchDomains: boolean
  /** The next server first with every query. */
  readonly rotate: boolean
  readonly timeoutMs: number
  readonly tries: number
}

export interface SystemResolver {
  readonly kind: 'getaddrinfo'
  /** null = until there is an answer. */
  readonly retries: number | null
  readonly threads: number
}

export type DnsResolverConfig = CaresResolver | SystemResolver

/** Envoy's own: the system's servers, 5 s for a server, four tries. */
export const DEFAULT_DNS_RESOLVER: CaresResolver = {
  kind: 'cares',
  servers: [],
  serversAsFallback: false,
  skipUnroutableFamilies: false,
  tcp: false,
  searchDomains: true,
  rotate: false,
  timeoutMs: 5000,
  tries: 4,
}

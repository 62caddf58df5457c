// From a host to its connection pool: which protocol, which TLS context, which key. Owns no connections itself: pools live on
// their Host (they outlive snapshots) and are replaced when what a connection is verified against changes.

import type { Counter } from '../../metrics/stat.js'
import type { UpstreamTls } from '../../model/tls.js'
import type { TlsContexts } from '../../mtls/tls/tls-contexts.js'
import type { UpstreamTlsContext } from '../../mtls/tls/upstream-tls.js'
import { bindHostOf } from '../../upstream/connect/connector.js'
import { HttpPool, type PoolProtocol } from '../../upstream/connect/http-pool.js'
import type { Host } from '../../upstream/host/host.js'
import { asksForTunnel, type RequestHead } from '../codec/codec.js'
import { UpstreamConnection } from './upstream-connection.js'

export type Priority = 'DEFAULT' | 'HIGH'

/** Where the TLS context of a host comes from. */
export interface UpstreamTlsSource {
  /** Null: in the clear. */
  tlsFor(host: Host): UpstreamTlsContext | null
}

export class UpstreamPools implements UpstreamTlsSource {
  /** Shadow requests under way, and all that began: requests of our own, as Envoy counts them. */
  readonly mirrors: { active: number; readonly total: Counter }
  private readonly tlsContexts: TlsContexts

  constructor(tlsContexts: TlsContexts, mirrored: Counter) {
    this.tlsContexts = tlsContexts
    this.mirrors = { active: 0, total: mirrored }
  }

  tlsFor(host: Host): UpstreamTlsContext | null {
    const { config } = host.cluster
    const model = config.transportSocketMatches.length === 0 ? config.tls : matchingTls(host)
    return model === null ? null : this.tlsContexts.upstream(model, host.cluster)
  }

  /** HOT: one Map look-up when the pool is there. `tunnel`: plain connections for CONNECT requests that end here. */
  poolFor(host: Host, protocol: PoolProtocol, priority: Priority, sni: string, tunnel = false): HttpPool<UpstreamConnection> {
    const { config } = host.cluster
    const tls = this.tlsFor(host)
    const slot = tunnel ? `tunnel:${priority}:${sni}` : slotName(protocol, priority, sni)
    const key = tls === null ? '' : tls.key
    const existing = host.pools.get(slot) as HttpPool<UpstreamConnection> | undefined
    if (existing !== undefined && existing.key === key) {
      existing.tls = tls
      return existing
    }
    if (existing !== undefined && tls?.covers(existing.key) === true) {
      existing.key = key
      existing.tls = tls
      return existing
    }
    if (existing !== undefined) existing.close(true)
    const pool = new HttpPool<UpstreamConnection>(
      {
        host,
        protocol: protocol === 'auto' && tls === null ? 'http1' : protocol,
        breakers: host.cluster.breakers(priority),
        connectTimeoutMs: config.connectTimeoutMs,
        keepAlive: config.tcpKeepalive,
        localAddress: bindHostOf(config),
        sni,
        key,
        // Clients choose those names: a pool of one that nobody asks for any more must not stay.
        ...(sni === '' ? {} : { onEmpty: empty => void (host.pools.get(slot) === empty && host.pools.delete(slot)) }),
        createConnection: (socket, spoken, owner, peer) =>
          new UpstreamConnection(
            socket,
            spoken,
            owner,
            host.cluster.config.http,
            peer,
            host.cluster.config.perConnectionBufferLimitBytes,
            tunnel,
          ),
      },
      tls,
    )
    host.pools.set(slot, pool)
    return pool
  }

  /** Which protocol a request takes to this host's cluster. Upgrades fall back to HTTP/1 where the cluster would choose by ALPN. */
  protocolFor(host: Host, head: RequestHead): PoolProtocol {
    const { protocol } = host.cluster.config.http
    switch (protocol) {
      case 'auto':
        return asksForTunnel(head) ? 'http1' : 'auto'
      case 'downstream':
        return head.version === 'HTTP/2' ? 'http2' : 'http1'
      default:
        return protocol
    }
  }
}

/** auto_sni: the request's host (without port) becomes the server name; '' where the context's own holds. HOT. */
export function sniFor(host: Host, authority: string): string {
  const { config } = host.cluster
  if (config.tls === null) return ''
  if (config.http.autoSni) return hostOnly(authority)
  return config.tls.autoHostSni ? host.hostname : ''
}

/** Addresses are no server names (RFC 6066 §3). */
function hostOnly(authority: string): string {
  if (authority.startsWith('[')) return ''
  const colon = authority.indexOf(':')
  const name = colon === -1 ? authority : authority.slice(0, colon)
  return /^[0-9.]+$/.test(name) ? '' : name.toLowerCase()
}

const SLOTS = new Map<string, string>()

function slotName(protocol: PoolProtocol, priority: Priority, sni: string): string {
  if (sni !== '') return `${protocol}:${priority}:${sni}`
  const key = priority === 'DEFAULT' ? protocol : `${protocol}!`
  let name = SLOTS.get(key)
  if (name === undefined) {
    name = `${protocol}:${priority}`
    SLOTS.set(key, name)
  }
  return name
}

/** transport_socket_matches: the first whose `match` agrees with the endpoint's envoy.transport_socket_match metadata. */
function matchingTls(host: Host): UpstreamTls | null {
  const { config } = host.cluster
  const labels = host.metadata.get('envoy.transport_socket_match')
  for (const entry of config.transportSocketMatches) {
    if (Object.keys(entry.match).every(key => labels !== undefined && JSON.stringify(labels[key]) === JSON.stringify(entry.match[key])))
      return entry.tls
  }
  return config.tls
}

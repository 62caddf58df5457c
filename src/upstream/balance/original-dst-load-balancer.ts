// ORIGINAL_DST clusters: the destination comes with the request (header, or the address the socket was meant for), and a host is made
// for it on first use. Called by UpstreamCluster.pick. Hosts nobody used for two sweeps are dropped.
// Source: Envoy docs, intro/arch_overview/upstream/load_balancing/original_dst.

import { isIP } from 'node:net'
import type { Clock, Timer } from '../../io/clock.js'
import { ENDPOINT_DEFAULTS } from '../../model/defaults.js'
import type { Endpoint, LocalityEndpoints } from '../../model/endpoint.js'
import type { Host } from '../host/host.js'
import type { LbContext, LoadBalancer } from './load-balancer.js'

/** Destinations known at one time; a client that scans a network must not fill the memory. */
export const MAX_ORIGINAL_DST_HOSTS = 10_000

export interface OriginalDstHooks {
  find(key: string): Host | undefined
  add(endpoint: Endpoint, group: LocalityEndpoints): Host
  /** Removes hosts; their pools are closed. */
  remove(hosts: ReadonlySet<Host>): void
  hosts(): readonly Host[]
  /** An address that cannot be dialled came with a request (original_dst_host_invalid). */
  onInvalid(): void
  readonly clock: Clock
}

const group: LocalityEndpoints = { locality: { region: '', zone: '', subZone: '' }, weight: 0, priority: 0, endpoints: [] }

export class OriginalDstLoadBalancer implements LoadBalancer {
  private readonly hooks: OriginalDstHooks
  private readonly portOverride: number | null
  private readonly cleanupIntervalMs: number
  private readonly used = new Set<Host>()
  private timer: Timer

  constructor(hooks: OriginalDstHooks, portOverride: number | null, cleanupIntervalMs: number) {
    this.hooks = hooks
    this.portOverride = portOverride
    this.cleanupIntervalMs = cleanupIntervalMs
    this.timer = hooks.clock.after(cleanupIntervalMs, () => this.sweep())
  }

  pick(ctx: LbContext): Host | null {
    if (ctx.originalDst === undefined || ctx.originalDst === null) return null
    const address = parseIpPort(ctx.originalDst)
    if (address === null) {
      this.hooks.onInvalid()
      return null
    }
    const port = this.portOverride ?? address.port
    const key = address.host.includes(':') ? `[${address.host}]:${port}` : `${address.host}:${port}`
    let host = this.hooks.find(key)
    if (host === undefined) {
      if (this.hooks.hosts().length >= MAX_ORIGINAL_DST_HOSTS && !this.evictIdle()) return null
      host = this.hooks.add(
        {
          ...ENDPOINT_DEFAULTS,
          address: { kind: 'socket', host: address.host, port },
          disableActiveHealthCheck: true,
        },
        group,
      )
    }
    this.used.add(host)
    return host
  }

  close(): void {
    this.timer.cancel()
  }

  private sweep(): void {
    const idle = new Set<Host>()
    for (const host of this.hooks.hosts()) if (!this.used.has(host) && isIdle(host)) idle.add(host)
    this.used.clear()
    if (idle.size > 0) this.hooks.remove(idle)
    this.timer = this.hooks.clock.after(this.cleanupIntervalMs, () => this.sweep())
  }

  /** Room for one more: drops every host without connections; false when all are busy. */
  private evictIdle(): boolean {
    const idle = new Set<Host>()
    for (const host of this.hooks.hosts()) if (isIdle(host)) idle.add(host)
    for (const host of idle) this.used.delete(host)
    if (idle.size > 0) this.hooks.remove(idle)
    return idle.size > 0
  }
}

function isIdle(host: Host): boolean {
  return host.activeConnections === 0 && host.activeRequests === 0
}

/** `1.2.3.4:80` or `[::1]:80`; null for anything else (names are never resolved here). */
export function parseIpPort(text: string): { readonly host: string; readonly port: number } | null {
  const colon = text.lastIndexOf(':')
  if (colon <= 0) return null
  const portText = text.slice(colon + 1)
  if (!/^\d{1,5}$/.test(portText)) return null
  const port = Number(portText)
  let host = text.slice(0, colon)
  const bracketed = host.startsWith('[') && host.endsWith(']')
  if (bracketed) host = host.slice(1, -1)
  if (port > 65535 || isIP(host) !== (bracketed ? 6 : 4)) return null
  return { host, port }
}

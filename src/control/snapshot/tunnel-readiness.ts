// Which services may be called by tunnel without anybody having said so (`outrigger_tcp_tunnel: auto`): those of which every sidecar is
// ours and has acknowledged a listener that accepts tunnels. Fed by ControlPlane (streams) and SnapshotPublisher (snapshots, catalog);
// snapshots are built with it. Invariant: a service is none of them from the moment that one sidecar appears of which that is not known.

import { type CatalogInstance, keyOfInstance } from '../catalog/catalog-types.js'

interface Known {
  /** Of the program that asked last: a real Envoy would take tunnels too, but that has not been promised to anybody. */
  ours: boolean
  /** What it was given last has the chain that takes tunnels. */
  offered: boolean
  acknowledged: boolean
}

export class TunnelReadiness {
  private readonly sidecarsOf: (service: string) => readonly CatalogInstance[]
  private readonly proxies = new Map<string, Known>()
  /** In lower case. */
  private readonly ready = new Set<string>()
  /** A service became ready, or is it no more. */
  onChange: (service: string) => void = () => {}

  constructor(sidecarsOf: (service: string) => readonly CatalogInstance[]) {
    this.sidecarsOf = sidecarsOf
  }

  accepts(service: string): boolean {
    return this.ready.has(service.toLowerCase())
  }

  /** A proxy asks for its configuration. `userAgent`: what its node says of the program. */
  streamOpened(proxy: string, service: string, userAgent: string): void {
    const known = this.known(proxy)
    const ours = userAgent === OUR_USER_AGENT
    if (known.ours !== ours) known.acknowledged = false
    known.ours = ours
    this.check(service)
  }

  /** A snapshot for the proxy has been made. */
  offered(proxy: string, service: string, accepts: boolean): void {
    const known = this.known(proxy)
    if (known.offered === accepts) return
    known.offered = accepts
    if (!accepts) known.acknowledged = false
    this.check(service)
  }

  /** The proxy has acknowledged its snapshot. */
  synced(proxy: string, service: string): void {
    const known = this.known(proxy)
    if (known.acknowledged === known.offered) return
    known.acknowledged = known.offered
    this.check(service)
  }

  forget(proxy: string, service: string): void {
    this.proxies.delete(proxy)
    this.check(service)
  }

  /** The sidecars of the service may be others now. */
  check(service: string): void {
    const sidecars = this.sidecarsOf(service)
    const ready = sidecars.length > 0 && sidecars.every(sidecar => this.isReady(keyOfInstance(sidecar)))
    if (ready === this.accepts(service)) return
    if (ready) this.ready.add(service.toLowerCase())
    else this.ready.delete(service.toLowerCase())
    this.onChange(service)
  }

  private isReady(proxy: string): boolean {
    const known = this.proxies.get(proxy)
    return known?.ours === true && known.offered && known.acknowledged
  }

  private known(proxy: string): Known {
    let known = this.proxies.get(proxy)
    if (known === undefined) this.proxies.set(proxy, (known = { ours: false, offered: false, acknowledged: false }))
    return known
  }
}

/** `user_agent_name` of our own sidecar. */
const OUR_USER_AGENT = 'outrigger'

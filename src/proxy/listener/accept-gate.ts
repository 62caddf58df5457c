// Whether the proxy takes another client: what the overload manager says, and the most connections of all listeners together. Asked by
// ActiveListener for each accepted socket. Made by Server where the bootstrap has an overload manager; null elsewhere.

import type { Overload } from '../../l7/server/overload.js'
import type { OverloadConfig } from '../../model/overload.js'

export class AcceptGate {
  private readonly overload: Overload
  private readonly maxConnections: number
  private readonly connections: () => number

  /** `connections`: those of this process. */
  constructor(overload: Overload, { monitors }: OverloadConfig, connections: () => number) {
    this.overload = overload
    this.connections = connections
    this.maxConnections = Math.min(
      ...monitors.map(monitor => (monitor.kind === 'downstream-connections' ? monitor.max : Infinity)),
      Infinity,
    )
  }

  /** Clients wait, unread, until it is over. */
  get holds(): boolean {
    return this.overload.holdsConnections
  }

  /** This client is turned away. */
  rejects(): boolean {
    return this.overload.rejectsConnection()
  }

  /** There are as many connections as there may be. */
  full(): boolean {
    return this.maxConnections !== Infinity && this.connections() >= this.maxConnections
  }
}

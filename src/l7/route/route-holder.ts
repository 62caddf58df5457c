// Where a request's route table is found: one table for all (RouteHolder), or one for each scope (RouteScopes). Held by HttpRuntime; asked
// once per match. Invariant: RDS swaps `current` whole, so a match never sees half a table.

import type { RequestHead } from '../codec/codec.js'
import type { CompiledRouteTable } from './route-table.js'

export interface RouteSource {
  /** HOT: per request. */
  tableFor(head: RequestHead): CompiledRouteTable
  /**
   * Asks for what would give a request without a route one; `done` once it is here, or known not to be. Returns the way to wait no longer;
   * null: there is nothing to ask for.
   */
  discover(head: RequestHead, done: () => void): (() => void) | null
}

/** Asks for the virtual host of an authority. */
type HostDiscovery = (authority: string, done: () => void) => (() => void) | null

/** The table in use; swapped by RDS. */
export class RouteHolder implements RouteSource {
  constructor(
    public current: CompiledRouteTable,
    private readonly discoverHost: HostDiscovery | null = null,
  ) {}

  tableFor(): CompiledRouteTable {
    return this.current
  }

  discover(head: RequestHead, done: () => void): (() => void) | null {
    return this.discoverHost === null ? null : this.discoverHost(head.authority, done)
  }
}

// Where a request's route table is found: one table for all (RouteHolder), or one for each scope (RouteScopes). Held by HttpRuntime; asked
// once per match. Invariant: RDS swaps `current` whole, so a match never sees half a table.

import type { RequestHead } from '../codec/codec.js'
import type { CompiledRouteTable } from './route-table.js'

export interface RouteSource {
  /** HOT: per request. */
  tableFor(head: RequestHead): CompiledRouteTable
}

/** The table in use; swapped by RDS. */
export class RouteHolder implements RouteSource {
  constructor(public current: CompiledRouteTable) {}

  tableFor(): CompiledRouteTable {
    return this.current
  }
}

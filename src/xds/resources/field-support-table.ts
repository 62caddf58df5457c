// The table behind field-support.ts, joined from the tables of field-support/ (one per package or family of packages of Envoy's
// API) and put in the order of the messages' names. A test compares it with the message descriptors, and the pages of
// docs/compatibility/ are printed from it (scripts/compatibility-table.mjs).

import { BOOTSTRAP_SUPPORT } from './field-support/bootstrap.js'
import { CLUSTER_SUPPORT } from './field-support/cluster.js'
import { CORE_SUPPORT } from './field-support/core.js'
import { HTTP_CONNECTION_MANAGER_SUPPORT } from './field-support/http-connection-manager.js'
import { HTTP_FILTER_SUPPORT } from './field-support/http-filter.js'
import { LISTENER_SUPPORT } from './field-support/listener.js'
import { LOAD_BALANCING_SUPPORT } from './field-support/load-balancing.js'
import type { MessageSupport, SupportTable } from './field-support/message-support.js'
import { NETWORK_FILTER_SUPPORT } from './field-support/network-filter.js'
import { ROUTE_SUPPORT } from './field-support/route.js'
import { TRACING_SUPPORT } from './field-support/tracing.js'
import { TRANSPORT_SOCKET_SUPPORT } from './field-support/transport-socket.js'
import { TYPE_SUPPORT } from './field-support/type.js'

/** The tables by the name of their page in docs/compatibility/. */
export const SUPPORT_TABLES: Readonly<Record<string, SupportTable>> = {
  bootstrap: BOOTSTRAP_SUPPORT,
  cluster: CLUSTER_SUPPORT,
  core: CORE_SUPPORT,
  'http-connection-manager': HTTP_CONNECTION_MANAGER_SUPPORT,
  'http-filter': HTTP_FILTER_SUPPORT,
  listener: LISTENER_SUPPORT,
  'load-balancing': LOAD_BALANCING_SUPPORT,
  'network-filter': NETWORK_FILTER_SUPPORT,
  route: ROUTE_SUPPORT,
  tracing: TRACING_SUPPORT,
  'transport-socket': TRANSPORT_SOCKET_SUPPORT,
  type: TYPE_SUPPORT,
}

/** Each message's full name with its entry, by name. */
export const SUPPORT_TABLE: readonly (readonly [string, MessageSupport])[] = Object.values(SUPPORT_TABLES)
  .flatMap(table => Object.entries(table))
  .sort(([a], [b]) => (a < b ? -1 : 1))

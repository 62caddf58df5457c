// The table behind field-support.ts, joined from the tables of field-support/ (one per package or family of packages of Envoy's
// API) and put in the order of the messages' names. A test compares it with the message descriptors, and docs/compatibility.md is
// printed from it (scripts/compatibility-table.mjs).

import { BOOTSTRAP_SUPPORT } from './field-support/bootstrap.js'
import { CLUSTER_SUPPORT } from './field-support/cluster.js'
import { CORE_SUPPORT } from './field-support/core.js'
import { HTTP_CONNECTION_MANAGER_SUPPORT } from './field-support/http-connection-manager.js'
import { HTTP_FILTER_SUPPORT } from './field-support/http-filter.js'
import { LISTENER_SUPPORT } from './field-support/listener.js'
import { LOAD_BALANCING_SUPPORT } from './field-support/load-balancing.js'
import type { MessageSupport } from './field-support/message-support.js'
import { NETWORK_FILTER_SUPPORT } from './field-support/network-filter.js'
import { ROUTE_SUPPORT } from './field-support/route.js'
import { TRANSPORT_SOCKET_SUPPORT } from './field-support/transport-socket.js'
import { TYPE_SUPPORT } from './field-support/type.js'

const TABLES = [
  BOOTSTRAP_SUPPORT,
  CLUSTER_SUPPORT,
  CORE_SUPPORT,
  HTTP_CONNECTION_MANAGER_SUPPORT,
  HTTP_FILTER_SUPPORT,
  LISTENER_SUPPORT,
  LOAD_BALANCING_SUPPORT,
  NETWORK_FILTER_SUPPORT,
  ROUTE_SUPPORT,
  TRANSPORT_SOCKET_SUPPORT,
  TYPE_SUPPORT,
]

/** Each message's full name with its entry, by name. */
export const SUPPORT_TABLE: readonly (readonly [string, MessageSupport])[] = TABLES.flatMap(table => Object.entries(table)).sort(
  ([a], [b]) => (a < b ? -1 : 1),
)

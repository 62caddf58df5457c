// What the proxy knows of its config, laid out for /config_dump: static resources from the bootstrap message, dynamic ones as they
// came over xDS, and what is warming. The printer is loaded with the first request: it brings every generated type (30 MB).

import { clone, fromBinary, type Message, toBinary } from '@bufbuild/protobuf'
import { anyIs } from '@bufbuild/protobuf/wkt'
import type { NodeInfo } from '../model/bootstrap.js'
import { tableOf } from '../model/virtual-host-name.js'
import type { ConfigDump } from '../proxy/admin/admin-options.js'
import type { Server } from '../proxy/server.js'
import type { ConfigDumpState, DumpEntry, DynamicListenerEntry, ScopesEntry } from '../xds/dump/config-dump.js'
import { type Bootstrap, BootstrapSchema } from '../xds/gen/envoy/config/bootstrap/v3/bootstrap_pb.js'
import { ClusterSchema } from '../xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import { type Listener, ListenerSchema } from '../xds/gen/envoy/config/listener/v3/listener_pb.js'
import { VirtualHostSchema } from '../xds/gen/envoy/config/route/v3/route_components_pb.js'
import { RouteConfigurationSchema } from '../xds/gen/envoy/config/route/v3/route_pb.js'
import { ScopedRouteConfigurationSchema } from '../xds/gen/envoy/config/route/v3/scoped_route_pb.js'
import {
  type HttpConnectionManager,
  HttpConnectionManagerSchema,
} from '../xds/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import { SecretSchema } from '../xds/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js'
import {
  CLUSTER_TYPE,
  ENDPOINT_TYPE,
  EXTENSION_CONFIG_TYPE,
  LISTENER_TYPE,
  ROUTE_TYPE,
  SCOPED_ROUTE_TYPE,
  SECRET_TYPE,
  VIRTUAL_HOST_TYPE,
} from '../xds/type-urls.js'
import { endpointsOf } from './endpoint-dump.js'
import { nodeMessage, type UserAgent } from './node-message.js'
import type { TrackedResource, TrackedResources } from './tracked-resources.js'

export interface ConfigDumpSource {
  readonly bootstrap: Message
  readonly node: NodeInfo
  readonly userAgent: UserAgent
  readonly tracked: TrackedResources
  readonly server: Server
}

export function createConfigDump(source: ConfigDumpSource): ConfigDump {
  return {
    dump: async query => {
      const { configDump, configDumpQuery } = await import('../xds/dump/config-dump.js')
      const answer = configDump(state(source), configDumpQuery(query))
      return { status: answer.status, body: typeof answer.body === 'string' ? answer.body : `${JSON.stringify(answer.body, null, 1)}\n` }
    },
  }
}

function state({ bootstrap, node, userAgent, tracked, server }: ConfigDumpSource): ConfigDumpState {
  const message = clone(BootstrapSchema, bootstrap as Bootstrap)
  message.node = nodeMessage(node, userAgent)
  const startedMs = server.startedAt
  const fixed = (name: string, typeUrl: string, value: Uint8Array): DumpEntry => ({
    name,
    resource: { typeUrl, value },
    versionInfo: '',
    lastUpdatedMs: startedMs,
  })
  const resources = message.staticResources
  const clusters = tracked.of(CLUSTER_TYPE).map(entry)
  const isWarming = (each: DumpEntry): boolean => server.clusters.get(each.name) === undefined
  const managers = connectionManagers(resources?.listeners ?? [], tracked, startedMs)
  return {
    bootstrap: { message, lastUpdatedMs: startedMs },
    clusters: {
      versionInfo: tracked.versionOf(CLUSTER_TYPE),
      static: resources?.clusters.map(cluster => fixed(cluster.name, CLUSTER_TYPE, toBinary(ClusterSchema, cluster))) ?? [],
      active: clusters.filter(each => !isWarming(each)),
      warming: clusters.filter(isWarming),
    },
    extensions: server.extensions.subscriptions().length === 0 ? null : tracked.of(EXTENSION_CONFIG_TYPE).map(entry),
    listeners: {
      versionInfo: tracked.versionOf(LISTENER_TYPE),
      static: resources?.listeners.map(listener => fixed(listener.name, LISTENER_TYPE, toBinary(ListenerSchema, listener))) ?? [],
      dynamic: tracked.of(LISTENER_TYPE).map(tracking => listenerEntry(tracking, server.listeners.warmingNames.includes(tracking.name))),
    },
    scopes: scopes(managers, tracked),
    routes: { static: inlineRoutes(managers), dynamic: tracked.of(ROUTE_TYPE).map(each => withVirtualHosts(entry(each), tracked)) },
    endpoints: endpoints(server, tracked),
    secrets: {
      static:
        resources?.secrets.map(secret => ({ ...fixed(secret.name, SECRET_TYPE, toBinary(SecretSchema, secret)), lastUpdatedMs: null })) ??
        [],
      active: tracked.of(SECRET_TYPE).map(entry),
      warming: [],
    },
  }
}

/** Of every cluster in use, with the reason where the newest endpoints were refused. */
function endpoints(server: Server, tracked: TrackedResources): ConfigDumpState['endpoints'] {
  const refused = new Map(tracked.of(ENDPOINT_TYPE).map(each => [each.name, each]))
  const known = [...server.clusters.clusters()].map(cluster => {
    const { discovery } = cluster.config
    const tracking = discovery.kind === 'eds' ? refused.get(discovery.serviceName || cluster.name) : undefined
    const shown: DumpEntry = {
      name: cluster.name,
      resource: { typeUrl: ENDPOINT_TYPE, value: endpointsOf(cluster) },
      versionInfo: '',
      lastUpdatedMs: null,
      ...(tracking === undefined ? {} : failure(tracking)),
    }
    return { isStatic: cluster.isStatic, shown }
  })
  return {
    static: known.filter(({ isStatic }) => isStatic).map(({ shown }) => shown),
    dynamic: known.filter(({ isStatic }) => !isStatic).map(({ shown }) => shown),
  }
}

interface KnownManager {
  readonly manager: HttpConnectionManager
  readonly at: number
}

/** The HTTP connection managers of all listeners, static or not. */
function connectionManagers(listeners: readonly Listener[], tracked: TrackedResources, startedMs: number): KnownManager[] {
  const dynamic = tracked
    .of(LISTENER_TYPE)
    .flatMap(({ accepted }) =>
      accepted === null ? [] : [{ message: fromBinary(ListenerSchema, accepted.resource.any.value), at: accepted.at.getTime() }],
    )
  return [...listeners.map(message => ({ message, at: startedMs })), ...dynamic].flatMap(({ message, at }) =>
    [...message.filterChains, ...(message.defaultFilterChain === undefined ? [] : [message.defaultFilterChain])]
      .flatMap(chain => chain.filters)
      .flatMap(({ configType }): KnownManager[] =>
        configType.case === 'typedConfig' && anyIs(configType.value, HttpConnectionManagerSchema)
          ? [{ manager: fromBinary(HttpConnectionManagerSchema, configType.value.value), at }]
          : [],
      ),
  )
}

/** Route tables written into listeners: Envoy's `static_route_configs`. */
function inlineRoutes(managers: readonly KnownManager[]): DumpEntry[] {
  return managers.flatMap(({ manager: { routeSpecifier }, at }): DumpEntry[] => {
    if (routeSpecifier.case !== 'routeConfig') return []
    const resource = { typeUrl: ROUTE_TYPE, value: toBinary(RouteConfigurationSchema, routeSpecifier.value) }
    return [{ name: routeSpecifier.value.name, resource, versionInfo: '', lastUpdatedMs: at }]
  })
}

function scopes(managers: readonly KnownManager[], tracked: TrackedResources): ConfigDumpState['scopes'] {
  const inline: ScopesEntry[] = []
  const dynamic: ScopesEntry[] = []
  for (const { manager, at } of managers) {
    if (manager.routeSpecifier.case !== 'scopedRoutes') continue
    const { name, configSpecifier } = manager.routeSpecifier.value
    if (configSpecifier.case === 'scopedRouteConfigurationsList') {
      const list = configSpecifier.value.scopedRouteConfigurations.map((scope): ScopesEntry['scopes'][number] => ({
        name: scope.name,
        resource: { typeUrl: SCOPED_ROUTE_TYPE, value: toBinary(ScopedRouteConfigurationSchema, scope) },
      }))
      inline.push({ name, versionInfo: '', scopes: list, lastUpdatedMs: at })
    } else {
      const accepted = tracked.of(SCOPED_ROUTE_TYPE).flatMap(each => each.accepted ?? [])
      dynamic.push({
        name,
        versionInfo: tracked.versionOf(SCOPED_ROUTE_TYPE),
        scopes: accepted.map(({ resource }) => ({ name: resource.name, resource: resource.any })),
        lastUpdatedMs: Math.max(at, ...accepted.map(each => each.at.getTime())),
      })
    }
  }
  return { inline, dynamic }
}

/** A table with the virtual hosts that came for it over VHDS. */
function withVirtualHosts(table: DumpEntry, tracked: TrackedResources): DumpEntry {
  const hosts = tracked.of(VIRTUAL_HOST_TYPE).flatMap(({ name, accepted }) => (tableOf(name) === table.name ? (accepted ?? []) : []))
  if (table.resource === null || hosts.length === 0) return table
  const message = fromBinary(RouteConfigurationSchema, table.resource.value)
  message.virtualHosts.push(...hosts.map(({ resource }) => fromBinary(VirtualHostSchema, resource.any.value)))
  const resource = { typeUrl: ROUTE_TYPE, value: toBinary(RouteConfigurationSchema, message) }
  return { ...table, resource, lastUpdatedMs: Math.max(table.lastUpdatedMs ?? 0, ...hosts.map(({ at }) => at.getTime())) }
}

function entry(tracking: TrackedResource): DumpEntry {
  const { accepted } = tracking
  return {
    name: tracking.name,
    resource: accepted === null ? null : accepted.resource.any,
    versionInfo: accepted?.resource.version ?? '',
    lastUpdatedMs: accepted?.at.getTime() ?? 0,
    ...failure(tracking),
  }
}

function listenerEntry(tracking: TrackedResource, warming: boolean): DynamicListenerEntry {
  const known = tracking.accepted === null ? null : entry({ ...tracking, refused: null })
  return {
    name: tracking.name,
    active: warming ? null : known,
    warming: warming ? known : null,
    draining: null,
    ...failure(tracking),
  }
}

function failure(tracking: TrackedResource): Pick<DumpEntry, 'error'> {
  const { refused } = tracking
  if (refused === null) return {}
  return {
    error: {
      failedConfiguration: refused.resource.any,
      lastUpdateAttemptMs: refused.at.getTime(),
      details: refused.errors.map(error => `${error.path}: ${error.reason}`).join('; '),
      versionInfo: refused.resource.version,
    },
  }
}

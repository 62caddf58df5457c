// What the proxy knows of its config, laid out for /config_dump: static resources from the bootstrap message, dynamic ones as they
// came over xDS, and what is warming. The printer is loaded with the first request: it brings every generated type (30 MB).

import { fromBinary, type Message, toBinary } from '@bufbuild/protobuf'
import { anyIs } from '@bufbuild/protobuf/wkt'
import type { ConfigDump } from '../proxy/admin/admin-options.js'
import type { Server } from '../proxy/server.js'
import type { ConfigDumpState, DumpEntry, DynamicListenerEntry } from '../xds/dump/config-dump.js'
import type { Bootstrap } from '../xds/gen/envoy/config/bootstrap/v3/bootstrap_pb.js'
import { type Cluster, ClusterSchema } from '../xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import { ClusterLoadAssignmentSchema } from '../xds/gen/envoy/config/endpoint/v3/endpoint_pb.js'
import { type Listener, ListenerSchema } from '../xds/gen/envoy/config/listener/v3/listener_pb.js'
import { RouteConfigurationSchema } from '../xds/gen/envoy/config/route/v3/route_pb.js'
import { HttpConnectionManagerSchema } from '../xds/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import { SecretSchema } from '../xds/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js'
import { CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE, SECRET_TYPE } from '../xds/type-urls.js'
import type { TrackedResource, TrackedResources } from './tracked-resources.js'

export interface ConfigDumpSource {
  readonly bootstrap: Message
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

function state({ bootstrap, tracked, server }: ConfigDumpSource): ConfigDumpState {
  const message = bootstrap as Bootstrap
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
  return {
    bootstrap: { message, lastUpdatedMs: startedMs },
    clusters: {
      versionInfo: '',
      static: resources?.clusters.map(cluster => fixed(cluster.name, CLUSTER_TYPE, toBinary(ClusterSchema, cluster))) ?? [],
      active: clusters.filter(each => !isWarming(each)),
      warming: clusters.filter(isWarming),
    },
    listeners: {
      versionInfo: '',
      static: resources?.listeners.map(listener => fixed(listener.name, LISTENER_TYPE, toBinary(ListenerSchema, listener))) ?? [],
      dynamic: tracked.of(LISTENER_TYPE).map(tracking => listenerEntry(tracking, server.listeners.warmingNames.includes(tracking.name))),
    },
    routes: { static: inlineRoutes(resources?.listeners ?? [], tracked, startedMs), dynamic: tracked.of(ROUTE_TYPE).map(entry) },
    endpoints: { static: staticEndpoints(resources?.clusters ?? [], fixed), dynamic: tracked.of(ENDPOINT_TYPE).map(entry) },
    secrets: {
      static: resources?.secrets.map(secret => fixed(secret.name, SECRET_TYPE, toBinary(SecretSchema, secret))) ?? [],
      active: tracked.of(SECRET_TYPE).map(entry),
      warming: [],
    },
  }
}

type Fixed = (name: string, typeUrl: string, value: Uint8Array) => DumpEntry

function staticEndpoints(clusters: readonly Cluster[], fixed: Fixed): DumpEntry[] {
  return clusters.flatMap(({ name, loadAssignment }) =>
    loadAssignment === undefined ? [] : [fixed(name, ENDPOINT_TYPE, toBinary(ClusterLoadAssignmentSchema, loadAssignment))],
  )
}

/** Route tables written into listeners, static or not: Envoy's `static_route_configs`. */
function inlineRoutes(listeners: readonly Listener[], tracked: TrackedResources, startedMs: number): DumpEntry[] {
  const dynamic = tracked
    .of(LISTENER_TYPE)
    .flatMap(({ accepted }) =>
      accepted === null ? [] : [{ message: fromBinary(ListenerSchema, accepted.resource.any.value), at: accepted.at.getTime() }],
    )
  return [...listeners.map(message => ({ message, at: startedMs })), ...dynamic].flatMap(({ message, at }) =>
    [...message.filterChains, ...(message.defaultFilterChain === undefined ? [] : [message.defaultFilterChain])]
      .flatMap(chain => chain.filters)
      .flatMap(({ configType }): DumpEntry[] => {
        if (configType.case !== 'typedConfig' || !anyIs(configType.value, HttpConnectionManagerSchema)) return []
        const { routeSpecifier } = fromBinary(HttpConnectionManagerSchema, configType.value.value)
        if (routeSpecifier.case !== 'routeConfig') return []
        const resource = { typeUrl: ROUTE_TYPE, value: toBinary(RouteConfigurationSchema, routeSpecifier.value) }
        return [{ name: routeSpecifier.value.name, resource, versionInfo: '', lastUpdatedMs: at }]
      }),
  )
}

function entry(tracking: TrackedResource): DumpEntry {
  const { accepted } = tracking
  return {
    name: tracking.name,
    resource: accepted === null ? null : accepted.resource.any,
    versionInfo: accepted?.resource.version ?? '',
    lastUpdatedMs: accepted?.at.getTime() ?? 0,
    clientStatus: tracking.refused === null ? 'ACKED' : 'NACKED',
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
    clientStatus: tracking.refused === null ? 'ACKED' : 'NACKED',
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

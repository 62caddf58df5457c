// Envoy's bootstrap file -> model: YAML or JSON text, read as ProtoJSON with the path of every problem, merged with --config-yaml as
// Envoy merges (protobuf message merge), validated like any resource. Called by cli (start and --mode validate). Unknown fields are
// errors here. What refers to something static that is not there (a cluster of a route, an SDS secret, the ADS cluster) is an error.

import { create, merge } from '@bufbuild/protobuf'
import { parseDocument, type ScalarTag } from 'yaml'
import { DEFAULT_TAG_RULES } from '../metrics/default-tags.js'
import { compileTagRegex } from '../metrics/tag-regex.js'
import type { Bootstrap, DynamicSource, NodeInfo, StatsConfig } from '../model/bootstrap.js'
import type { ConfigError } from '../model/config-error.js'
import type { GrpcService } from '../model/grpc-service.js'
import type { StringMatcher } from '../model/matcher.js'
import {
  type Admin,
  type Bootstrap as BootstrapMessage,
  BootstrapSchema,
  type LayeredRuntime,
} from './gen/envoy/config/bootstrap/v3/bootstrap_pb.js'
import { LocalitySchema, NodeSchema } from './gen/envoy/config/core/v3/base_pb.js'
import type { ApiConfigSource, ConfigSource } from './gen/envoy/config/core/v3/config_source_pb.js'
import type { StatsConfig as StatsConfigMessage } from './gen/envoy/config/metrics/v3/stats_pb.js'
import { decodeAccessLogs } from './resources/access-log.js'
import { decodeAddress } from './resources/address.js'
import { decodeBindSource, decodeClusterMessage } from './resources/cluster.js'
import { unknownClusters } from './resources/cluster-references.js'
import { decodeApiConfigSource, decodeConfigSource, initialFetchTimeoutMs } from './resources/config-source.js'
import { decodeBootstrapResolver } from './resources/dns.js'
import { Ctx, type Decoded, type DecodeOptions, ErrorCollector } from './resources/field-path.js'
import { messageFromJson } from './resources/json-message.js'
import { decodeListenerMessage } from './resources/listener.js'
import { decodeListStringMatcher, decodeStringMatcher } from './resources/matchers.js'
import { checkMessage } from './resources/message-check.js'
import { decodeOverload } from './resources/overload.js'
import { decodeRuntimeLayer } from './resources/runtime.js'
import { decodeSecretMessage } from './resources/secret.js'
import { unreachableClusterSources, unreachableListenerSources } from './resources/source-references.js'
import { decodeStatsSinks } from './resources/stats-sink.js'
import { decodeTracer } from './resources/tracing.js'
import { durationMsOr, plainObject } from './resources/values.js'

const STATS_FLUSH_INTERVAL_MS = 5000

const ANY_NAME: StringMatcher = { kind: 'prefix', value: '', ignoreCase: false }

/** Largest bootstrap text taken. */
export const MAX_BOOTSTRAP_BYTES = 64 * 1024 * 1024

/** A bootstrap as model, and as message for `/config_dump`. */
export type ParsedBootstrap = Decoded<Bootstrap> & { readonly message: BootstrapMessage }

export interface BootstrapOptions extends DecodeOptions {
  /** --service-node and --service-cluster: win over the file's `node`. */
  readonly serviceNode?: string
  readonly serviceCluster?: string
  /** --service-zone: wins over `node.locality.zone`. */
  readonly serviceZone?: string
}

/**
 * `texts`: the file, then --config-yaml, each YAML or JSON and each optional; later ones are merged over earlier ones.
 * Errors carry proto paths (`static_resources.listeners[0].name`); a text that cannot be parsed gives one error without a path.
 */
export function parseBootstrap(texts: string | readonly string[], options: BootstrapOptions = {}): ParsedBootstrap {
  const sink = new ErrorCollector({ unknownFields: 'refuse', ...options })
  const ctx = new Ctx(sink)
  const own = create(BootstrapSchema)
  for (const text of typeof texts === 'string' ? [texts] : texts) {
    const json = parseText(text, ctx)
    if (json !== undefined) merge(BootstrapSchema, own, messageFromJson(BootstrapSchema, json, ctx) as BootstrapMessage)
  }
  if (options.serviceNode || options.serviceCluster || options.serviceZone) own.node ??= create(NodeSchema)
  if (own.node !== undefined && options.serviceNode) own.node.id = options.serviceNode
  if (own.node !== undefined && options.serviceCluster) own.node.cluster = options.serviceCluster
  if (own.node !== undefined && options.serviceZone) {
    own.node.locality ??= create(LocalitySchema)
    own.node.locality.zone = options.serviceZone
  }
  checkMessage(BootstrapSchema, own, ctx)
  return { ...sink.result(decodeBootstrap(own, ctx)), message: own }
}

/** YAML 1.1 booleans, which Envoy's YAML reader takes in plain scalars. */
const YAML_BOOLEAN: ScalarTag = {
  tag: 'tag:yaml.org,2002:bool',
  default: true,
  test: /^(?:y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$/,
  resolve: text => /^(?:y|yes|true|on)$/i.test(text),
}

/** Octal with a leading zero, as in `mode: 0600`, which Envoy's YAML reader takes. */
const YAML_OCTAL: ScalarTag = {
  tag: 'tag:yaml.org,2002:int',
  default: true,
  test: /^0[0-7]+$/,
  resolve: text => Number.parseInt(text, 8),
}

function parseText(text: string, ctx: Ctx): unknown {
  if (text.length > MAX_BOOTSTRAP_BYTES) {
    ctx.error(`the bootstrap has more than ${MAX_BOOTSTRAP_BYTES} bytes`)
    return undefined
  }
  if (text.trim() === '') return {}
  if (/^\s*\{/.test(text)) {
    try {
      return JSON.parse(text)
    } catch {
      // Flow-style YAML begins with a brace too.
    }
  }
  const document = parseDocument(text, {
    schema: 'core',
    merge: true,
    stringKeys: true,
    // The last of two equal keys counts, as in Envoy.
    uniqueKeys: false,
    logLevel: 'error',
    customTags: tags => [YAML_BOOLEAN, YAML_OCTAL, ...tags],
  })
  const problem = document.errors[0]
  if (problem !== undefined) {
    ctx.error(`not valid YAML or JSON: ${problem.message.split('\n')[0]}`)
    return undefined
  }
  try {
    return document.toJS({ maxAliasCount: 1000 })
  } catch (error) {
    ctx.error(`not valid YAML or JSON: ${error instanceof Error ? error.message : String(error)}`)
    return undefined
  }
}

function decodeBootstrap(message: BootstrapMessage, ctx: Ctx): Bootstrap {
  const statics = ctx.at('static_resources')
  const listeners = (message.staticResources?.listeners ?? []).map((listener, i) =>
    decodeListenerMessage(listener, statics.at('listeners', i), true),
  )
  const clusters = (message.staticResources?.clusters ?? []).map((cluster, i) => decodeClusterMessage(cluster, statics.at('clusters', i)))
  const secrets = (message.staticResources?.secrets ?? [])
    .map((secret, i) => decodeSecretMessage(secret, statics.at('secrets', i)))
    .filter(secret => secret !== null)
  checkNames(listeners, statics, 'listeners', 'listener')
  checkNames(clusters, statics, 'clusters', 'cluster')
  checkNames(secrets, statics, 'secrets', 'secret')
  const dynamic = message.dynamicResources
  const at = ctx.at('dynamic_resources')
  const dnsResolver = decodeBootstrapResolver(message, ctx)
  const manager = ctx.at('cluster_manager')
  const loadStats = decodeReportService(message.clusterManager?.loadStatsConfig, manager.at('load_stats_config'), 'load reports')
  const bindSource = decodeBindSource(message.clusterManager?.upstreamBindConfig, manager.at('upstream_bind_config'))
  const outlierEventLog = message.clusterManager?.outlierDetection?.eventLogPath ?? ''
  const healthDiscovery = decodeReportService(message.hdsConfig, ctx.at('hds_config'), 'health reports')
  const http = message.tracing?.http
  const tracer = http === undefined ? null : decodeTracer(http, ctx.at('tracing').at('http'))
  const overload = message.overloadManager === undefined ? null : decodeOverload(message.overloadManager, ctx.at('overload_manager'))
  const bootstrap: Bootstrap = {
    node: decodeNode(message),
    listeners: withOwnUnsupported(listeners, statics, 'listeners'),
    clusters: withOwnUnsupported(clusters, statics, 'clusters'),
    secrets,
    ads: dynamic?.adsConfig === undefined ? null : decodeApiConfigSource(dynamic.adsConfig, at.at('ads_config')),
    lds: decodeSource(dynamic?.ldsConfig, at.at('lds_config')),
    cds: decodeSource(dynamic?.cdsConfig, at.at('cds_config')),
    admin: decodeAdmin(message.admin, ctx.at('admin')),
    stats: decodeStats(message.statsConfig, ctx.at('stats_config')),
    statsFlushIntervalMs:
      message.statsFlush.case === 'statsFlushOnAdmin' ? 0 : durationMsOr(message.statsFlushInterval, STATS_FLUSH_INTERVAL_MS),
    statsSinks: decodeStatsSinks(message.statsSinks, ctx),
    runtime: decodeRuntime(message.layeredRuntime, ctx.at('layered_runtime')),
    localClusterName: message.clusterManager?.localClusterName ?? '',
    ...(loadStats === null ? {} : { loadStats }),
    ...(bindSource === null ? {} : { bindSource }),
    ...(outlierEventLog === '' ? {} : { outlierEventLog }),
    ...(healthDiscovery === null ? {} : { healthDiscovery }),
    ...(dnsResolver === null ? {} : { dnsResolver }),
    ...(tracer === null ? {} : { tracer }),
    ...(overload === null ? {} : { overload }),
    unsupported: ctx.sink.unsupported,
  }
  checkEviction(message, ctx)
  checkReferences(bootstrap, ctx)
  checkNode(bootstrap, ctx)
  return bootstrap
}

/** Of an interval without effect, as Envoy asks it. */
function checkEviction({ statsEvictionInterval, statsFlushInterval }: BootstrapMessage, ctx: Ctx): void {
  if (durationMsOr(statsEvictionInterval, 0) % durationMsOr(statsFlushInterval, STATS_FLUSH_INTERVAL_MS) > 0)
    ctx.at('stats_eviction_interval').error('must be a multiple of stats_flush_interval')
}

/** A proxy that subscribes to anything has to say who it is. */
function checkNode({ node, ads, lds, cds, clusters }: Bootstrap, ctx: Ctx): void {
  const subscribes = ads !== null || lds !== null || cds !== null || clusters.some(cluster => cluster.discovery.kind === 'eds')
  if (subscribes && (node.id === '' || node.cluster === '')) {
    ctx.at('node').error("node 'id' and 'cluster' are required; set them in 'node' or by --service-node and --service-cluster")
  }
}

/** Each static resource lists what was accepted in it; the bootstrap lists everything. */
function withOwnUnsupported<T extends { readonly unsupported: readonly string[] }>(resources: readonly T[], ctx: Ctx, field: string): T[] {
  return resources.map((resource, i) => {
    const prefix = `${ctx.at(field, i).path}.`
    const own = ctx.sink.unsupported.filter(path => path.startsWith(prefix)).map(path => path.slice(prefix.length))
    return { ...resource, unsupported: own }
  })
}

function checkNames(resources: readonly { readonly name: string }[], ctx: Ctx, field: string, what: string): void {
  const seen = new Set<string>()
  resources.forEach((resource, i) => {
    if (seen.has(resource.name)) ctx.at(field, i).at('name').error(`duplicate ${what} '${resource.name}'`)
    seen.add(resource.name)
  })
}

function decodeNode(message: BootstrapMessage): NodeInfo {
  const { node } = message
  return {
    id: node?.id ?? '',
    cluster: node?.cluster ?? '',
    metadata: plainObject(node?.metadata ?? {}),
    locality: { region: node?.locality?.region ?? '', zone: node?.locality?.zone ?? '', subZone: node?.locality?.subZone ?? '' },
  }
}

function decodeSource(source: ConfigSource | undefined, ctx: Ctx): DynamicSource | null {
  if (source === undefined) return null
  const decoded = decodeConfigSource(source, ctx)
  return decoded === null ? null : { source: decoded, initialFetchTimeoutMs: initialFetchTimeoutMs(source) }
}

/** Its server is a gRPC service, whichever form of xDS the field would name. */
function decodeReportService(source: ApiConfigSource | undefined, ctx: Ctx, what: string): GrpcService | null {
  if (source === undefined) return null
  const { services } = decodeApiConfigSource(source, ctx)
  if (services.length > 1) ctx.at('grpc_services').error(`${what} go to one service`)
  return services[0] ?? null
}

/** Without an address there is no admin endpoint, as in Envoy. */
function decodeAdmin(admin: Admin | undefined, ctx: Ctx): Bootstrap['admin'] {
  if (admin?.address === undefined) return null
  const accessLogs = decodeAccessLogs(admin.accessLog, ctx, 'access_log')
  if (admin.accessLogPath !== '') {
    accessLogs.push({
      name: 'admin',
      sink: { kind: 'file', path: admin.accessLogPath },
      format: { text: null, json: null, omitEmptyValues: false },
      filter: null,
    })
  }
  return {
    address: decodeAddress(admin.address, ctx.at('address'), 'ip'),
    accessLogs,
    allowPaths: admin.allowPaths.map((matcher, i) => decodeStringMatcher(matcher, ctx.at('allow_paths', i))),
  }
}

function decodeStats(stats: StatsConfigMessage | undefined, ctx: Ctx): StatsConfig {
  const matcher = stats?.statsMatcher?.statsMatcher
  return {
    useAllDefaultTags: stats?.useAllDefaultTags ?? true,
    tags: (stats?.statsTags ?? []).map((tag, i) => {
      const value = tag.tagValue
      if (value.case === 'regex') checkTagRegex(value.value, ctx.at('stats_tags', i).at('regex'))
      if ((value.case === undefined || value.value === '') && !isDefaultTag(tag.tagName) && value.case !== 'fixedValue') {
        ctx.at('stats_tags', i).error(`no regex specified for tag specifier and no default regex for name: '${tag.tagName}'`)
      }
      return {
        name: tag.tagName,
        regex: value.case === 'regex' && value.value !== '' ? value.value : null,
        fixedValue: value.case === 'fixedValue' ? value.value : null,
      }
    }),
    rejectAll: matcher?.case === 'rejectAll' && matcher.value,
    inclusion:
      matcher?.case === 'inclusionList' ? decodeListStringMatcher(matcher.value, ctx.at('stats_matcher').at('inclusion_list')) : null,
    exclusion:
      matcher?.case === 'exclusionList' ? decodeListStringMatcher(matcher.value, ctx.at('stats_matcher').at('exclusion_list')) : null,
    histogramBuckets: (stats?.histogramBucketSettings ?? []).flatMap(({ match, buckets }, i) => {
      const decoded = match === undefined ? ANY_NAME : decodeStringMatcher(match, ctx.at('histogram_bucket_settings', i).at('match'))
      // One that is about bins alone leaves the buckets to the next that matches.
      return buckets.length === 0 ? [] : [{ match: decoded, buckets: [...buckets].sort((a, b) => a - b) }]
    }),
  }
}

function isDefaultTag(name: string): boolean {
  return DEFAULT_TAG_RULES.some(rule => rule.name === name)
}

/** A tag regex is ECMAScript and has to hold a group: the tag's value is what the last of its first two groups captured. */
function checkTagRegex(regex: string, ctx: Ctx): void {
  if (regex === '') return
  const compiled = compileTagRegex(regex)
  if (typeof compiled === 'string') ctx.error(`invalid regex '${regex}': ${compiled}`)
  else if (compiled.groups === 0) ctx.warn('the regex has no capture group, so the tag is never set')
}

function decodeRuntime(runtime: LayeredRuntime | undefined, ctx: Ctx): Bootstrap['runtime'] {
  checkNames(runtime?.layers ?? [], ctx, 'layers', 'layer')
  const layers = (runtime?.layers ?? []).map((layer, i) => decodeRuntimeLayer(layer, ctx.at('layers', i)))
  if (layers.filter(layer => layer.isAdmin).length > 1) ctx.at('layers').error('there can only be one admin_layer')
  return layers
}

function checkReferences(bootstrap: Bootstrap, ctx: Ctx): void {
  const clusters = new Map(bootstrap.clusters.map(cluster => [cluster.name, cluster]))
  const statics = ctx.at('static_resources')
  bootstrap.listeners.forEach((listener, i) => {
    for (const { path, reason } of unknownClusters(listener, name => clusters.has(name))) {
      ctx.sink.addError(`${statics.at('listeners', i).path}.${path}`, reason)
    }
  })
  const refuse = (at: Ctx, errors: readonly ConfigError[]): void => {
    for (const { path, reason } of errors) ctx.sink.addError(`${at.path}.${path}`, reason)
  }
  bootstrap.clusters.forEach((cluster, i) => {
    refuse(statics.at('clusters', i), unreachableClusterSources(cluster, bootstrap))
  })
  bootstrap.listeners.forEach((listener, i) => {
    refuse(statics.at('listeners', i), unreachableListenerSources(listener, bootstrap))
  })
  const local = bootstrap.localClusterName ?? ''
  if (local !== '' && !clusters.has(local)) {
    ctx.at('cluster_manager').at('local_cluster_name').error(`local cluster '${local}' must be defined`)
  }
  if (bootstrap.loadStats !== undefined) {
    const at = ctx.at('cluster_manager').at('load_stats_config').at('grpc_services', 0).at('envoy_grpc').at('cluster_name')
    checkApiCluster(bootstrap.loadStats.cluster, clusters, at)
  }
  if (bootstrap.healthDiscovery !== undefined) {
    const at = ctx.at('hds_config').at('grpc_services', 0).at('envoy_grpc').at('cluster_name')
    checkApiCluster(bootstrap.healthDiscovery.cluster, clusters, at)
  }
  checkApiClusters(bootstrap, clusters, ctx.at('dynamic_resources'))
  checkSinkClusters(bootstrap, clusters, ctx)
}

/** Sinks are opened before anything dynamic comes. */
function checkSinkClusters({ statsSinks }: Bootstrap, clusters: ReadonlyMap<string, unknown>, ctx: Ctx): void {
  statsSinks.forEach((sink, i) => {
    const at = ctx.at('stats_sinks', i).at('typed_config')
    if (sink.kind !== 'statsd') {
      if (sink.service.target === '')
        checkSinkCluster(sink.service.cluster, clusters, at.at('grpc_service').at('envoy_grpc').at('cluster_name'))
    } else if (sink.to.kind === 'tcp') checkSinkCluster(sink.to.cluster, clusters, at.at('tcp_cluster_name'))
  })
}

function checkSinkCluster(cluster: string, clusters: ReadonlyMap<string, unknown>, ctx: Ctx): void {
  if (!clusters.has(cluster)) ctx.error(`unknown cluster '${cluster}': a sink's cluster has to be static`)
}

/** The cluster of an xDS server has to be there before xDS is: static, and not fed by EDS. */
function checkApiClusters(bootstrap: Bootstrap, clusters: ReadonlyMap<string, Bootstrap['clusters'][number]>, ctx: Ctx): void {
  const sources: [field: Ctx, services: readonly { readonly cluster: string }[]][] = []
  if (bootstrap.ads !== null) sources.push([ctx.at('ads_config'), bootstrap.ads.services])
  for (const key of ['lds', 'cds'] as const) {
    const source = bootstrap[key]?.source
    if (source?.kind === 'api') sources.push([ctx.at(`${key}_config`).at('api_config_source'), source.api.services])
    if (source?.kind === 'rest')
      checkApiCluster(source.cluster, clusters, ctx.at(`${key}_config`).at('api_config_source').at('cluster_names'))
    if (source?.kind === 'ads' && bootstrap.ads === null) ctx.at(`${key}_config`).at('ads').error('ads_config is required')
  }
  for (const [field, services] of sources) {
    services.forEach(({ cluster }, i) => {
      checkApiCluster(cluster, clusters, field.at('grpc_services', i).at('envoy_grpc').at('cluster_name'))
    })
  }
}

function checkApiCluster(cluster: string, clusters: ReadonlyMap<string, Bootstrap['clusters'][number]>, ctx: Ctx): void {
  const found = clusters.get(cluster)
  if (cluster === '' || (found !== undefined && found.discovery.kind !== 'eds')) return
  ctx.error(`must have a statically defined non-EDS cluster: '${cluster}' does not exist or is an EDS cluster`)
}

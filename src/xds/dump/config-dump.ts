// The admin endpoint's /config_dump, from the raw messages that the config consists of: Envoy's ConfigDump shapes, with ?include_eds,
// ?resource=, ?mask= and ?name_regex=. Given to proxy's admin by cli, which keeps the raw Any of every resource. Printing opens every
// Any and redacts secrets (message-printer.ts); nothing here is on a request's path.

import type { Message } from '@bufbuild/protobuf'
import { RE2JS } from 're2js'
import { BootstrapSchema } from '../gen/envoy/config/bootstrap/v3/bootstrap_pb.js'
import { type DumpObject, printAny, printMessage } from './message-printer.js'

/** A resource as it came: the Any's type URL and bytes. */
export interface RawResource {
  readonly typeUrl: string
  readonly value: Uint8Array
}

export type ClientStatus = 'UNKNOWN' | 'REQUESTED' | 'DOES_NOT_EXIST' | 'ACKED' | 'NACKED' | 'RECEIVED_ERROR' | 'TIMEOUT'

/** A refused update of a resource (envoy.admin.v3.UpdateFailureState). */
export interface DumpFailure {
  readonly failedConfiguration: RawResource | null
  readonly lastUpdateAttemptMs: number
  readonly details: string
  readonly versionInfo: string
}

/** One resource in a dump. `resource` null: only a failure or a request is known. */
export interface DumpEntry {
  readonly name: string
  readonly resource: RawResource | null
  readonly versionInfo: string
  /** Milliseconds since the epoch. */
  readonly lastUpdatedMs: number
  readonly clientStatus?: ClientStatus
  readonly error?: DumpFailure
}

export interface DynamicListenerEntry {
  readonly name: string
  readonly active: DumpEntry | null
  readonly warming: DumpEntry | null
  readonly draining: DumpEntry | null
  readonly clientStatus?: ClientStatus
  readonly error?: DumpFailure
}

/** Everything the dump shows; `static` comes from the bootstrap (routes: also inline tables), the rest from xDS. */
export interface ConfigDumpState {
  readonly bootstrap: { readonly message: Message; readonly lastUpdatedMs: number } | null
  readonly clusters: {
    readonly versionInfo: string
    readonly static: readonly DumpEntry[]
    readonly active: readonly DumpEntry[]
    readonly warming: readonly DumpEntry[]
  }
  readonly listeners: {
    readonly versionInfo: string
    readonly static: readonly DumpEntry[]
    readonly dynamic: readonly DynamicListenerEntry[]
  }
  readonly routes: { readonly static: readonly DumpEntry[]; readonly dynamic: readonly DumpEntry[] }
  readonly endpoints: { readonly static: readonly DumpEntry[]; readonly dynamic: readonly DumpEntry[] }
  readonly secrets: { readonly static: readonly DumpEntry[]; readonly active: readonly DumpEntry[]; readonly warming: readonly DumpEntry[] }
}

export interface ConfigDumpQuery {
  readonly includeEds?: boolean
  /** A repeated field of one of the dumps, e.g. `dynamic_listeners`. */
  readonly resource?: string | null
  /** A comma-separated field mask. */
  readonly mask?: string | null
  readonly nameRegex?: string | null
}

/** `body`: the JSON to print with one-space indentation, or an error text. */
export type ConfigDumpAnswer = { readonly status: 200; readonly body: DumpObject } | { readonly status: 400 | 404; readonly body: string }

/** The query of `/config_dump?...` in Envoy's names. */
export function configDumpQuery(parameters: URLSearchParams): ConfigDumpQuery {
  return {
    includeEds: parameters.has('include_eds') && parameters.get('include_eds') !== 'off',
    resource: parameters.get('resource'),
    mask: parameters.get('mask'),
    nameRegex: parameters.get('name_regex'),
  }
}

const ADMIN = 'type.googleapis.com/envoy.admin.v3.'

/** Repeated fields of each dump and the message of their elements, as `?resource=` names them. */
const ELEMENT_TYPES: ReadonlyMap<string, string> = new Map([
  ['static_clusters', 'ClustersConfigDump.StaticCluster'],
  ['dynamic_active_clusters', 'ClustersConfigDump.DynamicCluster'],
  ['dynamic_warming_clusters', 'ClustersConfigDump.DynamicCluster'],
  ['static_endpoint_configs', 'EndpointsConfigDump.StaticEndpointConfig'],
  ['dynamic_endpoint_configs', 'EndpointsConfigDump.DynamicEndpointConfig'],
  ['static_listeners', 'ListenersConfigDump.StaticListener'],
  ['dynamic_listeners', 'ListenersConfigDump.DynamicListener'],
  ['static_route_configs', 'RoutesConfigDump.StaticRouteConfig'],
  ['dynamic_route_configs', 'RoutesConfigDump.DynamicRouteConfig'],
  ['inline_scoped_route_configs', 'ScopedRoutesConfigDump.InlineScopedRouteConfigs'],
  ['dynamic_scoped_route_configs', 'ScopedRoutesConfigDump.DynamicScopedRouteConfigs'],
  ['static_secrets', 'SecretsConfigDump.StaticSecret'],
  ['dynamic_active_secrets', 'SecretsConfigDump.DynamicSecret'],
  ['dynamic_warming_secrets', 'SecretsConfigDump.DynamicSecret'],
])

/** Longest name_regex taken. */
const MAX_NAME_REGEX = 1024

export function configDump(state: ConfigDumpState, query: ConfigDumpQuery): ConfigDumpAnswer {
  let names: RE2JS | null = null
  if (query.nameRegex) {
    try {
      if (query.nameRegex.length > MAX_NAME_REGEX) throw new Error(`longer than ${MAX_NAME_REGEX} characters`)
      names = RE2JS.compile(query.nameRegex)
    } catch (error) {
      return {
        status: 400,
        body: `Error while parsing name_regex from ${query.nameRegex}: ${error instanceof Error ? error.message : error}\n`,
      }
    }
  }
  const match = (name: string): boolean => names === null || names.matches(name)
  const dumps = allDumps(state, query.includeEds === true || /endpoint_configs/.test(query.resource ?? ''), match)
  return query.resource ? oneResource(dumps, query.resource, query.mask ?? '') : everything(dumps, query.mask ?? '')
}

function time(ms: number): string {
  return new Date(ms).toISOString()
}

function failure(error: DumpFailure | undefined): DumpObject | undefined {
  if (error === undefined) return undefined
  return {
    ...(error.failedConfiguration === null ? {} : { failed_configuration: printResource(error.failedConfiguration) }),
    last_update_attempt: time(error.lastUpdateAttemptMs),
    details: error.details,
    ...(error.versionInfo === '' ? {} : { version_info: error.versionInfo }),
  }
}

function printResource(resource: RawResource): DumpObject {
  return printAny({ $typeName: 'google.protobuf.Any', typeUrl: resource.typeUrl, value: resource.value })
}

/** An entry under `key` (`cluster`, `listener` …), with version only where it is dynamic. */
function printEntry(entry: DumpEntry, key: string, dynamic: boolean, named = false): DumpObject {
  const error = failure(entry.error)
  return {
    ...(named ? { name: entry.name } : {}),
    ...(dynamic && entry.versionInfo !== '' ? { version_info: entry.versionInfo } : {}),
    ...(entry.resource === null ? {} : { [key]: printResource(entry.resource) }),
    ...(entry.resource === null ? {} : { last_updated: time(entry.lastUpdatedMs) }),
    ...(error === undefined ? {} : { error_state: error }),
    ...(entry.clientStatus === undefined ? {} : { client_status: entry.clientStatus }),
  }
}

function printDynamicListener(entry: DynamicListenerEntry): DumpObject {
  const part = (key: string, state: DumpEntry | null): DumpObject => (state === null ? {} : { [key]: printEntry(state, 'listener', true) })
  const error = failure(entry.error)
  return {
    name: entry.name,
    ...part('active_state', entry.active),
    ...part('warming_state', entry.warming),
    ...part('draining_state', entry.draining),
    ...(error === undefined ? {} : { error_state: error }),
    ...(entry.clientStatus === undefined ? {} : { client_status: entry.clientStatus }),
  }
}

function allDumps(state: ConfigDumpState, includeEds: boolean, match: (name: string) => boolean): DumpObject[] {
  const list = (field: string, entries: readonly DumpEntry[], key: string, named = false): DumpObject => {
    const shown = entries.filter(entry => match(entry.name)).map(entry => printEntry(entry, key, field.startsWith('dynamic'), named))
    return shown.length === 0 ? {} : { [field]: shown }
  }
  const version = (versionInfo: string): DumpObject => (versionInfo === '' ? {} : { version_info: versionInfo })
  const listeners = state.listeners.dynamic.filter(entry => match(entry.name)).map(printDynamicListener)
  const dumps: DumpObject[] = []
  if (state.bootstrap !== null) {
    dumps.push({
      '@type': `${ADMIN}BootstrapConfigDump`,
      bootstrap: printMessage(BootstrapSchema, state.bootstrap.message),
      last_updated: time(state.bootstrap.lastUpdatedMs),
    })
  }
  dumps.push({
    '@type': `${ADMIN}ClustersConfigDump`,
    ...version(state.clusters.versionInfo),
    ...list('static_clusters', state.clusters.static, 'cluster'),
    ...list('dynamic_active_clusters', state.clusters.active, 'cluster'),
    ...list('dynamic_warming_clusters', state.clusters.warming, 'cluster'),
  })
  if (includeEds) {
    dumps.push({
      '@type': `${ADMIN}EndpointsConfigDump`,
      ...list('static_endpoint_configs', state.endpoints.static, 'endpoint_config'),
      ...list('dynamic_endpoint_configs', state.endpoints.dynamic, 'endpoint_config'),
    })
  }
  dumps.push(
    {
      '@type': `${ADMIN}ListenersConfigDump`,
      ...version(state.listeners.versionInfo),
      ...list('static_listeners', state.listeners.static, 'listener'),
      ...(listeners.length === 0 ? {} : { dynamic_listeners: listeners }),
    },
    { '@type': `${ADMIN}ScopedRoutesConfigDump` },
    {
      '@type': `${ADMIN}RoutesConfigDump`,
      ...list('static_route_configs', state.routes.static, 'route_config'),
      ...list('dynamic_route_configs', state.routes.dynamic, 'route_config'),
    },
    {
      '@type': `${ADMIN}SecretsConfigDump`,
      ...list('static_secrets', state.secrets.static, 'secret', true),
      ...list('dynamic_active_secrets', state.secrets.active, 'secret', true),
      ...list('dynamic_warming_secrets', state.secrets.warming, 'secret', true),
    },
  )
  return dumps
}

function everything(dumps: readonly DumpObject[], mask: string): ConfigDumpAnswer {
  if (mask === '') return { status: 200, body: { configs: [...dumps] } }
  const paths = maskPaths(mask)
  const masked = dumps.map(dump => applyMask(dump, paths)).filter(dump => Object.keys(dump).some(key => key !== '@type'))
  if (masked.length === 0) return { status: 400, body: `FieldMask ${mask} could not be successfully applied to any configs.` }
  return { status: 200, body: { configs: masked } }
}

function oneResource(dumps: readonly DumpObject[], resource: string, mask: string): ConfigDumpAnswer {
  const type = ELEMENT_TYPES.get(resource)
  if (type === undefined) {
    // Fields that are there but hold one value: everything a dump prints at its top besides the lists.
    if (resource === 'bootstrap' || resource === 'version_info' || resource === 'last_updated') {
      return { status: 400, body: `${resource} is not a repeated field. Use ?mask=${resource} to get only this field` }
    }
    return { status: 404, body: `${resource} not found in config dump` }
  }
  const elements = dumps.flatMap(dump => (dump[resource] ?? []) as DumpObject[]).map(element => ({ '@type': ADMIN + type, ...element }))
  const shown = mask === '' ? elements : elements.map(element => applyMask(element, maskPaths(mask)))
  return { status: 200, body: shown.length === 0 ? {} : { configs: shown } }
}

function maskPaths(mask: string): string[][] {
  return mask
    .split(',')
    .map(path => path.trim())
    .filter(path => path !== '')
    .map(path => path.split('.'))
}

/** Keeps what the paths name; lists are kept element by element, `@type` always. */
function applyMask(value: DumpObject, paths: readonly (readonly string[])[]): DumpObject {
  const out: DumpObject = {}
  for (const [key, item] of Object.entries(value)) {
    if (key === '@type') {
      out[key] = item
      continue
    }
    const below = paths.filter(path => path[0] === key).map(path => path.slice(1))
    if (below.length === 0) continue
    Object.defineProperty(out, key, { value: maskValue(item, below), enumerable: true, configurable: true, writable: true })
  }
  return out
}

function maskValue(item: DumpObject[string], below: readonly (readonly string[])[]): DumpObject[string] {
  if (below.some(path => path.length === 0)) return item
  if (Array.isArray(item)) return item.map(element => maskValue(element, below))
  if (typeof item === 'object' && item !== null) return applyMask(item as DumpObject, below)
  return item
}

// The admin endpoint's /config_dump, from the raw messages that the config consists of: Envoy's ConfigDump shapes, with ?include_eds,
// ?resource=, ?mask= (field-mask.ts) and ?name_regex=. Called by the sidecar's ConfigDump, which keeps the raw Any of every resource.
// Printing opens every Any and redacts secrets (message-printer.ts); nothing here is on a request's path.

import type { DescMessage, Message } from '@bufbuild/protobuf'
import { RE2JS } from 're2js'
import * as dumps from '../gen/envoy/admin/v3/config_dump_pb.js'
import * as shared from '../gen/envoy/admin/v3/config_dump_shared_pb.js'
import { BootstrapSchema } from '../gen/envoy/config/bootstrap/v3/bootstrap_pb.js'
import { masked, maskedElement, maskPaths } from './field-mask.js'
import { type DumpObject, printAny, printMessage } from './message-printer.js'

/** A resource as it came: the Any's type URL and bytes. */
export interface RawResource {
  readonly typeUrl: string
  readonly value: Uint8Array
}

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
  /** Milliseconds since the epoch; null: the dump does not say. */
  readonly lastUpdatedMs: number | null
  readonly error?: DumpFailure
}

export interface DynamicListenerEntry {
  readonly name: string
  readonly active: DumpEntry | null
  readonly warming: DumpEntry | null
  readonly draining: DumpEntry | null
  readonly error?: DumpFailure
}

/** The scopes of one connection manager. */
export interface ScopesEntry {
  /** Its `scoped_routes.name`. */
  readonly name: string
  readonly versionInfo: string
  readonly scopes: readonly { readonly name: string; readonly resource: RawResource }[]
  readonly lastUpdatedMs: number
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
  /** null where no filter comes over ECDS. */
  readonly extensions: readonly DumpEntry[] | null
  readonly listeners: {
    readonly versionInfo: string
    readonly static: readonly DumpEntry[]
    readonly dynamic: readonly DynamicListenerEntry[]
  }
  readonly scopes: { readonly inline: readonly ScopesEntry[]; readonly dynamic: readonly ScopesEntry[] }
  readonly routes: { readonly static: readonly DumpEntry[]; readonly dynamic: readonly DumpEntry[] }
  /** As the clusters use them now, in Envoy's form: a ClusterLoadAssignment each. */
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
    includeEds: parameters.has('include_eds'),
    resource: parameters.get('resource'),
    mask: parameters.get('mask'),
    nameRegex: parameters.get('name_regex'),
  }
}

const TYPE_PREFIX = 'type.googleapis.com/'
const ADMIN = `${TYPE_PREFIX}envoy.admin.v3.`

/** The dumps in Envoy's order, each with its repeated fields, as `?resource=` names them, and the message of their elements. */
const DUMPS: readonly (readonly [DescMessage, Readonly<Record<string, DescMessage>>])[] = [
  [dumps.BootstrapConfigDumpSchema, {}],
  [
    shared.ClustersConfigDumpSchema,
    {
      static_clusters: shared.ClustersConfigDump_StaticClusterSchema,
      dynamic_active_clusters: shared.ClustersConfigDump_DynamicClusterSchema,
      dynamic_warming_clusters: shared.ClustersConfigDump_DynamicClusterSchema,
    },
  ],
  [
    shared.EndpointsConfigDumpSchema,
    {
      static_endpoint_configs: shared.EndpointsConfigDump_StaticEndpointConfigSchema,
      dynamic_endpoint_configs: shared.EndpointsConfigDump_DynamicEndpointConfigSchema,
    },
  ],
  [shared.EcdsConfigDumpSchema, { ecds_filters: shared.EcdsConfigDump_EcdsFilterConfigSchema }],
  [
    shared.ListenersConfigDumpSchema,
    {
      static_listeners: shared.ListenersConfigDump_StaticListenerSchema,
      dynamic_listeners: shared.ListenersConfigDump_DynamicListenerSchema,
    },
  ],
  [
    shared.ScopedRoutesConfigDumpSchema,
    {
      inline_scoped_route_configs: shared.ScopedRoutesConfigDump_InlineScopedRouteConfigsSchema,
      dynamic_scoped_route_configs: shared.ScopedRoutesConfigDump_DynamicScopedRouteConfigsSchema,
    },
  ],
  [
    shared.RoutesConfigDumpSchema,
    {
      static_route_configs: shared.RoutesConfigDump_StaticRouteConfigSchema,
      dynamic_route_configs: shared.RoutesConfigDump_DynamicRouteConfigSchema,
    },
  ],
  [
    dumps.SecretsConfigDumpSchema,
    {
      static_secrets: dumps.SecretsConfigDump_StaticSecretSchema,
      dynamic_active_secrets: dumps.SecretsConfigDump_DynamicSecretSchema,
      dynamic_warming_secrets: dumps.SecretsConfigDump_DynamicSecretSchema,
    },
  ],
]

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
        body: `INVALID_ARGUMENT: Error while parsing name_regex from ${query.nameRegex}: ${error instanceof Error ? error.message : error}\n`,
      }
    }
  }
  const match = (name: string): boolean => names === null || names.matches(name)
  const printed = allDumps(state, query.includeEds === true, match)
  return query.resource ? oneResource(printed, query.resource, query.mask ?? '') : everything(printed, query.mask ?? '')
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
    ...(entry.resource === null || entry.lastUpdatedMs === null ? {} : { last_updated: time(entry.lastUpdatedMs) }),
    ...(error === undefined ? {} : { error_state: error }),
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
  }
}

function printScopes({ name, versionInfo, scopes, lastUpdatedMs }: ScopesEntry, match: (name: string) => boolean): DumpObject {
  const shown = scopes.filter(scope => match(scope.name)).map(({ resource }) => printResource(resource))
  return {
    name,
    ...(versionInfo === '' ? {} : { version_info: versionInfo }),
    ...(shown.length === 0 ? {} : { scoped_route_configs: shown }),
    last_updated: time(lastUpdatedMs),
  }
}

function allDumps(state: ConfigDumpState, includeEds: boolean, match: (name: string) => boolean): DumpObject[] {
  const list = (field: string, entries: readonly DumpEntry[], key: string, named = false): DumpObject => {
    const shown = entries.filter(entry => match(entry.name)).map(entry => printEntry(entry, key, !field.startsWith('static'), named))
    return shown.length === 0 ? {} : { [field]: shown }
  }
  const version = (versionInfo: string): DumpObject => (versionInfo === '' ? {} : { version_info: versionInfo })
  const listeners = state.listeners.dynamic.filter(entry => match(entry.name)).map(printDynamicListener)
  const scopes = (field: string, entries: readonly ScopesEntry[]): DumpObject =>
    entries.length === 0 ? {} : { [field]: entries.map(entry => printScopes(entry, match)) }
  const all: DumpObject[] = []
  if (state.bootstrap !== null) {
    all.push({
      '@type': `${ADMIN}BootstrapConfigDump`,
      bootstrap: printMessage(BootstrapSchema, state.bootstrap.message),
      last_updated: time(state.bootstrap.lastUpdatedMs),
    })
  }
  all.push({
    '@type': `${ADMIN}ClustersConfigDump`,
    ...version(state.clusters.versionInfo),
    ...list('static_clusters', state.clusters.static, 'cluster'),
    ...list('dynamic_active_clusters', state.clusters.active, 'cluster'),
    ...list('dynamic_warming_clusters', state.clusters.warming, 'cluster'),
  })
  if (includeEds) {
    all.push({
      '@type': `${ADMIN}EndpointsConfigDump`,
      ...list('static_endpoint_configs', state.endpoints.static, 'endpoint_config'),
      ...list('dynamic_endpoint_configs', state.endpoints.dynamic, 'endpoint_config'),
    })
  }
  if (state.extensions !== null) all.push({ '@type': `${ADMIN}EcdsConfigDump`, ...list('ecds_filters', state.extensions, 'ecds_filter') })
  all.push(
    {
      '@type': `${ADMIN}ListenersConfigDump`,
      ...version(state.listeners.versionInfo),
      ...list('static_listeners', state.listeners.static, 'listener'),
      ...(listeners.length === 0 ? {} : { dynamic_listeners: listeners }),
    },
    {
      '@type': `${ADMIN}ScopedRoutesConfigDump`,
      ...scopes('inline_scoped_route_configs', state.scopes.inline),
      ...scopes('dynamic_scoped_route_configs', state.scopes.dynamic),
    },
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
  return all
}

function everything(printed: readonly DumpObject[], mask: string): ConfigDumpAnswer {
  const paths = maskPaths(mask)
  if (paths.length === 0) return { status: 200, body: { configs: [...printed] } }
  const shown = printed.flatMap(dump => masked(descOf(dump), dump, paths) ?? [])
  if (shown.length === 0) return { status: 400, body: `FieldMask ${mask} could not be successfully applied to any configs.` }
  return { status: 200, body: { configs: shown } }
}

function oneResource(printed: readonly DumpObject[], resource: string, mask: string): ConfigDumpAnswer {
  const paths = maskPaths(mask)
  for (const dump of printed) {
    const desc = descOf(dump)
    const element = elementsOf(desc)[resource]
    if (element === undefined) {
      if (!desc.fields.some(({ name }) => name === resource)) continue
      return { status: 400, body: `${resource} is not a repeated field. Use ?mask=${resource} to get only this field` }
    }
    const elements = ((dump[resource] ?? []) as DumpObject[]).map(each => ({ '@type': TYPE_PREFIX + element.typeName, ...each }))
    const shown = paths.length === 0 ? elements : elements.map(each => maskedElement(element, each, paths))
    if (shown.some(each => each === null)) return { status: 400, body: `FieldMask ${mask} could not be successfully used.` }
    return { status: 200, body: shown.length === 0 ? {} : { configs: shown as DumpObject[] } }
  }
  return { status: 404, body: `${resource} not found in config dump` }
}

function descOf(dump: DumpObject): DescMessage {
  return DUMPS.find(([desc]) => TYPE_PREFIX + desc.typeName === dump['@type'])![0]
}

function elementsOf(desc: DescMessage): Readonly<Record<string, DescMessage>> {
  return DUMPS.find(([each]) => each === desc)![1]
}

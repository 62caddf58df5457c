// GET /config_status: one entry a resource, static or over xDS, with what became of it. Read from what the registries hold and from what came
// (tracked-resources.ts); called by the admin. Invariant: bounded; what is wrong comes first, so that it is never what is left out.
//
//   requested ──comes──▶ warming ──what it needs is there──▶ accepted        rejected: the last good version, if there is one, serves on

import type { Bootstrap } from '../model/bootstrap.js'
import type { Server } from '../proxy/server.js'
import { CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE, SECRET_TYPE } from '../xds/type-urls.js'
import type { TrackedResource, TrackedResources } from './tracked-resources.js'

type State = 'accepted' | 'warming' | 'rejected' | 'requested'

interface ResourceStatus {
  readonly type: string
  readonly name: string
  readonly state: State
  /** ISO 8601; absent where nothing has come. */
  readonly since?: string
  readonly version?: string
  /** From the bootstrap, and not over xDS. */
  readonly static?: true
  /** Why it is not in use. */
  readonly why?: string
  /** The version that serves while a newer one is rejected. */
  readonly serving_version?: string
  readonly without_effect?: readonly string[]
}

export interface StatusSources {
  readonly bootstrap: Bootstrap
  readonly server: Server
  readonly tracked: TrackedResources
}

const MAX_RESOURCES = 1000
/** Of the reasons of one rejected resource. */
const MAX_REASON = 2000
const URGENCY: readonly State[] = ['rejected', 'warming', 'requested', 'accepted']

export function configStatus(sources: StatusSources, query: URLSearchParams): object {
  const all = [...staticStatuses(sources), ...dynamicStatuses(sources), ...requestedStatuses(sources)]
  const wanted = all.filter(status => ['type', 'name', 'state'].every(key => matches(status, key as 'type', query.get(key))))
  const shown = wanted.sort((a, b) => URGENCY.indexOf(a.state) - URGENCY.indexOf(b.state)).slice(0, MAX_RESOURCES)
  const counts = Object.fromEntries(URGENCY.map(state => [state, all.filter(status => status.state === state).length]))
  return {
    counts,
    bootstrap_without_effect: sources.bootstrap.unsupported,
    resources: shown,
    ...(wanted.length > shown.length ? { left_out: wanted.length - shown.length } : {}),
  }
}

function matches(status: ResourceStatus, key: 'type' | 'name' | 'state', value: string | null): boolean {
  return value === null || value === '' || status[key].toLowerCase() === value.toLowerCase()
}

/** Why a resource that was taken does not serve yet; by type and name. */
function warming({ server }: StatusSources): Map<string, string> {
  const reasons = new Map<string, string>()
  for (const name of server.clusters.names()) {
    const cluster = server.clusters.warming(name)
    if (cluster === undefined) continue
    const { missingSecrets } = cluster
    if (missingSecrets.length > 0) {
      reasons.set(`${CLUSTER_TYPE} ${name}`, `waits for ${missingSecrets.map(secret => `secret ${secret}`).join(', ')}`)
      continue
    }
    const { discovery } = cluster.config
    const what = discovery.kind === 'eds' ? `the endpoints of ${discovery.serviceName || name}` : 'its endpoints'
    reasons.set(`${CLUSTER_TYPE} ${name}`, `waits for ${what}, or for their first health checks`)
  }
  for (const { name, waitsFor } of server.listeners.warmingReasons)
    reasons.set(
      `${LISTENER_TYPE} ${name}`,
      waitsFor.length === 0 ? 'waits for the clusters of the start' : `waits for ${waitsFor.join(', ')}`,
    )
  return reasons
}

function* staticStatuses(sources: StatusSources): Generator<ResourceStatus> {
  const { bootstrap, server } = sources
  const reasons = warming(sources)
  const since = new Date(server.startedAt).toISOString()
  const status = (typeUrl: string, name: string, unsupported: readonly string[]): ResourceStatus => {
    const why = reasons.get(`${typeUrl} ${name}`)
    return {
      type: shortType(typeUrl),
      name,
      state: why === undefined ? 'accepted' : 'warming',
      since,
      static: true,
      ...(why === undefined ? {} : { why }),
      ...withoutEffect(unsupported),
    }
  }
  for (const { name, unsupported } of bootstrap.listeners) yield status(LISTENER_TYPE, name, unsupported)
  for (const { name, unsupported } of bootstrap.clusters) yield status(CLUSTER_TYPE, name, unsupported)
  for (const { name } of bootstrap.secrets) yield status(SECRET_TYPE, name, [])
}

function* dynamicStatuses(sources: StatusSources): Generator<ResourceStatus> {
  const { tracked } = sources
  const reasons = warming(sources)
  for (const typeUrl of tracked.typeUrls()) {
    for (const resource of tracked.of(typeUrl)) yield dynamicStatus(typeUrl, resource, reasons.get(`${typeUrl} ${resource.name}`), tracked)
  }
}

function dynamicStatus(typeUrl: string, resource: TrackedResource, waits: string | undefined, tracked: TrackedResources): ResourceStatus {
  const { name, accepted, refused } = resource
  const type = shortType(typeUrl)
  if (refused !== null) {
    const why = refused.errors.map(({ path, reason }) => (path === '' ? reason : `${path}: ${reason}`)).join('; ')
    return {
      type,
      name,
      state: 'rejected',
      since: refused.at.toISOString(),
      version: refused.resource.version,
      why: why.slice(0, MAX_REASON),
      ...(accepted === null ? {} : { serving_version: accepted.resource.version }),
    }
  }
  return {
    type,
    name,
    state: waits === undefined ? 'accepted' : 'warming',
    ...(accepted === null ? {} : { since: accepted.at.toISOString(), version: accepted.resource.version }),
    ...(waits === undefined ? {} : { why: waits }),
    ...withoutEffect(accepted === null ? [] : tracked.withoutEffect(accepted.resource)),
  }
}

/** Asked for by name, and not here. */
function* requestedStatuses({ server, tracked }: StatusSources): Generator<ResourceStatus> {
  const wanted: readonly (readonly [string, readonly string[]])[] = [
    [ENDPOINT_TYPE, server.clusters.edsSubscriptions().map(({ serviceName }) => serviceName)],
    [ROUTE_TYPE, server.routes.subscriptions().map(({ name }) => name)],
    [SECRET_TYPE, server.secrets.wanted().map(({ name }) => name)],
  ]
  for (const [typeUrl, names] of wanted) {
    const known = new Set(tracked.of(typeUrl).map(({ name }) => name))
    for (const name of new Set(names)) {
      if (!known.has(name)) yield { type: shortType(typeUrl), name, state: 'requested', why: 'asked for, and not sent yet' }
    }
  }
}

function withoutEffect(fields: readonly string[]): Pick<ResourceStatus, 'without_effect'> {
  return fields.length === 0 ? {} : { without_effect: fields }
}

function shortType(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf('.') + 1)
}

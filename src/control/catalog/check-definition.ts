// Consul's check definition (of a service, or registered by itself) as a validated value in canonical form. Called by
// service-definition.ts, the HTTP API and the mesh file; the result is run by health-checks.ts.
import { parseDuration } from '../config-entries/duration.js'
import { FieldReader, isObject } from '../config-entries/field-reader.js'
import type { ConfigError } from '../config-entries/types.js'

export const MAX_CHECKS_PER_SERVICE = 64

export type HealthStatus = 'passing' | 'warning' | 'critical'

export interface CheckDefinition {
  readonly CheckID: string
  readonly Name: string
  readonly Notes: string
  /** '' for a check of the node, which counts for every instance. */
  readonly ServiceID: string
  /** `maintenance`: critical for as long as it exists; made by the maintenance endpoints alone. */
  readonly Type: 'http' | 'tcp' | 'ttl' | 'alias' | 'maintenance'
  readonly InitialStatus: HealthStatus
  readonly intervalMs: number
  readonly timeoutMs: number
  readonly ttlMs: number
  readonly HTTP: string
  readonly Method: string
  readonly Header: Readonly<Record<string, readonly string[]>>
  readonly Body: string
  readonly TLSSkipVerify: boolean
  readonly DisableRedirects: boolean
  readonly TCP: string
  readonly AliasService: string
  readonly SuccessBeforePassing: number
  readonly FailuresBeforeWarning: number
  readonly FailuresBeforeCritical: number
  /** 0: never. */
  readonly deregisterAfterMs: number
}

const DEFAULT_CHECK_INTERVAL_MS = 10_000
const DEFAULT_CHECK_TIMEOUT_MS = 10_000
/** Consul's floor for DeregisterCriticalServiceAfter. */
const MIN_DEREGISTER_AFTER_MS = 60_000
/** What a Node timer can hold. */
const MAX_DURATION_MS = 2_147_483_647
const METHOD = /^[A-Z]{1,20}$/

export function readChecks(
  fields: FieldReader,
  readers: FieldReader[],
  instance: { readonly ID: string; readonly Service: string },
): CheckDefinition[] {
  const single = fields.object('Check')
  const all = [...(single === undefined ? [] : [single]), ...fields.objects('Checks', MAX_CHECKS_PER_SERVICE)]
  const ids = new Set<string>()
  return all.map((check, i) => {
    const fallback = all.length === 1 ? `service:${instance.ID}` : `service:${instance.ID}:${i + 1}`
    const definition = readCheck(check, readers, instance.ID, fallback, `Service '${instance.Service}' check`)
    if (ids.has(definition.CheckID)) check.fail('CheckID', `"${definition.CheckID}" is used twice`)
    ids.add(definition.CheckID)
    return definition
  })
}

/** A check registered by itself (`PUT /v1/agent/check/register`). */
export function parseCheckDefinition(
  value: unknown,
): { readonly ok: true; readonly value: CheckDefinition } | { readonly ok: false; readonly errors: readonly ConfigError[] } {
  if (!isObject(value)) return { ok: false, errors: [{ path: '', reason: 'must be an object' }] }
  const errors: ConfigError[] = []
  const fields = new FieldReader(value, '', errors)
  const name = fields.string('Name')
  const serviceId = fields.string('ServiceID')
  if (name === '') fields.fail('Name', 'missing')
  if (serviceId === '') fields.fail('ServiceID', 'missing (checks of the node itself are not supported)')
  const check = readCheck(fields, [], serviceId, fields.string('ID') || fields.string('CheckID') || name, name)
  return errors.length === 0 ? { ok: true, value: check } : { ok: false, errors }
}

function readCheck(
  fields: FieldReader,
  readers: FieldReader[],
  serviceId: string,
  fallbackId: string,
  fallbackName: string,
): CheckDefinition {
  readers.push(fields)
  for (const name of ['Args', 'ScriptArgs', 'DockerContainerID', 'UDP', 'OSService', 'H2PING', 'GRPC'])
    if (fields.has(name)) fields.fail(name, 'checks of this kind are not run here (only HTTP, TCP, TTL and AliasService)')
  fields.ignore('Args', 'ScriptArgs', 'Shell', 'DockerContainerID', 'UDP', 'OSService', 'H2PING', 'H2PingUseTLS', 'GRPC', 'GRPCUseTLS')
  fields.ignore('Namespace', 'Partition', 'ExposedPort', 'OutputMaxSize', 'TLSServerName', 'TCPUseTLS', 'AliasNode', 'ServiceID', 'ID')
  if (fields.boolean('TCPUseTLS')) fields.fail('TCPUseTLS', 'is not supported')
  const http = fields.string('HTTP')
  const tcp = fields.string('TCP')
  const ttlMs = readDuration(fields, 'TTL', 0)
  const alias = fields.string('AliasService')
  const kinds = [http !== '' && 'http', tcp !== '' && 'tcp', ttlMs > 0 && 'ttl', alias !== '' && 'alias'].filter(kind => kind !== false)
  if (kinds.length !== 1) fields.fail('', 'exactly one of HTTP, TCP, TTL and AliasService must be set')
  if (http !== '' && !isHttpUrl(http)) fields.fail('HTTP', 'must be an http or https URL')
  if (tcp !== '' && !/:\d{1,5}$/.test(tcp)) fields.fail('TCP', 'must be host:port')
  const method = fields.string('Method', 'GET') || 'GET'
  if (!METHOD.test(method)) fields.fail('Method', 'is not an HTTP method')
  const status = fields.string('Status') || 'critical'
  if (status !== 'passing' && status !== 'warning' && status !== 'critical') fields.fail('Status', 'must be passing, warning or critical')
  const intervalMs = readDuration(fields, 'Interval', DEFAULT_CHECK_INTERVAL_MS)
  if (fields.has('Interval') && intervalMs < 1) fields.fail('Interval', 'must be greater than 0')
  const deregister = readDuration(fields, 'DeregisterCriticalServiceAfter', 0)
  const critical = fields.integer('FailuresBeforeCritical', 0, 1_000_000, 0)
  return {
    CheckID: fields.string('CheckID') || fields.string('ID') || fallbackId,
    Name: fields.string('Name') || fallbackName,
    Notes: fields.string('Notes'),
    ServiceID: serviceId,
    Type: (kinds[0] as CheckDefinition['Type'] | undefined) ?? 'ttl',
    InitialStatus: status as HealthStatus,
    intervalMs: Math.max(intervalMs, 1),
    timeoutMs: readDuration(fields, 'Timeout', Math.min(DEFAULT_CHECK_TIMEOUT_MS, Math.max(intervalMs, 1_000))),
    ttlMs,
    HTTP: http,
    Method: method,
    Header: fields.stringListMap('Header'),
    Body: fields.string('Body'),
    TLSSkipVerify: fields.boolean('TLSSkipVerify'),
    DisableRedirects: fields.boolean('DisableRedirects'),
    TCP: tcp,
    AliasService: alias,
    SuccessBeforePassing: fields.integer('SuccessBeforePassing', 0, 1_000_000, 0),
    FailuresBeforeCritical: critical,
    FailuresBeforeWarning: fields.integer('FailuresBeforeWarning', 0, 1_000_000, critical),
    deregisterAfterMs: deregister === 0 ? 0 : Math.max(deregister, MIN_DEREGISTER_AFTER_MS),
  }
}

function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)
}

function readDuration(fields: FieldReader, name: string, fallback: number): number {
  const text = fields.string(name)
  if (text === '') return fallback
  // A bare number is a count of nanoseconds, as Go's time.Duration in JSON.
  const ms = (/^\d+$/.test(text) ? Number(text) : (parseDuration(text) ?? Number.NaN)) / 1e6
  if (!Number.isFinite(ms) || ms < 0 || ms > MAX_DURATION_MS) {
    fields.fail(name, 'must be a duration such as 10s, of at most 24 days')
    return fallback
  }
  return ms
}

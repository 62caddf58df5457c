// Consul's check definition (of a service, or registered by itself) as a validated value in canonical form. Called by
// service-definition.ts, the HTTP API and the mesh file; the result is run by health-checks.ts.
import { parseDuration } from '../config-entries/duration.js'
import { FieldReader, isObject } from '../config-entries/field-reader.js'
import type { ConfigError } from '../config-entries/types.js'

export const MAX_CHECKS_PER_SERVICE = 64

export type HealthStatus = 'passing' | 'warning' | 'critical'

/** May it have requests? A warning is no reason against it, unless only what passes is wanted. */
export const isWell = (status: HealthStatus, onlyPassing = false): boolean => (onlyPassing ? status === 'passing' : status !== 'critical')

export type CheckType = 'http' | 'tcp' | 'udp' | 'grpc' | 'h2ping' | 'script' | 'ttl' | 'alias' | 'maintenance' | 'registered'

export interface CheckDefinition {
  readonly CheckID: string
  readonly Name: string
  readonly Notes: string
  /** '' for a check of the node, which counts for every instance. */
  readonly ServiceID: string
  /**
   * `maintenance`: critical for as long as it exists; made by the maintenance endpoints alone. `registered`: with the catalog, by who watches
   * it elsewhere.
   */
  readonly Type: CheckType
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
  /** Longest output that is kept. */
  readonly OutputMaxSize: number
  readonly TLSServerName: string
  readonly TCP: string
  readonly TCPUseTLS: boolean
  readonly UDP: string
  /** `host:port`, or `host:port/service`. */
  readonly GRPC: string
  readonly GRPCUseTLS: boolean
  readonly H2PING: string
  readonly H2PingUseTLS: boolean
  /** Command and arguments of a script. */
  readonly Args: readonly string[]
  readonly AliasService: string
  readonly AliasNode: string
  readonly SuccessBeforePassing: number
  readonly FailuresBeforeWarning: number
  readonly FailuresBeforeCritical: number
  /** 0: never. */
  readonly deregisterAfterMs: number
}

/** They are run; the others wait for news. */
const RUN_BY_INTERVAL: ReadonlySet<CheckType> = new Set<CheckType>(['http', 'tcp', 'udp', 'grpc', 'h2ping', 'script'])
/** Longest output that is kept of one run, unless a check says less. */
export const MAX_CHECK_OUTPUT_CHARS = 4_096
const DEFAULT_CHECK_INTERVAL_MS = 10_000
const DEFAULT_CHECK_TIMEOUT_MS = 10_000
/** Consul's floor for DeregisterCriticalServiceAfter. */
const MIN_DEREGISTER_AFTER_MS = 60_000
/** What a Node timer can hold. */
const MAX_DURATION_MS = 2_147_483_647
export const MAX_CHECK_ID_CHARS = 512
/** It would tear the keys of the store. */
export const CONTROL = /[\x00-\x1f\x7f]/
const METHOD = /^[A-Z]{1,20}$/
export const HOST_PORT = /^(?:\[[0-9A-Fa-f:.]+\]|[^\s:/]*):\d{1,5}$/

/** What a check says that says nothing more: the base of every definition, and of those that an older version has stored. */
export const PLAIN_CHECK: Omit<CheckDefinition, 'CheckID' | 'Name' | 'ServiceID' | 'Type'> = {
  Notes: '',
  InitialStatus: 'critical',
  intervalMs: DEFAULT_CHECK_INTERVAL_MS,
  timeoutMs: DEFAULT_CHECK_TIMEOUT_MS,
  ttlMs: 0,
  HTTP: '',
  Method: 'GET',
  Header: {},
  Body: '',
  TLSSkipVerify: false,
  DisableRedirects: false,
  OutputMaxSize: MAX_CHECK_OUTPUT_CHARS,
  TLSServerName: '',
  TCP: '',
  TCPUseTLS: false,
  UDP: '',
  GRPC: '',
  GRPCUseTLS: false,
  H2PING: '',
  H2PingUseTLS: true,
  Args: [],
  AliasService: '',
  AliasNode: '',
  SuccessBeforePassing: 0,
  FailuresBeforeWarning: 0,
  FailuresBeforeCritical: 0,
  deregisterAfterMs: 0,
}

export interface CheckOptions {
  /** Script checks may be registered: by files of this machine, with --enable-local-script-checks. */
  readonly scripts: boolean
}

/** Consul's checks of a sidecar whose registration names none: it listens where callers reach it, and its service is well. */
export function sidecarChecks(
  sidecar: { readonly ID: string; readonly Address: string; readonly Port: number },
  { ID: serviceId, Address: serviceAddress }: { readonly ID: string; readonly Address: string },
): CheckDefinition[] {
  const isAny = (address: string): boolean => address === '' || address === '0.0.0.0' || address === '::'
  const host = [sidecar.Address, serviceAddress].find(address => !isAny(address)) ?? '127.0.0.1'
  const of = { ...PLAIN_CHECK, ServiceID: sidecar.ID }
  return [
    {
      ...of,
      CheckID: `service:${sidecar.ID}:1`,
      Name: SIDECAR_LISTENING,
      Type: 'tcp',
      TCP: host.includes(':') ? `[${host}]:${sidecar.Port}` : `${host}:${sidecar.Port}`,
    },
    { ...of, CheckID: `service:${sidecar.ID}:2`, Name: `Connect Sidecar Aliasing ${serviceId}`, Type: 'alias', AliasService: serviceId },
  ]
}

export const SIDECAR_LISTENING = 'Connect Sidecar Listening'

export function readChecks(
  fields: FieldReader,
  readers: FieldReader[],
  instance: { readonly ID: string; readonly Service: string },
  options: CheckOptions,
): CheckDefinition[] {
  const single = fields.object('Check')
  const all = [...(single === undefined ? [] : [single]), ...fields.objects('Checks', MAX_CHECKS_PER_SERVICE)]
  const ids = new Set<string>()
  return all.map((check, i) => {
    const fallback = all.length === 1 ? `service:${instance.ID}` : `service:${instance.ID}:${i + 1}`
    const definition = readCheck(check, readers, instance.ID, fallback, `Service '${instance.Service}' check`, options)
    if (ids.has(definition.CheckID)) check.fail('CheckID', `"${definition.CheckID}" is used twice`)
    ids.add(definition.CheckID)
    return definition
  })
}

/** A check registered by itself (`PUT /v1/agent/check/register`). */
export function parseCheckDefinition(
  value: unknown,
  options: CheckOptions = { scripts: false },
): { readonly ok: true; readonly value: CheckDefinition } | { readonly ok: false; readonly errors: readonly ConfigError[] } {
  if (!isObject(value)) return { ok: false, errors: [{ path: '', reason: 'must be an object' }] }
  const errors: ConfigError[] = []
  const fields = new FieldReader(value, '', errors)
  const name = fields.string('Name')
  const serviceId = fields.string('ServiceID')
  if (name === '') fields.fail('Name', 'missing')
  // Without a service it is a check of the node, which counts for every instance.
  const check = readCheck(fields, [], serviceId, fields.string('ID') || fields.string('CheckID') || name, name, options)
  return errors.length === 0 ? { ok: true, value: check } : { ok: false, errors }
}

function readCheck(
  fields: FieldReader,
  readers: FieldReader[],
  serviceId: string,
  fallbackId: string,
  fallbackName: string,
  options: CheckOptions,
): CheckDefinition {
  readers.push(fields)
  fields.ignore('Namespace', 'Partition', 'ServiceID', 'ID')
  for (const name of ['DockerContainerID', 'OSService'])
    if (fields.string(name) !== '') fields.fail(name, 'checks of this kind are not run here')
  if (fields.has('Shell') && fields.string('Shell') !== '')
    fields.fail('Shell', 'goes with Docker checks, which are not run here; name it in Args')
  if (fields.has('Script')) fields.fail('Script', 'is no field any more (Args)')
  const args = fields.has('ScriptArgs') ? fields.strings('ScriptArgs') : fields.strings('Args')
  if (args.length > 0 && !options.scripts)
    fields.fail('Args', 'Scripts are disabled on this agent; they run from local files with --enable-local-script-checks')
  const target = { HTTP: fields.string('HTTP'), TCP: fields.string('TCP'), UDP: fields.string('UDP'), GRPC: fields.string('GRPC') }
  const h2Ping = fields.string('H2PING')
  const ttlMs = readDuration(fields, 'TTL', 0)
  const alias = { service: fields.string('AliasService'), node: fields.string('AliasNode') }
  const given: [CheckType, boolean][] = [
    ['http', target.HTTP !== ''],
    ['tcp', target.TCP !== ''],
    ['udp', target.UDP !== ''],
    ['grpc', target.GRPC !== ''],
    ['h2ping', h2Ping !== ''],
    ['script', args.length > 0],
    ['ttl', ttlMs > 0],
    ['alias', alias.service !== '' || alias.node !== ''],
  ]
  const types = given.filter(([, there]) => there).map(([type]) => type)
  if (types.length === 0) fields.fail('', 'TTL must be > 0 for TTL checks, and nothing says that it is another')
  if (types.length > 1) fields.fail('', 'exactly one of HTTP, TCP, UDP, GRPC, H2PING, Args, TTL, AliasService and AliasNode must be set')
  if (target.HTTP !== '' && !isHttpUrl(target.HTTP)) fields.fail('HTTP', 'must be an http or https URL')
  for (const [name, text] of [
    ['TCP', target.TCP],
    ['UDP', target.UDP],
    ['GRPC', target.GRPC.split('/')[0]!],
    ['H2PING', h2Ping],
  ] as const)
    if (text !== '' && !HOST_PORT.test(text)) fields.fail(name, 'must be host:port')
  const method = fields.string('Method', 'GET') || 'GET'
  if (!METHOD.test(method)) fields.fail('Method', 'is not an HTTP method')
  const status = fields.string('Status') || 'critical'
  if (status !== 'passing' && status !== 'warning' && status !== 'critical') fields.fail('Status', 'must be passing, warning or critical')
  const givenIntervalMs = readDuration(fields, 'Interval', 0)
  if (givenIntervalMs > 0 && ttlMs > 0) fields.fail('', 'Interval and TTL cannot both be specified')
  else if (givenIntervalMs === 0 && types.some(type => RUN_BY_INTERVAL.has(type)))
    fields.fail('', 'Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks')
  const deregister = readDuration(fields, 'DeregisterCriticalServiceAfter', 0)
  const critical = fields.integer('FailuresBeforeCritical', 0, 1_000_000, 0)
  const warning = fields.integer('FailuresBeforeWarning', 0, 1_000_000, 0)
  if (warning > critical) fields.fail('', "FailuresBeforeWarning can't be higher than FailuresBeforeCritical")
  const id = fields.string('CheckID') || fields.string('ID') || fallbackId
  if (CONTROL.test(id) || id.length > MAX_CHECK_ID_CHARS)
    fields.fail('CheckID', `must be at most ${MAX_CHECK_ID_CHARS} characters, without control characters`)
  return {
    CheckID: id,
    Name: fields.string('Name') || fallbackName,
    Notes: fields.string('Notes'),
    ServiceID: serviceId,
    Type: types[0] ?? 'ttl',
    InitialStatus: status as HealthStatus,
    intervalMs: Math.max(givenIntervalMs, 1),
    timeoutMs: readDuration(fields, 'Timeout', 0) || DEFAULT_CHECK_TIMEOUT_MS,
    ttlMs,
    ...target,
    Method: method,
    Header: fields.stringListMap('Header'),
    Body: fields.string('Body'),
    TLSSkipVerify: fields.boolean('TLSSkipVerify'),
    DisableRedirects: fields.boolean('DisableRedirects'),
    OutputMaxSize: fields.integer('OutputMaxSize', 0, MAX_CHECK_OUTPUT_CHARS, 0) || MAX_CHECK_OUTPUT_CHARS,
    TLSServerName: fields.string('TLSServerName'),
    TCPUseTLS: fields.boolean('TCPUseTLS'),
    GRPCUseTLS: fields.boolean('GRPCUseTLS'),
    H2PING: h2Ping,
    H2PingUseTLS: fields.boolean('H2PingUseTLS', true),
    Args: args,
    AliasService: alias.service,
    AliasNode: alias.node,
    SuccessBeforePassing: fields.integer('SuccessBeforePassing', 0, 1_000_000, 0),
    FailuresBeforeCritical: critical,
    FailuresBeforeWarning: warning || critical,
    deregisterAfterMs: deregister === 0 ? 0 : Math.max(deregister, MIN_DEREGISTER_AFTER_MS),
  }
}

export function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)
}

export function readDuration(fields: FieldReader, name: string, fallback: number): number {
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

// Reads a rollout as its author wrote it (any of Consul's spellings of a field) and gives it in canonical form, or every problem with its
// path. Called by the HTTP API. What needs other entries (subsets, the service's protocol) is judged by rollout-engine.ts.
import { RE2JS } from 're2js'
import { formatDuration, parseDuration } from '../config-entries/duration.js'
import { FieldReader, isObject } from '../config-entries/field-reader.js'
import { nameRules } from '../config-entries/rules-common.js'
import type { ConfigError, Duration } from '../config-entries/types.js'
import type { Analysis, Cohort, PrometheusQuery, Rollout, RolloutStep, Webhook } from './rollout-types.js'

const MAX_STEPS = 50
const MAX_COHORTS = 16
const MAX_QUERIES = 8
const MAX_WEBHOOKS = 16
const MAX_LIMIT = 1_000
const MAX_REQUESTS = 1_000_000_000
const SECOND_NS = 1e9
const HOUR_NS = 3_600e9
/** A week. */
const MAX_PAUSE_NS = 168 * HOUR_NS
const MAX_TIMEOUT_NS = 60e9
const DEFAULT_INTERVAL_NS = 30e9
const DEFAULT_MIN_REQUESTS = 20
const DEFAULT_FAILURE_LIMIT = 1
const DEFAULT_HOLD_LIMIT = 2
const DEFAULT_WEBHOOK_TIMEOUT_NS = 10e9
const DEFAULT_ACCEPT_TIMEOUT_NS = 30e9
/** Steps of 0.01, as a splitter's weights have them. */
const WEIGHT_SCALE = 100

type Parsed = { readonly rollout: Rollout } | { readonly errors: readonly ConfigError[] }

export function parseRollout(raw: unknown, name: string): Parsed {
  if (!isObject(raw)) return { errors: [{ path: '', reason: 'must be an object' }] }
  const errors: ConfigError[] = []
  const fields = new FieldReader(raw, '', errors)
  fields.ignore('CreateIndex', 'ModifyIndex')
  const kind = fields.string('Kind', 'rollout')
  if (kind !== 'rollout') fields.fail('Kind', `must be rollout, not ${JSON.stringify(kind)}`)
  const Name = fields.string('Name', name)
  if (Name !== name) fields.fail('Name', `must be ${JSON.stringify(name)}, as in the path`)
  const report = (path: string, reason: string): void => fields.fail(path, reason)
  nameRules('Name', Name, report)
  const Service = fields.string('Service')
  nameRules('Service', Service, report)
  const [From, To] = [subset(fields, 'From'), subset(fields, 'To')]
  if (From !== '' && From === To) fields.fail('To', 'must be another subset than From')
  const mirror = fields.object('Mirror')
  const blueGreen = fields.object('BlueGreen')
  const analysis = fields.object('Analysis')
  const rollout: Rollout = {
    Kind: 'rollout',
    Name,
    Service,
    From,
    To,
    ...(mirror && { Mirror: parseMirror(mirror) }),
    Cohorts: fields.objects('Cohorts', MAX_COHORTS).map(parseCohort),
    Steps: parseSteps(fields),
    ...(blueGreen && { BlueGreen: parseBlueGreen(blueGreen) }),
    ...(analysis && { Analysis: parseAnalysis(analysis) }),
    Webhooks: fields.objects('Webhooks', MAX_WEBHOOKS).map(parseWebhook),
    AcceptTimeout: duration(fields, 'AcceptTimeout', SECOND_NS, HOUR_NS, DEFAULT_ACCEPT_TIMEOUT_NS),
  }
  if (rollout.BlueGreen !== undefined && rollout.Steps.length > 0)
    fields.fail('Steps', 'cannot be set with BlueGreen, which has two of its own')
  if (rollout.BlueGreen === undefined && rollout.Steps.length === 0 && !fields.has('Steps'))
    fields.fail('Steps', 'is required (or BlueGreen)')
  fields.refuseUnknown()
  return errors.length > 0 ? { errors } : { rollout }
}

function subset(fields: FieldReader, name: 'From' | 'To'): string {
  const value = fields.string(name)
  if (value === '') fields.fail(name, 'is required: a subset of the service-resolver of Service')
  return value
}

function parseMirror(fields: FieldReader): NonNullable<Rollout['Mirror']> {
  const Percent = number(fields, 'Percent', 0.01, 100) ?? missing(fields, 'Percent')
  const Duration = duration(fields, 'Duration', SECOND_NS, MAX_PAUSE_NS, undefined)
  fields.refuseUnknown()
  return { Percent, Duration }
}

function parseCohort(fields: FieldReader): Cohort {
  const [Header, Cookie, Exact, Prefix, Regex] = ['Header', 'Cookie', 'Exact', 'Prefix', 'Regex'].map(name => fields.string(name))
  const Present = fields.boolean('Present')
  if ((Header === '') === (Cookie === '')) fields.fail('', 'needs one of Header and Cookie')
  const matchers = [Exact !== '', Prefix !== '', Regex !== '', Present].filter(Boolean).length
  if (matchers !== 1) fields.fail('', `needs exactly one of ${Cookie === '' ? 'Exact, Prefix, Regex and Present' : 'Exact'}`)
  else if (Cookie !== '' && Exact === '') fields.fail('', 'of a cookie, only Exact can be asked')
  if (Regex !== '') {
    try {
      RE2JS.compile(Regex!)
    } catch (error) {
      fields.fail('Regex', `is not an RE2 expression: ${(error as Error).message}`)
    }
  }
  const named = Header || Cookie
  if (named && !/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(named))
    fields.fail(Header ? 'Header' : 'Cookie', 'is not a name of a header or cookie')
  fields.refuseUnknown()
  return {
    ...(Header ? { Header } : {}),
    ...(Cookie ? { Cookie } : {}),
    ...(Exact ? { Exact } : {}),
    ...(Prefix ? { Prefix } : {}),
    ...(Regex ? { Regex } : {}),
    ...(Present ? { Present } : {}),
  }
}

function parseSteps(fields: FieldReader): RolloutStep[] {
  let last = 0
  return fields.objects('Steps', MAX_STEPS).map((step): RolloutStep => {
    const Weight = number(step, 'Weight', 0, 100) ?? missing(step, 'Weight')
    if (Weight >= 0 && Weight < last) step.fail('Weight', `must not be less than that of the step before (${last})`)
    last = Weight
    const Pause = step.has('Pause') ? duration(step, 'Pause', 0, MAX_PAUSE_NS, 0) : undefined
    const Gate = gate(step)
    step.refuseUnknown()
    return { Weight, ...(Pause === undefined ? {} : { Pause }), ...(Gate && { Gate }) }
  })
}

function gate(fields: FieldReader): 'manual' | undefined {
  const value = fields.string('Gate')
  if (value !== '' && value !== 'manual') fields.fail('Gate', `must be manual, not ${JSON.stringify(value)}`)
  return value === 'manual' ? value : undefined
}

function parseBlueGreen(fields: FieldReader): NonNullable<Rollout['BlueGreen']> {
  const Gate = gate(fields)
  const value = {
    Preview: duration(fields, 'Preview', 0, MAX_PAUSE_NS, 0),
    ...(Gate && { Gate }),
    Observe: duration(fields, 'Observe', 0, MAX_PAUSE_NS, 0),
  }
  fields.refuseUnknown()
  return value
}

function parseAnalysis(fields: FieldReader): Analysis {
  const SuccessRate = number(fields, 'SuccessRate', 1, 100, 'a percentage from 1 to 100 (99, not 0.99)')
  const P99 = fields.has('P99') ? duration(fields, 'P99', 1e6, HOUR_NS, undefined) : undefined
  const prometheus = fields.object('Prometheus')
  const value: Analysis = {
    Interval: duration(fields, 'Interval', SECOND_NS, HOUR_NS, DEFAULT_INTERVAL_NS),
    MinRequests: fields.integer('MinRequests', 0, MAX_REQUESTS, DEFAULT_MIN_REQUESTS),
    ...(SuccessRate === undefined ? {} : { SuccessRate }),
    ...(P99 === undefined ? {} : { P99 }),
    FailureLimit: fields.integer('FailureLimit', 1, MAX_LIMIT, DEFAULT_FAILURE_LIMIT),
    HoldLimit: fields.integer('HoldLimit', 1, MAX_LIMIT, DEFAULT_HOLD_LIMIT),
    ...(prometheus && { Prometheus: parsePrometheus(prometheus) }),
  }
  if (SuccessRate === undefined && P99 === undefined && prometheus === undefined)
    fields.fail('', 'needs at least one of SuccessRate, P99 and Prometheus')
  fields.refuseUnknown()
  return value
}

function parsePrometheus(fields: FieldReader): NonNullable<Analysis['Prometheus']> {
  const URL = url(fields)
  const Queries = fields.objects('Queries', MAX_QUERIES).map((query, i): PrometheusQuery => {
    const [Min, Max] = [anyNumber(query, 'Min'), anyNumber(query, 'Max')]
    if (Min === undefined && Max === undefined) query.fail('', 'needs Min or Max')
    const Query = query.string('Query')
    if (Query === '') query.fail('Query', 'is required')
    const Name = query.string('Name', `query ${i + 1}`)
    query.refuseUnknown()
    return { Name, Query, ...(Min === undefined ? {} : { Min }), ...(Max === undefined ? {} : { Max }) }
  })
  if (Queries.length === 0) fields.fail('Queries', 'is required')
  fields.refuseUnknown()
  return { URL, Queries }
}

function parseWebhook(fields: FieldReader): Webhook {
  const When = fields.string('When')
  if (When !== 'before' && When !== 'during' && When !== 'after') fields.fail('When', 'must be before, during or after')
  const Name = fields.string('Name')
  if (Name === '') fields.fail('Name', 'is required')
  const value = {
    Name,
    When: When as Webhook['When'],
    URL: url(fields),
    Timeout: duration(fields, 'Timeout', 0.1e9, MAX_TIMEOUT_NS, DEFAULT_WEBHOOK_TIMEOUT_NS),
  }
  fields.refuseUnknown()
  return value
}

function url(fields: FieldReader): string {
  const text = fields.string('URL')
  const parsed = URL.canParse(text) ? new URL(text) : undefined
  if (parsed === undefined || (parsed.protocol !== 'http:' && parsed.protocol !== 'https:'))
    fields.fail('URL', 'must be an http or https URL')
  else if (parsed.username !== '' || parsed.password !== '')
    fields.fail('URL', 'must not hold a user or a password: whoever reads the rollout would read them')
  return text
}

/** In canonical form. Without a fallback it is required. */
function duration(fields: FieldReader, name: string, min: number, max: number, fallback: number | undefined): Duration {
  const value = fields.json(name)
  const ns =
    value === undefined ? fallback : typeof value === 'number' ? value : typeof value === 'string' ? parseDuration(value) : undefined
  if (ns !== undefined && Number.isSafeInteger(ns) && ns >= min && ns <= max) return formatDuration(ns)
  fields.fail(name, value === undefined ? 'is required' : `must be a duration from ${formatDuration(min)} to ${formatDuration(max)}`)
  return '0s'
}

function number(fields: FieldReader, name: string, min: number, max: number, what = `from ${min} to ${max}`): number | undefined {
  const value = anyNumber(fields, name)
  if (value === undefined) return undefined
  if (value < min || value > max) fields.fail(name, `must be ${what}, not ${value}`)
  return Math.round(value * WEIGHT_SCALE) / WEIGHT_SCALE
}

function anyNumber(fields: FieldReader, name: string): number | undefined {
  const value = fields.json(name)
  if (value === undefined) return undefined
  const number = typeof value === 'string' && /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value
  if (typeof number === 'number' && Number.isFinite(number)) return number
  fields.fail(name, 'must be a number')
  return undefined
}

function missing(fields: FieldReader, name: string): number {
  if (!fields.has(name)) fields.fail(name, 'is required')
  return 0
}

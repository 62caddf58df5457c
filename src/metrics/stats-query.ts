// What a request to `/stats` or `/stats/prometheus` asks for. Parsed here once for all formats, with Envoy's parameters and error
// texts; admin maps a refusal to its status and body. Calls re2js for `filter`.
import { RE2JS } from 're2js'
import { Histogram } from './histogram.js'
import { DEFAULT_NATIVE_BUCKETS } from './native-histogram.js'
import { Counter, Gauge, type Stat, type StatKind } from './stat.js'
import type { StatsStore } from './stats-store.js'

export type StatsFormat = 'text' | 'json' | 'html' | 'active-html' | 'prometheus' | 'prometheus-protobuf'
export type HistogramView = 'quantiles' | 'cumulative' | 'disjoint' | 'detailed' | 'native'

export interface StatsQuery {
  readonly format: StatsFormat
  /** Only stats written since the start. */
  readonly usedOnly: boolean
  /** On the full stat name; null: all. */
  readonly filter: ((name: string) => boolean) | null
  readonly kinds: ReadonlySet<StatKind>
  /** null: the format's own default (quantiles in text and JSON, buckets in Prometheus). */
  readonly view: HistogramView | null
  /** Prometheus: show text readouts as gauges. */
  readonly textReadouts: boolean
  /** Most buckets of a native histogram. */
  readonly nativeBuckets: number
}

export type ParsedStatsQuery =
  | { readonly ok: true; readonly query: StatsQuery }
  | { readonly ok: false; readonly status: 400; readonly body: string }

const ALL_KINDS: ReadonlySet<StatKind> = new Set<StatKind>(['counter', 'gauge', 'histogram', 'text'])
const NO_KINDS: ReadonlySet<StatKind> = new Set()
/** As `type` and the form of the HTML page name them. */
export const KINDS_BY_TYPE: ReadonlyMap<string, ReadonlySet<StatKind>> = new Map([
  ['All', ALL_KINDS],
  ['Counters', new Set<StatKind>(['counter'])],
  ['Histograms', new Set<StatKind>(['histogram'])],
  ['Gauges', new Set<StatKind>(['gauge'])],
  ['TextReadouts', new Set<StatKind>(['text'])],
])
const VIEWS: ReadonlyMap<string, HistogramView | null> = new Map<string, HistogramView | null>([
  ['', null],
  ['none', 'quantiles'],
  ['summary', 'quantiles'],
  ['cumulative', 'cumulative'],
  ['disjoint', 'disjoint'],
  ['detailed', 'detailed'],
  ['prometheusnative', 'native'],
])
const FORMATS: ReadonlyMap<string, StatsFormat> = new Map<string, StatsFormat>([
  ['', 'text'],
  ['text', 'text'],
  ['json', 'json'],
  ['html', 'html'],
  ['active-html', 'active-html'],
  ['prometheus', 'prometheus'],
])
/** Nothing is hidden here, so there is nothing to include, and nothing is left where only that is asked for. */
const HIDDEN = ['', 'include', 'exclude', 'only']
const PROTOBUF_TYPE = 'application/vnd.google.protobuf'
const MAX_UINT32 = 2 ** 32 - 1

/** `path` is the admin path without query: `/stats` or `/stats/prometheus` (which ignores `format`). `accept`: the header. */
export function parseStatsQuery(path: string, params: URLSearchParams, accept = ''): ParsedStatsQuery {
  const filterText = params.get('filter')
  let filter: StatsQuery['filter'] = null
  if (filterText !== null) {
    let regex: RE2JS
    try {
      regex = RE2JS.compile(filterText)
    } catch (error) {
      return refuse(`Invalid re2 regex: ${(error as Error).message.replace('error parsing regexp: ', '')}`)
    }
    filter = params.has('invert_filter') ? name => !regex.test(name) : name => regex.test(name)
  }
  const view = VIEWS.get(params.get('histogram_buckets') ?? '')
  if (view === undefined) return refuse('usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|summary|prometheusnative)\n')
  const hidden = params.get('hidden') ?? ''
  if (!HIDDEN.includes(hidden)) return refuse('usage: /stats?hidden=(include|only|exclude)\n\n')
  const nativeBuckets = Number(params.get('native_histogram_max_buckets') || DEFAULT_NATIVE_BUCKETS)
  if (!Number.isInteger(nativeBuckets) || nativeBuckets < 1 || nativeBuckets > MAX_UINT32)
    return refuse('invalid native_histogram_max_buckets value: must be a positive integer')
  let format = path.endsWith('/prometheus') ? 'prometheus' : FORMATS.get(params.get('format') ?? '')
  if (format === undefined) return refuse('usage: /stats?format=(html|active-html|json|prometheus|text)\n\n')
  let kinds = KINDS_BY_TYPE.get(params.get('type') || 'All')
  if (kinds === undefined) return refuse('invalid &type= param')
  if (format === 'prometheus') {
    if (view === 'disjoint' || view === 'detailed') return refuse('unsupported prometheus histogram bucket mode')
    if (wantsProtobuf(accept)) format = 'prometheus-protobuf'
    else if (view === 'native') return refuse('unsupported prometheusnative histogram type when not using protobuf exposition format')
    kinds = ALL_KINDS
  } else if (view === 'native') return refuse('Invalid histogram_buckets type for non prometheus stats type')
  if (hidden === 'only') kinds = NO_KINDS
  return {
    ok: true,
    query: { format, usedOnly: params.has('usedonly'), filter, kinds, view, textReadouts: params.has('text_readouts'), nativeBuckets },
  }
}

/** Envoy's reading of `Accept`: the first of the two types that it knows, whatever their weights. */
function wantsProtobuf(accept: string): boolean {
  const types = accept.split(',').map(item => item.split(';', 1)[0]!.trim())
  return types.find(type => type === PROTOBUF_TYPE || type === 'text/plain') === PROTOBUF_TYPE
}

function refuse(body: string): ParsedStatsQuery {
  return { ok: false, status: 400, body }
}

const UNTOUCHED_COUNTER = new Counter('')
const UNTOUCHED_GAUGE = new Gauge('')

/** A stand-in for a group member that nobody touched yet. */
export function untouchedStat(store: StatsStore, kind: StatKind, name: string): Stat {
  if (kind === 'counter') return UNTOUCHED_COUNTER
  if (kind === 'gauge') return UNTOUCHED_GAUGE
  return new Histogram(name, 'unspecified', store.bucketsFor(name))
}

/** Every stat of one kind that the query selects, in no order; `name` is the full name. */
export function* selectStats(
  store: StatsStore,
  kind: StatKind,
  query: Pick<StatsQuery, 'usedOnly' | 'filter'>,
): Generator<{ readonly name: string; readonly stat: Stat }> {
  const { usedOnly, filter } = query
  for (const stat of store.allStats(kind)) {
    if ((!usedOnly || stat.used) && (filter === null || filter(stat.name))) yield { name: stat.name, stat }
  }
  if (usedOnly) return
  for (const group of store.allGroups()) {
    const { names, kinds } = group.type
    for (let i = 0; i < names.length; i++) {
      if (kinds[i] !== kind || group.slots[i] !== undefined) continue
      const name = group.prefix + names[i]!
      if (!store.has(kind, name) && store.accepts(name) && (filter === null || filter(name)))
        yield { name, stat: untouchedStat(store, kind, name) }
    }
  }
}

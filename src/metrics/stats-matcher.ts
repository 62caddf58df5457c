// Which stats exist and which buckets their histograms show: `stats_config.stats_matcher` and `histogram_bucket_settings` of the
// bootstrap, compiled once. Called by StatsStore when a stat is created; calls re2js for regexes. A rejected stat is never stored
// or shown, but its caller still gets a handle to write to.
import { RE2JS } from 're2js'
import type { StatsConfig } from '../model/bootstrap.js'
import type { Checked, ConfigError } from '../model/config-error.js'
import type { StringMatcher } from '../model/matcher.js'
import { DEFAULT_BUCKETS } from './histogram.js'

export type NamePredicate = (name: string) => boolean

/** What a StatsStore asks of the config for each new name. */
export interface StatsRules {
  /** null: every name is accepted. */
  readonly accepts: NamePredicate | null
  bucketsFor(name: string): readonly number[]
}

export const DEFAULT_RULES: StatsRules = { accepts: null, bucketsFor: () => DEFAULT_BUCKETS }

/** Compiles matcher and bucket settings. Errors carry Envoy's field path under `stats_config`. */
export function compileStatsRules(
  config: Pick<StatsConfig, 'rejectAll' | 'inclusion' | 'exclusion' | 'histogramBuckets'>,
): Checked<StatsRules> {
  const errors: ConfigError[] = []
  const listed = (patterns: readonly StringMatcher[], path: string): NamePredicate => {
    const tests = patterns.map((pattern, i) => compileNameMatcher(pattern, `${path}.patterns[${i}]`, errors))
    return name => tests.some(test => test(name))
  }
  let accepts: NamePredicate | null = null
  if (config.rejectAll) accepts = () => false
  else if (config.inclusion) accepts = listed(config.inclusion, 'stats_config.stats_matcher.inclusion_list')
  else if (config.exclusion) {
    const excluded = listed(config.exclusion, 'stats_config.stats_matcher.exclusion_list')
    accepts = name => !excluded(name)
  }
  const settings = config.histogramBuckets.map(({ match, buckets }, i) => {
    const path = `stats_config.histogram_bucket_settings[${i}]`
    if (buckets.some(bound => !(bound > 0))) errors.push({ path: `${path}.buckets`, reason: 'bucket bounds must be greater than 0' })
    return { matches: compileNameMatcher(match, `${path}.match`, errors), buckets: [...new Set(buckets)].sort((a, b) => a - b) }
  })
  if (errors.length > 0) return { ok: false, errors }
  const bucketsFor =
    settings.length === 0
      ? DEFAULT_RULES.bucketsFor
      : (name: string) => settings.find(setting => setting.matches(name))?.buckets ?? DEFAULT_BUCKETS
  return { ok: true, value: { accepts, bucketsFor }, warnings: [] }
}

function compileNameMatcher(matcher: StringMatcher, path: string, errors: ConfigError[]): NamePredicate {
  if (matcher.kind === 'regex') {
    try {
      const regex = RE2JS.compile(matcher.value)
      return name => regex.testExact(name)
    } catch (error) {
      errors.push({ path: `${path}.safe_regex.regex`, reason: `not a valid RE2 regex: ${(error as Error).message}` })
      return () => false
    }
  }
  const { kind, ignoreCase } = matcher
  const value = ignoreCase ? matcher.value.toLowerCase() : matcher.value
  const fold = (name: string) => (ignoreCase ? name.toLowerCase() : name)
  switch (kind) {
    case 'exact':
      return name => fold(name) === value
    case 'prefix':
      return name => fold(name).startsWith(value)
    case 'suffix':
      return name => fold(name).endsWith(value)
    case 'contains':
      return name => fold(name).includes(value)
    default:
      return kind satisfies never
  }
}

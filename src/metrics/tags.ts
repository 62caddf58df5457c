// Tag extraction: splits a full stat name into a shorter name and (tag, value) pairs, as Envoy's TagProducer does, from the default
// rules (default-tags.ts) and the bootstrap's `stats_config.stats_tags`. Called lazily, once per stat, by the Prometheus exposition.
// Invariant: every rule sees the full original name; what the rules remove may overlap and is cut out once at the end.
import type { StatsConfig, StatsTag } from '../model/bootstrap.js'
import type { Checked, ConfigError } from '../model/config-error.js'
import { DEFAULT_TAG_RULES, type DefaultTagRule } from './default-tags.js'
import { compileTagRegex } from './tag-regex.js'

export interface Tag {
  readonly name: string
  readonly value: string
}

export interface TaggedName {
  /** The stat name without the extracted parts. */
  readonly name: string
  readonly tags: readonly Tag[]
}

/** One find: the value, and the part [start, end) of the name to remove (empty when start === end). */
interface Found {
  readonly value: string
  readonly start: number
  readonly end: number
}

interface Extractor {
  readonly name: string
  /** First part a name must have, or null. */
  readonly token: string | null
  extract(statName: string, parts: readonly string[]): Found | null
}

const NOTHING_REMOVED = 0

export class TagProducer {
  private readonly everywhere: Extractor[] = []
  private readonly byToken = new Map<string, Extractor[]>()

  constructor(extractors: readonly Extractor[]) {
    for (const extractor of extractors) {
      if (extractor.token === null) this.everywhere.push(extractor)
      else {
        const list = this.byToken.get(extractor.token)
        if (list) list.push(extractor)
        else this.byToken.set(extractor.token, [extractor])
      }
    }
  }

  /** Of two rules for one tag the first that finds something counts. */
  produce(statName: string): TaggedName {
    const parts = statName.split('.')
    const tags: Tag[] = []
    const cuts: Found[] = []
    for (const extractor of this.everywhere) apply(extractor, statName, parts, tags, cuts)
    const specific = parts.length > 1 ? this.byToken.get(parts[0]!) : undefined
    if (specific) for (const extractor of specific) apply(extractor, statName, parts, tags, cuts)
    return { name: cutOut(statName, cuts), tags }
  }
}

/** The producer of a bootstrap without `stats_config`: all default tags. */
export function defaultTagProducer(): TagProducer {
  return new TagProducer(DEFAULT_TAG_RULES.map(fromDefaultRule))
}

/**
 * Compiles `use_all_default_tags` and `stats_tags`. A tag without regex and fixed value adds the default rules of that name.
 * Errors: a bad regex, or such a tag with no default rule (Envoy refuses to start for the same). `onSlow` hears of each regex that was
 * stopped for the time it took and is not asked again.
 */
export function compileTagProducer(
  config: Pick<StatsConfig, 'useAllDefaultTags' | 'tags'>,
  onSlow: (tag: StatsTag) => void = () => {},
): Checked<TagProducer> {
  const errors: ConfigError[] = []
  const extractors: Extractor[] = config.useAllDefaultTags ? DEFAULT_TAG_RULES.map(fromDefaultRule) : []
  config.tags.forEach((tag, i) => {
    const path = `stats_config.stats_tags[${i}]`
    if (tag.name === '') errors.push({ path: `${path}.tag_name`, reason: 'must not be empty' })
    else if (tag.fixedValue !== null) extractors.push(fixedExtractor(tag.name, tag.fixedValue))
    else if (tag.regex) {
      const extractor = regexExtractor(tag.name, tag.regex, () => onSlow(tag))
      if (typeof extractor === 'string') errors.push({ path: `${path}.regex`, reason: extractor })
      else extractors.push(extractor)
    } else {
      const rules = DEFAULT_TAG_RULES.filter(rule => rule.name === tag.name)
      if (rules.length === 0) errors.push({ path, reason: `no regex specified and no default rule for tag ${JSON.stringify(tag.name)}` })
      extractors.push(...rules.map(fromDefaultRule))
    }
  })
  return errors.length > 0 ? { ok: false, errors } : { ok: true, value: new TagProducer(extractors), warnings: [] }
}

function apply(extractor: Extractor, statName: string, parts: readonly string[], tags: Tag[], cuts: Found[]): void {
  const found = extractor.extract(statName, parts)
  if (found === null || tags.some(tag => tag.name === extractor.name)) return
  tags.push({ name: extractor.name, value: found.value })
  if (found.end > found.start) cuts.push(found)
}

function cutOut(statName: string, cuts: Found[]): string {
  if (cuts.length === 0) return statName
  cuts.sort((a, b) => a.start - b.start)
  let kept = ''
  let position = 0
  for (const { start, end } of cuts) {
    if (start > position) kept += statName.slice(position, start)
    if (end > position) position = end
  }
  return kept + statName.slice(position)
}

function fixedExtractor(name: string, value: string): Extractor {
  const found: Found = { value, start: NOTHING_REMOVED, end: NOTHING_REMOVED }
  return { name, token: null, extract: () => found }
}

function fromDefaultRule(rule: DefaultTagRule): Extractor {
  const { pattern, needs, except } = rule
  if (!(pattern instanceof RegExp)) return { name: rule.name, token: rule.token, extract: (_, parts) => matchTokens(pattern, parts) }
  return {
    name: rule.name,
    token: rule.token,
    extract(statName) {
      if (needs !== null && !statName.includes(needs)) return null
      const match = pattern.exec(statName)
      if (match === null || match[2] === except) return null
      const [start, end] = match.indices![1]!
      return { value: match[2]!, start, end }
    },
  }
}

/** Finds the part at `$`; it is removed with the dot after it, or the one before it when it is the last part. */
function matchTokens(pattern: readonly string[], parts: readonly string[]): Found | null {
  const at = matchFrom(pattern, 0, parts, 0)
  if (at < 0) return null
  let start = 0
  for (let i = 0; i < at; i++) start += parts[i]!.length + 1
  let end = start + parts[at]!.length
  if (at < parts.length - 1) end++
  else if (start > 0) start--
  return { value: parts[at]!, start, end }
}

/** Index of the part at `$`, or -1. A closing `**` needs at least one part, one inside the pattern may be empty. */
function matchFrom(pattern: readonly string[], p: number, parts: readonly string[], i: number): number {
  let at = -1
  for (; p < pattern.length; p++, i++) {
    if (i >= parts.length) return -1
    const token = pattern[p]!
    if (token === '$') at = i
    else if (token === '**') {
      if (p === pattern.length - 1) return at
      for (let rest = i; rest < parts.length; rest++) {
        const inRest = matchesRest(pattern, p + 1, parts, rest)
        if (inRest) return at
      }
      return -1
    } else if (token !== '*' && token !== parts[i]) return -1
  }
  return i === parts.length ? at : -1
}

// In the default patterns `$` always stands before an inner `**`, so what follows it holds only literals and `*`.
function matchesRest(pattern: readonly string[], p: number, parts: readonly string[], i: number): boolean {
  if (pattern.length - p !== parts.length - i) return false
  for (; p < pattern.length; p++, i++) if (pattern[p] !== '*' && pattern[p] !== parts[i]) return false
  return true
}

const LITERAL_FIRST_PART = /^\^(\w+)(?:\\\.|\(\?=\\\.\))/

/** A custom regex: group 1 is removed, group 2 (if the regex has one, else group 1) is the value. A string is the error. */
function regexExtractor(name: string, source: string, onSlow: () => void): Extractor | string {
  const regex = compileTagRegex(source, onSlow)
  if (typeof regex === 'string') return regex
  const token = LITERAL_FIRST_PART.exec(source)?.[1] ?? null
  if (regex.groups === 0) return { name, token, extract: () => null }
  const valueGroup = Math.min(regex.groups, 2)
  return {
    name,
    token,
    extract(statName) {
      const match = regex.exec(statName)
      if (match === null) return null
      const removed = match.indices![1]
      return { value: match[valueGroup] ?? '', start: removed?.[0] ?? NOTHING_REMOVED, end: removed?.[1] ?? NOTHING_REMOVED }
    },
  }
}

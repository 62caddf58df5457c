// Identity patterns as table look-ups. Consul writes sources as anchored regexes over SPIFFE ids, `^spiffe://td/ns/default/dc/[^/]+/svc/web$`,
// one per intention: matched one after the other, 10,000 of them cost 10,000 times one. But each is a list of segments that are either
// literal or any, so all patterns with the same wildcards form one Map from their literal segments. Called by principal.ts.
// Invariant: a pattern is recognised only where the look-up means exactly what the regex means (but see PLAIN_DOMAIN).

import type { StringMatcher } from '../../model/matcher.js'
import type { PeerIdentity } from '../../mtls/peer/peer-identity.js'
import { toByteString } from '../codec/byte-string.js'
import { literalOf } from '../match/regex.js'

/** `/`-separated segments of a URI; null: any one that is not empty. */
export type IdentityPattern = readonly (string | null)[]

const SPIFFE = 'spiffe://'
const ANY_SEGMENT = '[^/]+'
const MARK = '\0'
/** Index of the trust domain among the segments of `spiffe://<td>/…`. */
const TRUST_DOMAIN = 2
/**
 * Consul leaves the dots of the trust domain unescaped. As a regex they would also match `<uuid>Xconsul`, a domain that peer
 * verification has ruled out before any rule is asked, so the look-up may take them for dots.
 */
const PLAIN_DOMAIN = /^[a-z0-9-]+(?:\.[a-z0-9-]+)*$/

/** Null: the matcher is not of that form. */
export function identityPatternOf(matcher: StringMatcher): IdentityPattern | null {
  if (matcher.kind === 'exact') {
    return matcher.ignoreCase || !matcher.value.startsWith(SPIFFE) ? null : toByteString(matcher.value).split('/')
  }
  if (matcher.kind !== 'regex') return null
  let text = matcher.value
  if (text.startsWith('^')) text = text.slice(1)
  if (text.endsWith('$') && !text.endsWith('\\$')) text = text.slice(0, -1)
  if (!text.startsWith(SPIFFE) || text.includes(MARK)) return null
  const segments: (string | null)[] = []
  for (const segment of text.replaceAll(ANY_SEGMENT, MARK).split('/')) {
    if (segment === MARK) {
      segments.push(null)
      continue
    }
    // Anchors inside would be taken for the ends of a pattern of its own.
    if (segment.startsWith('^') || segment.endsWith('$')) return null
    const literal = segments.length === TRUST_DOMAIN && PLAIN_DOMAIN.test(segment) ? segment : literalOf(segment)
    if (literal === null || literal.includes(MARK) || literal.includes('/')) return null
    segments.push(literal)
  }
  return segments
}

/** Patterns with the same number of segments and the same wildcards. */
interface Shape<T> {
  readonly wildcards: readonly boolean[]
  readonly entries: Map<string, T[]>
}

const segmentsOfPeer = new WeakMap<PeerIdentity, readonly (readonly string[])[]>()

function segmentsOf(peer: PeerIdentity): readonly (readonly string[])[] {
  let segments = segmentsOfPeer.get(peer)
  if (segments === undefined) {
    segments = peer.uriSans.map(uri => toByteString(uri).split('/'))
    segmentsOfPeer.set(peer, segments)
  }
  return segments
}

/** Values by identity pattern; look-ups cost one Map access per distinct shape, however many patterns there are. */
export class IdentityIndex<T> {
  private readonly shapes: Shape<T>[] = []
  private readonly shapeOf = new Map<string, Shape<T>>()
  /** What `valuesOf` found: a connection's peer asks once, its requests have the answer. */
  private readonly found = new WeakMap<PeerIdentity, readonly T[]>()

  get empty(): boolean {
    return this.shapes.length === 0
  }

  add(pattern: IdentityPattern, value: T): void {
    const wildcards = pattern.map(segment => segment === null)
    const form = wildcards.map(Number).join('')
    let shape = this.shapeOf.get(form)
    if (shape === undefined) {
      shape = { wildcards, entries: new Map() }
      this.shapeOf.set(form, shape)
      this.shapes.push(shape)
    }
    const key = pattern.filter(segment => segment !== null).join('/')
    const values = shape.entries.get(key)
    if (values === undefined) shape.entries.set(key, [value])
    else values.push(value)
  }

  /** The values of every pattern that some URI SAN of the peer matches. Nothing may be added any more. HOT. */
  valuesOf(peer: PeerIdentity): readonly T[] {
    let values = this.found.get(peer)
    if (values === undefined) this.found.set(peer, (values = this.find(peer)))
    return values
  }

  private find(peer: PeerIdentity): readonly T[] {
    const found: T[] = []
    for (const segments of segmentsOf(peer)) {
      for (const { wildcards, entries } of this.shapes) {
        const key = keyOf(segments, wildcards)
        const values = key === null ? undefined : entries.get(key)
        for (const value of values ?? []) found.push(value)
      }
    }
    return found
  }
}

function keyOf(segments: readonly string[], wildcards: readonly boolean[]): string | null {
  if (segments.length !== wildcards.length) return null
  let key = ''
  let first = true
  for (let i = 0; i < segments.length; i++) {
    const segment = segments[i]!
    if (wildcards[i]) {
      if (segment === '') return null
      continue
    }
    key = first ? segment : `${key}/${segment}`
    first = false
  }
  return key
}

// xds.type.matcher.v3.Matcher compiled: from a subject (a connection, a request) to an action, or null where nothing matches. Called by
// listeners for their filter chains and by RBAC; the reader says how each input is read from the subject. A branch that leads nowhere is
// left, and the next that matches is tried; at last `on_no_match`. An input that is absent matches nothing.

import type { MatchInput, MatchPredicate, MatchTree, OnMatch, SubjectPredicate } from '../../model/match-tree.js'
import { xxHash64 } from '../../upstream/hash/xx-hash.js'
import { compileCidr } from './cidr.js'
import { compileStringMatcher } from './string-matcher.js'

export interface SubjectReader<S> {
  input(input: MatchInput): (subject: S) => string | null
  test(predicate: SubjectPredicate): (subject: S) => boolean
}
type Decide<S, A> = (subject: S) => A | null

export function compileMatchTree<S, A>(tree: MatchTree<A>, reader: SubjectReader<S>): Decide<S, A> {
  const find = compileBranches(tree, reader)
  if (tree.onNoMatch === null) return find
  const otherwise = compileOnMatch(tree.onNoMatch, reader)
  return subject => find(subject) ?? otherwise(subject)
}

function compileBranches<S, A>(tree: MatchTree<A>, reader: SubjectReader<S>): Decide<S, A> {
  switch (tree.kind) {
    case 'list': {
      const branches = tree.matchers.map(({ predicate, onMatch }) => ({
        test: compilePredicate(predicate, reader),
        follow: compileOnMatch(onMatch, reader),
      }))
      return subject => {
        for (const { test, follow } of branches) {
          const found = test(subject) ? follow(subject) : null
          if (found !== null) return found
        }
        return null
      }
    }
    case 'exact': {
      const read = reader.input(tree.input)
      const map = new Map([...tree.map].map(([key, onMatch]) => [key, compileOnMatch(onMatch, reader)]))
      return subject => {
        const value = read(subject)
        return value === null ? null : (map.get(value)?.(subject) ?? null)
      }
    }
    case 'prefix': {
      const longestFirst = [...tree.map].sort(([a], [b]) => b.length - a.length)
      return firstOf(
        reader.input(tree.input),
        longestFirst.map(([prefix, onMatch]) => ({
          holds: (value: string) => value.startsWith(prefix),
          follow: compileOnMatch(onMatch, reader),
          exclusive: false,
        })),
      )
    }
    case 'ranges': {
      const ranges = tree.ranges.flatMap(({ ranges, onMatch, exclusive }) => ranges.map(range => ({ range, onMatch, exclusive })))
      const longestFirst = ranges.sort((a, b) => b.range.prefixLength - a.range.prefixLength)
      return firstOf(
        reader.input(tree.input),
        longestFirst.map(({ range, onMatch, exclusive }) => ({
          holds: compileCidr(range),
          follow: compileOnMatch(onMatch, reader),
          exclusive,
        })),
      )
    }
    case 'domains': {
      const names = tree.domains.flatMap(({ domains, onMatch }) => domains.map(domain => ({ domain, onMatch })))
      const exactThenLongest = names.sort((a, b) => rank(b.domain) - rank(a.domain))
      return firstOf(
        reader.input(tree.input),
        exactThenLongest.map(({ domain, onMatch }) => ({
          holds: compileDomain(domain),
          follow: compileOnMatch(onMatch, reader),
          exclusive: false,
        })),
      )
    }
  }
}

/** Every action of the tree. */
export function actionsOf<A>(tree: MatchTree<A>): A[] {
  const ends: OnMatch<A>[] = tree.onNoMatch === null ? [] : [tree.onNoMatch]
  switch (tree.kind) {
    case 'list':
      ends.push(...tree.matchers.map(({ onMatch }) => onMatch))
      break
    case 'exact':
    case 'prefix':
      ends.push(...tree.map.values())
      break
    case 'ranges':
      ends.push(...tree.ranges.map(({ onMatch }) => onMatch))
      break
    case 'domains':
      ends.push(...tree.domains.map(({ onMatch }) => onMatch))
  }
  return ends.flatMap(end => (end.kind === 'action' ? [end.action] : actionsOf(end.matcher)))
}

interface Branch<S, A> {
  readonly holds: (value: string) => boolean
  readonly follow: Decide<S, A>
  readonly exclusive: boolean
}

function firstOf<S, A>(read: (subject: S) => string | null, branches: readonly Branch<S, A>[]): Decide<S, A> {
  return subject => {
    const value = read(subject)
    if (value === null) return null
    let first = true
    for (const { holds, follow, exclusive } of branches) {
      if (!holds(value) || (exclusive && !first)) continue
      first = false
      const found = follow(subject)
      if (found !== null) return found
    }
    return null
  }
}

/** Exact names before wildcards, longer wildcards before shorter ones. */
function rank(domain: string): number {
  return domain.startsWith('*') ? domain.length : Number.MAX_SAFE_INTEGER
}

function compileDomain(domain: string): (name: string) => boolean {
  if (domain === '*') return () => true
  if (!domain.startsWith('*.')) return name => name === domain
  const suffix = domain.slice(1)
  return name => name.length > suffix.length && name.endsWith(suffix)
}

function compileOnMatch<S, A>(onMatch: OnMatch<A>, reader: SubjectReader<S>): Decide<S, A> {
  if (onMatch.kind === 'matcher') return compileMatchTree(onMatch.matcher, reader)
  const { action } = onMatch
  return () => action
}

function compilePredicate<S>(predicate: MatchPredicate, reader: SubjectReader<S>): (subject: S) => boolean {
  switch (predicate.kind) {
    case 'cel':
    case 'metadata':
      return reader.test(predicate)
    case 'value': {
      const read = reader.input(predicate.input)
      const test = compileStringMatcher(predicate.matcher)
      return subject => {
        const value = read(subject)
        return value !== null && test(value)
      }
    }
    case 'ip': {
      const read = reader.input(predicate.input)
      const tests = predicate.ranges.map(compileCidr)
      return subject => {
        const value = read(subject)
        return value !== null && tests.some(test => test(value))
      }
    }
    case 'hash': {
      const read = reader.input(predicate.input)
      const [modulo, threshold] = [BigInt(predicate.modulo), BigInt(predicate.threshold)]
      const [low, high] = [Number(predicate.seed & 0xffff_ffffn), Number(predicate.seed >> 32n)]
      return subject => {
        const value = read(subject)
        return value !== null && xxHash64(value, low, high) % modulo >= threshold
      }
    }
    case 'and': {
      const tests = predicate.predicates.map(one => compilePredicate(one, reader))
      return subject => tests.every(test => test(subject))
    }
    case 'or': {
      const tests = predicate.predicates.map(one => compilePredicate(one, reader))
      return subject => tests.some(test => test(subject))
    }
    case 'not': {
      const test = compilePredicate(predicate.predicate, reader)
      return subject => !test(subject)
    }
  }
}

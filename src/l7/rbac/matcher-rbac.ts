// RBAC by a matcher tree (`matcher`, `shadow_matcher`) in place of policies: the action that the tree ends in decides, and what matches
// nothing is denied. Made by rbac-decider.ts; shares its inputs with the rules' engine.
// SANs and subject are those of a validated certificate only: what nobody vouches for is absent.

import type { MatchInput, MatchTree, SubjectPredicate } from '../../model/match-tree.js'
import type { RbacAction } from '../../model/rbac.js'
import { toByteString } from '../codec/byte-string.js'
import { compileCel } from '../match/cel-test.js'
import { requestHeaderReader } from '../match/header-matcher.js'
import { actionsOf, compileMatchTree, type SubjectReader } from '../match/match-tree.js'
import { compileMetadataMatcher } from '../match/metadata-matcher.js'
import { decodedParameter } from '../match/query-parameter.js'
import type { RbacDecision } from './rbac-engine.js'
import { peerFor, type RbacInput } from './rbac-input.js'

/** Of a connection and a request. */
export const RBAC_READER: SubjectReader<RbacInput> = { input: rbacInputReader, test: rbacSubjectTest }

export function compileMatcherRbac(tree: MatchTree<RbacAction>): (input: RbacInput) => RbacDecision {
  const decide = compileMatchTree(tree, RBAC_READER)
  const actions = actionsOf(tree)
  // As in Envoy: one LOG anywhere in the tree, and every decision says whether it was that.
  const hints = actions.some(({ action }) => action === 'LOG')
  const decisions = new Map(
    actions.map((action): [RbacAction, RbacDecision] => [
      action,
      { allowed: action.action !== 'DENY', policy: action.name, ...(hints ? { logHint: action.action === 'LOG' } : {}) },
    ]),
  )
  const unmatched: RbacDecision = { allowed: false, policy: null, ...(hints ? { logHint: false } : {}) }
  return input => {
    const action = decide(input)
    return action === null ? unmatched : decisions.get(action)!
  }
}

/** What only requests have is nothing on a connection. */
function rbacSubjectTest(predicate: SubjectPredicate): (subject: RbacInput) => boolean {
  if (predicate.kind === 'cel') {
    const holds = compileCel(predicate.expression)
    return ({ connection, info }) => holds(connection, info)
  }
  const matches = compileMetadataMatcher(predicate.matcher)
  return ({ info }) => matches(namespace => info?.dynamicMetadata(namespace))
}

/** Of a connection and a request. What is not there, or empty, is null. */
function rbacInputReader(input: MatchInput): (subject: RbacInput) => string | null {
  switch (input.kind) {
    case 'destinationIp':
      return ({ connection }) => connection.localAddress
    case 'destinationPort':
      return ({ connection }) => String(connection.localPort)
    case 'sourceIp':
      return ({ connection, info }) => info?.remoteAddress ?? connection.remoteAddress
    case 'sourcePort':
      return ({ connection }) => String(connection.remotePort)
    case 'directSourceIp':
      return ({ connection }) => connection.directRemoteAddress
    case 'serverName':
      return ({ connection }) => connection.requestedServerName || null
    case 'uriSan':
      return subject => peerFor(subject, 'certain')?.uriSans.join(',') || null
    case 'dnsSan':
      return subject => peerFor(subject, 'certain')?.dnsSans.join(',') || null
    case 'subject':
      return subject => peerFor(subject, 'certain')?.subject || null
    case 'requestHeader': {
      const read = requestHeaderReader(input.name)
      return ({ head }) => (head === null ? null : (read(head) ?? null))
    }
    case 'queryParameter': {
      const name = toByteString(input.name)
      return ({ head }) => (head === null ? null : (decodedParameter(head.path, name) ?? null))
    }
    case 'filterState':
      return ({ info }) => stateText(info?.filterState(input.name))
    default:
      // The decoder lets only filter chains read the others.
      return () => null
  }
}

function stateText(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? toByteString(value) : null
}

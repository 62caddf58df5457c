// Permissions of RBAC policies compiled: what may be done. Called by rbac-engine. `certainty` as in principal.ts. On a connection
// without a request (the network filter) rules about requests see a request without fields: they match nothing by themselves.

import type { RbacPermission } from '../../model/rbac.js'
import { toByteString } from '../codec/byte-string.js'
import { compileCidr } from '../match/cidr.js'
import { type Certainty, compileHeaderMatcher, opposite } from '../match/header-matcher.js'
import { compileMetadataMatcher } from '../match/metadata-matcher.js'
import { pathOnly } from '../match/route-match.js'
import { compileStringMatcher } from '../match/string-matcher.js'
import type { RbacTest } from './rbac-input.js'

const ALWAYS: RbacTest = () => true

/** True when one permission matches. */
export function compilePermissions(permissions: readonly RbacPermission[], certainty: Certainty): RbacTest {
  const tests = permissions.map(permission => compilePermission(permission, certainty))
  if (tests.length === 1) return tests[0]!
  if (tests.includes(ALWAYS)) return ALWAYS
  return input => {
    for (let i = 0; i < tests.length; i++) if (tests[i]!(input)) return true
    return false
  }
}

export function compilePermission(permission: RbacPermission, certainty: Certainty): RbacTest {
  switch (permission.kind) {
    case 'any':
      return ALWAYS
    case 'and': {
      const all = permission.rules.map(rule => compilePermission(rule, certainty))
      return input => {
        for (let i = 0; i < all.length; i++) if (!all[i]!(input)) return false
        return true
      }
    }
    case 'or':
      return compilePermissions(permission.rules, certainty)
    case 'not': {
      const inner = compilePermission(permission.rule, opposite(certainty))
      return input => !inner(input)
    }
    case 'header': {
      const test = compileHeaderMatcher(permission.header, certainty)
      return ({ head }) => test(head)
    }
    case 'urlPath': {
      const test = compileStringMatcher(permission.matcher, certainty === 'possible')
      return ({ head }) => head !== null && head.path !== '' && test(pathOnly(head.path))
    }
    case 'destinationIp': {
      const inRange = compileCidr(permission.range)
      return ({ connection }) => inRange(connection.localAddress)
    }
    case 'destinationPort':
      return ({ connection }) => connection.localPort === permission.port
    case 'destinationPortRange':
      return ({ connection }) => connection.localPort >= permission.start && connection.localPort < permission.end
    case 'requestedServerName': {
      const test = compileStringMatcher(permission.matcher, certainty === 'possible')
      return ({ connection }) => test(toByteString(connection.requestedServerName))
    }
    case 'metadata': {
      const test = compileMetadataMatcher(permission.matcher, certainty === 'possible')
      return ({ info }) => test(namespace => info?.dynamicMetadata(namespace))
    }
    case 'routeMetadata': {
      const test = compileMetadataMatcher(permission.matcher, certainty === 'possible')
      return ({ info }) => test(namespace => info?.routeMetadata?.get(namespace))
    }
  }
}

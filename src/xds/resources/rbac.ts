// envoy.config.rbac.v3.RBAC -> model, for the network filter, the HTTP filter and per-route overrides. Called by network-filters.ts
// and http-filters/authorization.ts. Anything that would widen who may pass if it were skipped is an error (see field-support.ts).

import type { Any } from '@bufbuild/protobuf/wkt'
import type { MatchInput, MatchTree } from '../../model/match-tree.js'
import type { RbacAction, RbacPermission, RbacPolicy, RbacPrincipal, RbacRules } from '../../model/rbac.js'
import {
  ActionSchema,
  MetadataSource,
  type Permission,
  type Permission_Set,
  type Policy,
  type Principal,
  type Principal_Set,
  type RBAC,
  RBAC_ActionSchema,
  type SourcedMetadata,
} from '../gen/envoy/config/rbac/v3/rbac_pb.js'
import type { PathMatcher } from '../gen/envoy/type/matcher/v3/path_pb.js'
import type { Matcher } from '../gen/xds/type/matcher/v3/matcher_pb.js'
import { decodeCidr } from './address.js'
import { unpackAs } from './any.js'
import { decodeCelTree } from './cel.js'
import type { Ctx } from './field-path.js'
import { decodeMatchTree } from './match-tree.js'
import { decodeHeaderMatcher, decodeMetadataMatcher, decodeStringMatcher } from './matchers.js'
import { decodeTemplateMatch } from './uri-template.js'
import { enumName } from './values.js'

/** Stand-ins after an error was recorded: match nothing. */
const NO_PERMISSION: RbacPermission = { kind: 'or', rules: [] }
const NO_PRINCIPAL: RbacPrincipal = { kind: 'or', ids: [] }

/** Policies sorted by name: Envoy evaluates them in that order, and the first match names the effective policy. */
export function decodeRbacRules(rules: RBAC | undefined, ctx: Ctx): RbacRules | null {
  if (rules === undefined) return null
  const names = Object.keys(rules.policies).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  return {
    action: enumName(RBAC_ActionSchema, rules.action) as RbacRules['action'],
    policies: names.map((name): RbacPolicy => {
      const policy = rules.policies[name]!
      const at = ctx.at('policies', name)
      return {
        name,
        permissions: policy.permissions.map((permission, i) => decodePermission(permission, at.at('permissions', i))),
        principals: policy.principals.map((principal, i) => decodePrincipal(principal, at.at('principals', i))),
        ...decodeCondition(policy, at),
      }
    }),
  }
}

/** For a filter of connections: they have no headers, and a rule that nothing can match would deny nothing. */
export function refuseHeaderRules(rules: RBAC | undefined, ctx: Ctx): void {
  for (const [name, { permissions, principals }] of Object.entries(rules?.policies ?? {})) {
    const at = ctx.at('policies', name)
    permissions.forEach((permission, i) => {
      if (asksHeader(permission)) at.at('permissions', i).error(NO_HEADERS)
    })
    principals.forEach((principal, i) => {
      if (namesHeader(principal)) at.at('principals', i).error(NO_HEADERS)
    })
  }
}

const NO_HEADERS = 'header rules are not supported by the network filter: a connection has no headers'

function asksHeader({ rule }: Permission): boolean {
  if (rule.case === 'andRules' || rule.case === 'orRules') return rule.value.rules.some(asksHeader)
  return rule.case === 'notRule' ? asksHeader(rule.value) : rule.case === 'header'
}

function namesHeader({ identifier }: Principal): boolean {
  if (identifier.case === 'andIds' || identifier.case === 'orIds') return identifier.value.ids.some(namesHeader)
  return identifier.case === 'notId' ? namesHeader(identifier.value) : identifier.case === 'header'
}

const CONNECTION_INPUTS: readonly MatchInput['kind'][] = [
  'destinationIp',
  'destinationPort',
  'sourceIp',
  'sourcePort',
  'directSourceIp',
  'serverName',
  'uriSan',
  'dnsSan',
  'subject',
  'filterState',
]
/** What the network filter's matchers may read, and the HTTP filter's. */
export const NETWORK_RBAC_INPUTS: ReadonlySet<MatchInput['kind']> = new Set(CONNECTION_INPUTS)
export const HTTP_RBAC_INPUTS: ReadonlySet<MatchInput['kind']> = new Set([
  ...CONNECTION_INPUTS,
  'requestHeader' as const,
  'queryParameter' as const,
])

export function decodeRbacMatcher(
  matcher: Matcher | undefined,
  inputs: ReadonlySet<MatchInput['kind']>,
  ctx: Ctx,
): MatchTree<RbacAction> | null {
  if (matcher === undefined) return null
  const action = (config: { typedConfig?: Any }, at: Ctx): RbacAction | null => {
    const message = unpackAs(config.typedConfig, ActionSchema, at.at('typed_config'))
    return message === null ? null : { name: message.name, action: enumName(RBAC_ActionSchema, message.action) as RbacAction['action'] }
  }
  return decodeMatchTree(matcher, { inputs, action }, ctx)
}

function decodeCondition({ condition, checkedCondition }: Policy, ctx: Ctx): Pick<RbacPolicy, 'condition'> {
  if (condition !== undefined && checkedCondition !== undefined) ctx.error('only one of condition and checked_condition may be set')
  if (condition !== undefined) return { condition: decodeCelTree(condition, ctx.at('condition')) }
  if (checkedCondition?.expr === undefined) return {}
  return { condition: decodeCelTree(checkedCondition.expr, ctx.at('checked_condition').at('expr')) }
}

function permissionSet(set: Permission_Set, ctx: Ctx): RbacPermission[] {
  return set.rules.map((rule, i) => decodePermission(rule, ctx.at('rules', i)))
}

function decodePermission(permission: Permission, ctx: Ctx): RbacPermission {
  const rule = permission.rule
  switch (rule.case) {
    case 'any':
      return { kind: 'any' }
    case 'andRules':
      return { kind: 'and', rules: permissionSet(rule.value, ctx.at('and_rules')) }
    case 'orRules':
      return { kind: 'or', rules: permissionSet(rule.value, ctx.at('or_rules')) }
    case 'notRule':
      return { kind: 'not', rule: decodePermission(rule.value, ctx.at('not_rule')) }
    case 'header':
      return { kind: 'header', header: decodeHeaderMatcher(rule.value, ctx.at('header')) }
    case 'urlPath': {
      const matcher = decodeUrlPath(rule.value, ctx.at('url_path'))
      return matcher === null ? NO_PERMISSION : { kind: 'urlPath', matcher }
    }
    case 'destinationIp':
      return { kind: 'destinationIp', range: decodeCidr(rule.value, ctx.at('destination_ip')) }
    case 'destinationPort':
      return { kind: 'destinationPort', port: rule.value }
    case 'destinationPortRange':
      checkPortRange(rule.value, ctx.at('destination_port_range'))
      return { kind: 'destinationPortRange', start: rule.value.start, end: rule.value.end }
    case 'requestedServerName':
      return { kind: 'requestedServerName', matcher: decodeStringMatcher(rule.value, ctx.at('requested_server_name')) }
    case 'metadata':
      return { kind: 'metadata', matcher: decodeMetadataMatcher(rule.value, ctx.at('metadata')) }
    case 'sourcedMetadata':
      return decodeSourcedMetadata(rule.value, ctx.at('sourced_metadata')) ?? NO_PERMISSION
    case 'uriTemplate': {
      const template = decodeTemplateMatch(rule.value.typedConfig, ctx.at('uri_template').at('typed_config'))
      return template === null ? NO_PERMISSION : { kind: 'urlPath', matcher: { kind: 'regex', value: template.pattern } }
    }
    case undefined:
    case 'matcher':
      return NO_PERMISSION // reported: the missing oneof by message-check, the extensions by field-support
  }
}

function checkPortRange(range: { start: number; end: number }, ctx: Ctx): void {
  if (range.start < 0 || range.start > 65_536) ctx.at('start').error('value must be a port, 0 to 65536')
  if (range.end < 0 || range.end > 65_536) ctx.at('end').error('value must be a port, 0 to 65536')
  if (range.start >= range.end) ctx.error('start must be less than end (the end is exclusive)')
}

function principalSet(set: Principal_Set, ctx: Ctx): RbacPrincipal[] {
  return set.ids.map((id, i) => decodePrincipal(id, ctx.at('ids', i)))
}

function decodePrincipal(principal: Principal, ctx: Ctx): RbacPrincipal {
  const id = principal.identifier
  switch (id.case) {
    case 'any':
      return { kind: 'any' }
    case 'andIds':
      return { kind: 'and', ids: principalSet(id.value, ctx.at('and_ids')) }
    case 'orIds':
      return { kind: 'or', ids: principalSet(id.value, ctx.at('or_ids')) }
    case 'notId':
      return { kind: 'not', id: decodePrincipal(id.value, ctx.at('not_id')) }
    case 'authenticated': {
      const name = id.value.principalName
      return {
        kind: 'authenticated',
        matcher: name === undefined ? null : decodeStringMatcher(name, ctx.at('authenticated').at('principal_name')),
      }
    }
    case 'sourceIp':
      return { kind: 'sourceIp', range: decodeCidr(id.value, ctx.at('source_ip')) }
    case 'directRemoteIp':
      return { kind: 'directRemoteIp', range: decodeCidr(id.value, ctx.at('direct_remote_ip')) }
    case 'remoteIp':
      return { kind: 'remoteIp', range: decodeCidr(id.value, ctx.at('remote_ip')) }
    case 'header':
      return { kind: 'header', header: decodeHeaderMatcher(id.value, ctx.at('header')) }
    case 'urlPath': {
      const matcher = decodeUrlPath(id.value, ctx.at('url_path'))
      return matcher === null ? NO_PRINCIPAL : { kind: 'urlPath', matcher }
    }
    case 'metadata':
      return { kind: 'metadata', matcher: decodeMetadataMatcher(id.value, ctx.at('metadata')) }
    case 'sourcedMetadata':
      return decodeSourcedMetadata(id.value, ctx.at('sourced_metadata')) ?? NO_PRINCIPAL
    case undefined:
    case 'filterState':
    case 'custom':
      return NO_PRINCIPAL // reported
  }
}

/** null after an error was recorded. */
function decodeSourcedMetadata({ metadataMatcher, metadataSource }: SourcedMetadata, ctx: Ctx) {
  if (metadataMatcher === undefined) return null
  const matcher = decodeMetadataMatcher(metadataMatcher, ctx.at('metadata_matcher'))
  return { kind: metadataSource === MetadataSource.ROUTE ? ('routeMetadata' as const) : ('metadata' as const), matcher }
}

function decodeUrlPath(path: PathMatcher, ctx: Ctx) {
  return path.rule.case === 'path' ? decodeStringMatcher(path.rule.value, ctx.at('path')) : null
}

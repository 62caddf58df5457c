// Compiled intentions to Envoy's `envoy.config.rbac.v3.RBAC`, for the network and the HTTP filter of the public listener.
// Called by the snapshot. Only the kinds that `compile.ts` makes are converted; another kind is a bug and throws.
import { create } from '@bufbuild/protobuf'
import type { HeaderMatcher, MetadataMatcher, StringMatcher } from '../../model/matcher.js'
import type { RbacPermission, RbacPrincipal } from '../../model/rbac.js'
import {
  type Permission,
  PermissionSchema,
  type Principal,
  PrincipalSchema,
  type RBAC,
  RBAC_Action,
  RBACSchema,
} from '../../xds/gen/envoy/config/rbac/v3/rbac_pb.js'
import { type HeaderMatcher as HeaderMatcherProto, HeaderMatcherSchema } from '../../xds/gen/envoy/config/route/v3/route_components_pb.js'
import { type MetadataMatcher as MetadataMatcherProto, MetadataMatcherSchema } from '../../xds/gen/envoy/type/matcher/v3/metadata_pb.js'
import { PathMatcherSchema } from '../../xds/gen/envoy/type/matcher/v3/path_pb.js'
import { RegexMatcherSchema } from '../../xds/gen/envoy/type/matcher/v3/regex_pb.js'
import { type StringMatcher as StringMatcherProto, StringMatcherSchema } from '../../xds/gen/envoy/type/matcher/v3/string_pb.js'
import type { CompiledIntentions } from './types.js'

/** Policy names are `consul-intentions-…`, so they are safe as keys of the message's map. */
export function toRbacProto(compiled: CompiledIntentions): RBAC {
  const policies = compiled.policies.map(({ name, permissions, principals }) => [
    name,
    { permissions: permissions.map(permissionProto), principals: principals.map(principalProto) },
  ])
  return create(RBACSchema, {
    action: compiled.action === 'ALLOW' ? RBAC_Action.ALLOW : RBAC_Action.DENY,
    policies: Object.fromEntries(policies),
  })
}

/** What the RBAC filters enforce, and what they only count. */
export function rbacRules({ rbac, shadowRbac }: { readonly rbac: CompiledIntentions; readonly shadowRbac?: CompiledIntentions }) {
  return { rules: toRbacProto(rbac), ...(shadowRbac === undefined ? {} : { shadowRules: toRbacProto(shadowRbac) }) }
}

function permissionProto(permission: RbacPermission): Permission {
  return create(PermissionSchema, { rule: rule(permission) })
}

function rule(permission: RbacPermission): Permission['rule'] {
  switch (permission.kind) {
    case 'any':
      return { case: 'any', value: true }
    case 'and':
      return { case: 'andRules', value: { $typeName: 'envoy.config.rbac.v3.Permission.Set', rules: permission.rules.map(permissionProto) } }
    case 'or':
      return { case: 'orRules', value: { $typeName: 'envoy.config.rbac.v3.Permission.Set', rules: permission.rules.map(permissionProto) } }
    case 'not':
      return { case: 'notRule', value: permissionProto(permission.rule) }
    case 'urlPath':
      return {
        case: 'urlPath',
        value: create(PathMatcherSchema, { rule: { case: 'path', value: stringProto(permission.matcher) } }),
      }
    case 'header':
      return { case: 'header', value: headerProto(permission.header) }
    case 'metadata':
      return { case: 'metadata', value: metadataProto(permission.matcher) }
    default:
      throw new Error(`intentions do not compile to the permission ${permission.kind}`)
  }
}

function principalProto(principal: RbacPrincipal): Principal {
  return create(PrincipalSchema, { identifier: identifier(principal) })
}

function identifier(principal: RbacPrincipal): Principal['identifier'] {
  switch (principal.kind) {
    case 'any':
      return { case: 'any', value: true }
    case 'and':
      return { case: 'andIds', value: { $typeName: 'envoy.config.rbac.v3.Principal.Set', ids: principal.ids.map(principalProto) } }
    case 'or':
      return { case: 'orIds', value: { $typeName: 'envoy.config.rbac.v3.Principal.Set', ids: principal.ids.map(principalProto) } }
    case 'not':
      return { case: 'notId', value: principalProto(principal.id) }
    case 'authenticated': {
      const principalName = principal.matcher === null ? undefined : stringProto(principal.matcher)
      return { case: 'authenticated', value: { $typeName: 'envoy.config.rbac.v3.Principal.Authenticated', principalName } }
    }
    case 'header':
      return { case: 'header', value: headerProto(principal.header) }
    case 'metadata':
      return { case: 'metadata', value: metadataProto(principal.matcher) }
    default:
      throw new Error(`intentions do not compile to the principal ${principal.kind}`)
  }
}

function headerProto({ name, match, invert }: HeaderMatcher): HeaderMatcherProto {
  if (match.kind === 'range') throw new Error('intentions do not compile to header ranges')
  return create(HeaderMatcherSchema, {
    name,
    invertMatch: invert,
    headerMatchSpecifier:
      match.kind === 'present'
        ? { case: 'presentMatch', value: match.present }
        : { case: 'stringMatch', value: stringProto(match.matcher) },
  })
}

function metadataProto({ namespace, path, value, invert }: MetadataMatcher): MetadataMatcherProto {
  if (value.kind !== 'string' && value.kind !== 'present') throw new Error(`intentions do not compile to metadata ${value.kind}`)
  return create(MetadataMatcherSchema, {
    filter: namespace,
    path: path.map(key => ({ segment: { case: 'key' as const, value: key } })),
    value: {
      matchPattern:
        value.kind === 'present'
          ? { case: 'presentMatch', value: value.value }
          : { case: 'stringMatch', value: stringProto(value.matcher) },
    },
    invert,
  })
}

function stringProto(matcher: StringMatcher): StringMatcherProto {
  if (matcher.kind === 'regex') {
    const regex = create(RegexMatcherSchema, { regex: matcher.value })
    return create(StringMatcherSchema, { matchPattern: { case: 'safeRegex', value: regex } })
  }
  return create(StringMatcherSchema, { matchPattern: { case: matcher.kind, value: matcher.value }, ignoreCase: matcher.ignoreCase })
}

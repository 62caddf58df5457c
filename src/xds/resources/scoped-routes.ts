// ScopedRoutes of the connection manager and envoy.config.route.v3.ScopedRouteConfiguration (SRDS) -> model. Called by
// http-connection-manager.ts and decode.ts. Two scopes of one list with the same key are an error, as in Envoy; those that come over SRDS
// are compared where they are kept (proxy/scope-registry).

import { type RouteScope, type ScopedRoutes, type ScopeFragment, sameScopeKey, scopeKey } from '../../model/scoped-routes.js'
import type { ScopedRouteConfiguration } from '../gen/envoy/config/route/v3/scoped_route_pb.js'
import type {
  ScopedRoutes_ScopeKeyBuilder_FragmentBuilder,
  ScopedRoutes as ScopedRoutesMessage,
} from '../gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import { decodeConfigSource, initialFetchTimeoutMs } from './config-source.js'
import type { Ctx } from './field-path.js'
import { decodeRouteTable } from './route.js'

interface DecodedScopedRoutes {
  /** null after an error was recorded. */
  readonly scopedRoutes: ScopedRoutes | null
  readonly initialFetchTimeoutMs: number
}

export function decodeScopedRoutes(message: ScopedRoutesMessage, ctx: Ctx): DecodedScopedRoutes {
  const rdsAt = ctx.at('rds_config_source')
  const rdsSource = message.rdsConfigSource === undefined ? null : decodeConfigSource(message.rdsConfigSource, rdsAt)
  const { scopes, source } = decodeScopes(message, ctx)
  const timeoutMs = initialFetchTimeoutMs(source ?? message.rdsConfigSource)
  const builder = message.scopeKeyBuilder?.fragments ?? []
  const keyBuilder = builder.map((fragment, i) => decodeFragment(fragment, ctx.at('scope_key_builder').at('fragments', i)))
  if (scopes === null) return { scopedRoutes: null, initialFetchTimeoutMs: 0 }
  return {
    scopedRoutes: {
      name: message.name,
      keyBuilder,
      rdsSource: rdsSource ?? (scopes.kind === 'dynamic' ? scopes.source : { kind: 'ads' }),
      scopes,
    },
    initialFetchTimeoutMs: timeoutMs,
  }
}

function decodeScopes({ configSpecifier }: ScopedRoutesMessage, ctx: Ctx) {
  switch (configSpecifier.case) {
    case 'scopedRouteConfigurationsList': {
      const at = ctx.at('scoped_route_configurations_list')
      const owner = new Map<string, string>()
      const list = configSpecifier.value.scopedRouteConfigurations.map((message, i) => {
        const place = at.at('scoped_route_configurations', i)
        const scope = decodeRouteScope(message, place)
        if (scope.routes.kind === 'rds')
          place.at('route_configuration_name').error('inline scopes have inline routes; set route_configuration, or use scoped_rds')
        const key = scopeKey(scope.key)
        const other = owner.get(key)
        if (other !== undefined) at.at('scoped_route_configurations', i).at('key').error(sameScopeKey(other, scope.name))
        owner.set(key, scope.name)
        return scope
      })
      return { scopes: { kind: 'inline' as const, list }, source: undefined }
    }
    case 'scopedRds': {
      const message = configSpecifier.value.scopedRdsConfigSource
      const source = decodeConfigSource(message, ctx.at('scoped_rds').at('scoped_rds_config_source'))
      return { scopes: source === null ? null : { kind: 'dynamic' as const, source }, source: message }
    }
    default:
      return { scopes: null, source: undefined } // the missing oneof has been reported
  }
}

export function decodeRouteScope(message: ScopedRouteConfiguration, ctx: Ctx): RouteScope {
  const { name, routeConfigurationName, routeConfiguration, onDemand } = message
  const key = (message.key?.fragments ?? []).map(({ type }) => type.value ?? '')
  if ((routeConfigurationName === '') === (routeConfiguration === undefined))
    ctx.at('route_configuration_name').error('exactly one of route_configuration_name and route_configuration must be set')
  const routes: RouteScope['routes'] =
    routeConfiguration === undefined
      ? { kind: 'rds', name: routeConfigurationName }
      : { kind: 'inline', table: decodeRouteTable(routeConfiguration, ctx.at('route_configuration'), false) }
  return { name, key, onDemand, routes }
}

function decodeFragment({ type }: ScopedRoutes_ScopeKeyBuilder_FragmentBuilder, ctx: Ctx): ScopeFragment {
  const at = ctx.at('header_value_extractor')
  const extractor = type.value
  const header = (extractor?.name ?? '').toLowerCase()
  const separator = extractor?.elementSeparator ?? ''
  const extract = extractor?.extractType
  switch (extract?.case) {
    case 'element': {
      const { key, separator: between } = extract.value
      return { header, separator, extract: { kind: 'element', key, separator: between } }
    }
    case 'index':
      if (separator === '' && extract.value !== 0) at.at('index').error('must be 0 where element_separator is empty')
      return { header, separator, extract: { kind: 'index', index: extract.value } }
    default:
      if (type.case !== undefined) at.error('value is required: index or element')
      return { header, separator, extract: { kind: 'index', index: 0 } }
  }
}

// Puts a filter into every filter chain of a listener, or into the HTTP connection managers of them, at a place that the extension names;
// lets an extension edit what is there. Called by the extensions.
import { create, fromBinary } from '@bufbuild/protobuf'
import type { Any } from '@bufbuild/protobuf/wkt'
import { type Filter, type FilterChain, FilterSchema } from '../../../xds/gen/envoy/config/listener/v3/listener_components_pb.js'
import type { Listener } from '../../../xds/gen/envoy/config/listener/v3/listener_pb.js'
import {
  type HttpConnectionManager,
  HttpConnectionManagerSchema,
  HttpFilterSchema,
} from '../../../xds/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import { type TcpProxy, TcpProxySchema } from '../../../xds/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js'
import { pack } from '../protobuf.js'
import { ExtensionError } from './envoy-extension.js'

export const LOCATIONS = ['First', 'Last', 'BeforeFirstMatch', 'AfterFirstMatch', 'BeforeLastMatch', 'AfterLastMatch'] as const

export interface InsertOptions {
  readonly Location: (typeof LOCATIONS)[number]
  /** The filter that `Before…` and `After…` look for. */
  readonly FilterName: string
}

export interface NewFilter {
  readonly name: string
  readonly config: Any
}

/** `network`: beside the chain's own filters; `http`: in its connection managers, if it has any. */
export function insertFilter(listener: Listener, kind: 'network' | 'http', filter: NewFilter, options: InsertOptions): void {
  const configType = { case: 'typedConfig' as const, value: filter.config }
  if (kind === 'http') {
    eachHcm(listener, hcm => {
      const at = placeOf(hcm.httpFilters, options)
      hcm.httpFilters.splice(at, 0, create(HttpFilterSchema, { name: filter.name, configType }))
    })
    return
  }
  for (const chain of listener.filterChains) {
    const at = placeOf(chain.filters, options)
    chain.filters.splice(at, 0, create(FilterSchema, { name: filter.name, configType }))
  }
}

/** Lets `change` edit each HTTP connection manager of the listener. */
export function eachHcm(listener: Listener, change: (hcm: HttpConnectionManager) => void): void {
  for (const filter of chainsOf(listener).flatMap(chain => chain.filters)) {
    const config = hcmConfig(filter)
    if (config === undefined) continue
    const hcm = fromBinary(HttpConnectionManagerSchema, config.value)
    change(hcm)
    filter.configType = { case: 'typedConfig', value: pack(HttpConnectionManagerSchema, hcm) }
  }
}

function hcmConfig({ configType }: Filter): Any | undefined {
  if (configType.case !== 'typedConfig') return undefined
  return configType.value.typeUrl.endsWith(`/${HttpConnectionManagerSchema.typeName}`) ? configType.value : undefined
}

/** Lets `change` edit each TCP proxy of the listener. */
export function eachTcpProxy(listener: Listener, change: (proxy: TcpProxy) => void): void {
  for (const filter of chainsOf(listener).flatMap(chain => chain.filters)) {
    const { configType } = filter
    if (configType.case !== 'typedConfig' || !configType.value.typeUrl.endsWith(`/${TcpProxySchema.typeName}`)) continue
    const proxy = fromBinary(TcpProxySchema, configType.value.value)
    change(proxy)
    filter.configType = { case: 'typedConfig', value: pack(TcpProxySchema, proxy) }
  }
}

function chainsOf({ filterChains, defaultFilterChain }: Listener): FilterChain[] {
  return [...filterChains, ...(defaultFilterChain === undefined ? [] : [defaultFilterChain])]
}

function placeOf(filters: readonly { readonly name: string }[], { Location, FilterName }: InsertOptions): number {
  if (Location === 'First') return 0
  if (Location === 'Last') return filters.length
  const names = filters.map(({ name }) => name)
  const found = Location.endsWith('FirstMatch') ? names.indexOf(FilterName) : names.lastIndexOf(FilterName)
  if (found < 0) throw new ExtensionError(`there is no filter ${FilterName} to insert by`)
  return Location.startsWith('Before') ? found : found + 1
}

// envoy.config.listener.v3.Listener -> model: addresses, listener filters, filter chains and their matches. Called by decode.ts (LDS)
// and bootstrap.ts (static listeners). Two chains that could both take a connection equally well are an error, as in Envoy.

import { StringValueSchema } from '@bufbuild/protobuf/wkt'
import type { Address } from '../../model/address.js'
import { formatAddress } from '../../model/address.js'
import { type FilterChain, type FilterChainMatch, type Listener, withListenerFilters } from '../../model/listener.js'
import { TrafficDirection } from '../gen/envoy/config/core/v3/base_pb.js'
import {
  FilterChainMatch_ConnectionSourceTypeSchema,
  type FilterChainMatch as FilterChainMatchMessage,
  type FilterChain as FilterChainMessage,
} from '../gen/envoy/config/listener/v3/listener_components_pb.js'
import { Listener_DrainType, type Listener as ListenerMessage } from '../gen/envoy/config/listener/v3/listener_pb.js'
import { decodeAccessLogs } from './access-log.js'
import { decodeAddress, decodeCidrs } from './address.js'
import { unpackAs } from './any.js'
import type { Ctx } from './field-path.js'
import { decodeListenerFilters } from './listener-filters.js'
import { decodeMatchTree, type MatchPlace } from './match-tree.js'
import { decodeNetworkFilters } from './network-filters.js'
import { decodeDownstreamSocket } from './transport-socket.js'
import { decodeMetadata, durationMsOr, enumName } from './values.js'

const DEFAULT_BUFFER_LIMIT = 1024 * 1024

const DIRECTIONS: Record<TrafficDirection, Listener['trafficDirection']> = {
  [TrafficDirection.UNSPECIFIED]: 'UNSPECIFIED',
  [TrafficDirection.INBOUND]: 'INBOUND',
  [TrafficDirection.OUTBOUND]: 'OUTBOUND',
}

/** `isStatic`: a listener of the bootstrap may lack a name; it is then called by its address. */
export function decodeListenerMessage(listener: ListenerMessage, ctx: Ctx, isStatic: boolean): Listener {
  const address = decodeAddress(listener.address, ctx.at('address'), 'ip')
  if (listener.name === '' && !isStatic) ctx.at('name').error('value length must be at least 1 characters')
  const { present, discovered } = decodeListenerFilters(listener, ctx)
  const filterChains = listener.filterChains.map((chain, i) => decodeFilterChain(chain, ctx.at('filter_chains', i)))
  const defaultFilterChain =
    listener.defaultFilterChain === undefined ? null : decodeFilterChain(listener.defaultFilterChain, ctx.at('default_filter_chain'))
  if (filterChains.length === 0 && defaultFilterChain === null) {
    ctx.at('filter_chains').error('no filter chains specified for connection-oriented listener')
  }
  if (listener.filterChainMatcher === undefined) checkDuplicateMatches(filterChains, ctx)
  else checkChainNames(filterChains, ctx)
  return {
    name: listener.name || formatAddress(address),
    statPrefix: listener.statPrefix,
    address,
    additionalAddresses: listener.additionalAddresses.map(
      (additional, i): Address => decodeAddress(additional.address, ctx.at('additional_addresses', i).at('address'), 'ip'),
    ),
    bindToPort: (listener.bindToPort ?? true) && (listener.deprecatedV1?.bindToPort ?? true),
    trafficDirection: DIRECTIONS[listener.trafficDirection] ?? 'UNSPECIFIED',
    filterChains,
    defaultFilterChain,
    filterChainMatcher:
      listener.filterChainMatcher === undefined
        ? null
        : decodeMatchTree(listener.filterChainMatcher, CHAIN_PLACE, ctx.at('filter_chain_matcher')),
    ...withListenerFilters(
      {
        // Envoy adds the inspector by itself where a chain match needs the ClientHello.
        tlsInspector: filterChains.some(chain => needsTlsInspector(chain.match)),
        httpInspector: false,
        // use_original_dst brings the filter with it, as in Envoy.
        originalDst: listener.useOriginalDst === true,
        proxyProtocol: null,
      },
      present,
    ),
    ...(discovered.length === 0 ? {} : { discoveredFilters: discovered }),
    handsOffRedirected: listener.useOriginalDst === true,
    transparent: listener.transparent === true,
    listenerFiltersTimeoutMs: durationMsOr(listener.listenerFiltersTimeout, 15_000),
    continueOnListenerFiltersTimeout: listener.continueOnListenerFiltersTimeout,
    perConnectionBufferLimitBytes: listener.perConnectionBufferLimitBytes ?? DEFAULT_BUFFER_LIMIT,
    accessLogs: decodeAccessLogs(listener.accessLog, ctx, 'access_log'),
    drainType: listener.drainType === Listener_DrainType.MODIFY_ONLY ? 'MODIFY_ONLY' : 'DEFAULT',
    tcpBacklogSize: listener.tcpBacklogSize ?? null,
    metadata: decodeMetadata(listener.metadata),
    ...(listener.ignoreGlobalConnLimit ? { ignoreGlobalConnLimit: true } : {}),
    ...(listener.bypassOverloadManager ? { bypassOverload: true } : {}),
    unsupported: ctx.sink.unsupported,
  }
}

/** What a chain may be chosen by: nothing of the certificate, which comes later. */
const CHAIN_PLACE: MatchPlace<string> = {
  inputs: new Set([
    'destinationIp',
    'destinationPort',
    'sourceIp',
    'sourcePort',
    'directSourceIp',
    'sourceType',
    'serverName',
    'transportProtocol',
    'applicationProtocol',
  ]),
  action(config, ctx) {
    const chain = unpackAs(config.typedConfig, StringValueSchema, ctx.at('typed_config'))
    return chain === null ? null : chain.value
  },
}

/** A matcher finds its chains by their names. */
function checkChainNames(chains: readonly FilterChain[], ctx: Ctx): void {
  const names = new Set<string>()
  chains.forEach(({ name }, i) => {
    const at = ctx.at('filter_chains', i).at('name')
    if (name === '') at.error('value is required where the listener has a filter_chain_matcher')
    else if (names.has(name)) at.error(`'${name}' is the name of an earlier chain; a filter_chain_matcher needs names of their own`)
    names.add(name)
  })
}

function needsTlsInspector(match: FilterChainMatch): boolean {
  return match.serverNames.length > 0 || match.applicationProtocols.length > 0 || match.transportProtocol === 'tls'
}

function decodeFilterChain(chain: FilterChainMessage, ctx: Ctx): FilterChain {
  return {
    name: chain.name,
    match: decodeMatch(chain.filterChainMatch, ctx.at('filter_chain_match')),
    tls: decodeDownstreamSocket(chain.transportSocket, ctx.at('transport_socket')),
    filters: decodeNetworkFilters(chain.filters, ctx, 'filters'),
    transportSocketConnectTimeoutMs: durationMsOr(chain.transportSocketConnectTimeout, 0),
    metadata: decodeMetadata(chain.metadata),
  }
}

const ANY_CONNECTION: FilterChainMatch = {
  destinationPort: null,
  prefixRanges: [],
  serverNames: [],
  transportProtocol: '',
  applicationProtocols: [],
  directSourcePrefixRanges: [],
  sourceType: 'ANY',
  sourcePrefixRanges: [],
  sourcePorts: [],
}

function decodeMatch(match: FilterChainMatchMessage | undefined, ctx: Ctx): FilterChainMatch {
  if (match === undefined) return ANY_CONNECTION
  const serverNames = match.serverNames.map((raw, i) => {
    const name = raw.toLowerCase()
    // Behind a leading wildcard Envoy looks no further: another asterisk there is one of the name, which no client sends.
    if (name.includes('*') && !name.startsWith('*.')) {
      ctx.at('server_names', i).error(`'${raw}': partial wildcards are not supported in server_names`)
    }
    return name
  })
  return {
    destinationPort: match.destinationPort ?? null,
    prefixRanges: decodeCidrs(match.prefixRanges, ctx, 'prefix_ranges'),
    serverNames,
    transportProtocol: match.transportProtocol,
    applicationProtocols: match.applicationProtocols,
    directSourcePrefixRanges: decodeCidrs(match.directSourcePrefixRanges, ctx, 'direct_source_prefix_ranges'),
    sourceType: enumName(FilterChainMatch_ConnectionSourceTypeSchema, match.sourceType) as FilterChainMatch['sourceType'],
    sourcePrefixRanges: decodeCidrs(match.sourcePrefixRanges, ctx, 'source_prefix_ranges'),
    sourcePorts: match.sourcePorts,
  }
}

/** Each criterion's values; a chain stands for their product, and no two chains may share an element of it. */
function* matchKeys(match: FilterChainMatch): Generator<string> {
  const some = <T>(values: readonly T[], text: (value: T) => string): string[] => (values.length > 0 ? values.map(text) : [''])
  const ranges = (values: FilterChainMatch['prefixRanges']): string[] => some(values, range => `${range.address}/${range.prefixLength}`)
  for (const destination of ranges(match.prefixRanges))
    for (const server of some(match.serverNames, name => name))
      for (const alpn of some(match.applicationProtocols, name => name))
        for (const direct of ranges(match.directSourcePrefixRanges))
          for (const source of ranges(match.sourcePrefixRanges))
            for (const port of some(match.sourcePorts, String)) {
              yield [
                match.destinationPort ?? '',
                destination,
                server,
                match.transportProtocol,
                alpn,
                direct,
                match.sourceType,
                source,
                port,
              ].join(' ')
            }
}

/** A match whose lists multiply beyond this is compared as a whole only. */
const MAX_MATCH_KEYS = 10_000

function checkDuplicateMatches(chains: readonly FilterChain[], ctx: Ctx): void {
  const owner = new Map<string, number>()
  chains.forEach((chain, i) => {
    let count = 0
    for (const key of matchKeys(chain.match)) {
      if (++count > MAX_MATCH_KEYS) return
      const other = owner.get(key)
      if (other !== undefined) {
        ctx
          .at('filter_chains', i)
          .at('filter_chain_match')
          .error(`multiple filter chains with overlapping matching rules are defined: the same as filter_chains[${other}]`)
        return
      }
      owner.set(key, i)
    }
  })
}

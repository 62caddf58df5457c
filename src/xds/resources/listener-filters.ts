// Listener filters of a listener -> what the listener looks at before a chain is chosen: one table from message name to decoder. Called by
// listener.ts, and for those that come over ECDS by extension-config.ts.

import type { Listener, ListenerFilter } from '../../model/listener.js'
import type { Listener as ListenerMessage } from '../gen/envoy/config/listener/v3/listener_pb.js'
import type { ProxyProtocol } from '../gen/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol_pb.js'
import { describeType, type Unpacked, unpackAny } from './any.js'
import type { Ctx } from './field-path.js'
import { type DiscoveryPlace, decodeDiscovery } from './filter-discovery.js'

const PACKAGE = 'envoy.extensions.filters.listener.'

const FILTERS: ReadonlyMap<string, (message: unknown) => ListenerFilter> = new Map<string, (message: unknown) => ListenerFilter>([
  ['tls_inspector.v3.TlsInspector', () => ({ kind: 'tlsInspector' })],
  ['http_inspector.v3.HttpInspector', () => ({ kind: 'httpInspector' })],
  [
    'proxy_protocol.v3.ProxyProtocol',
    m => ({ kind: 'proxyProtocol', allowWithout: (m as ProxyProtocol).allowRequestsWithoutProxyProtocol }),
  ],
  ['original_dst.v3.OriginalDst', () => ({ kind: 'originalDst' })],
])

function decoderOf(typeName: string) {
  return typeName.startsWith(PACKAGE) ? FILTERS.get(typeName.slice(PACKAGE.length)) : undefined
}

/** `unknown`: no listener filter; null after an error was recorded. */
export function decodeListenerFilter({ typeName, message, known }: Unpacked): ListenerFilter | 'unknown' | null {
  const decoder = decoderOf(typeName)
  if (decoder === undefined || !known) return 'unknown'
  return message === null ? null : decoder(message)
}

const PLACE: DiscoveryPlace<ListenerFilter> = {
  what: 'listener filter',
  isKnown: typeName => decoderOf(typeName) !== undefined,
  decode(unpacked) {
    const filter = decodeListenerFilter(unpacked)
    return filter === 'unknown' ? null : filter
  },
}

interface ListenerFilters {
  /** In place, in order. */
  readonly present: readonly ListenerFilter[]
  readonly discovered: NonNullable<Listener['discoveredFilters']>
}

export function decodeListenerFilters({ listenerFilters }: ListenerMessage, ctx: Ctx): ListenerFilters {
  const present: ListenerFilter[] = []
  const discovered: NonNullable<Listener['discoveredFilters']>[number][] = []
  listenerFilters.forEach(({ name, configType }, i) => {
    const at = ctx.at('listener_filters', i)
    switch (configType.case) {
      case 'configDiscovery': {
        const discovery = decodeDiscovery(name, configType.value, at.at('config_discovery'), PLACE)
        if (discovery !== null) discovered.push({ name, discovery })
        return
      }
      case 'typedConfig': {
        const config = at.at('typed_config')
        const unpacked = unpackAny(configType.value, config)
        const filter = decodeListenerFilter(unpacked)
        if (filter === 'unknown') config.error(`unknown listener filter '${name}' (${describeType(unpacked.typeUrl)})`)
        else if (filter !== null) present.push(filter)
        return
      }
      default:
        at.error(`unknown listener filter '${name}' (no typed_config)`)
    }
  })
  return { present, discovered }
}

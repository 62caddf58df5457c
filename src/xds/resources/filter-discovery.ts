// envoy.config.core.v3.ExtensionConfigSource -> Discovery: a filter's place that ECDS fills, for HTTP, network and listener filters alike.
// Called by http-filter.ts, network-filters.ts and listener-filters.ts, which know what may stand in the place.

import type { Discovery } from '../../model/discovery.js'
import type { ExtensionConfigSource } from '../gen/envoy/config/core/v3/config_source_pb.js'
import { typeNameOf, type Unpacked, unpackAny } from './any.js'
import { decodeConfigSource, initialFetchTimeoutMs } from './config-source.js'
import type { Ctx } from './field-path.js'

export interface DiscoveryPlace<F> {
  /** `HTTP filter`, in errors. */
  readonly what: string
  isKnown(typeName: string): boolean
  /** Of default_config; null after an error was recorded. */
  decode(unpacked: Unpacked, ctx: Ctx): F | null
}

/** null after an error was recorded. */
export function decodeDiscovery<F>(
  name: string,
  discovery: ExtensionConfigSource,
  ctx: Ctx,
  place: DiscoveryPlace<F>,
): Discovery<F> | null {
  const source = decodeConfigSource(discovery.configSource, ctx.at('config_source'))
  const typeNames = discovery.typeUrls.map(typeNameOf)
  typeNames.forEach((typeName, i) => {
    if (!place.isKnown(typeName)) ctx.at('type_urls', i).error(`no ${place.what} is of type '${typeName}'`)
  })
  const { defaultConfig, applyDefaultConfigWithoutWarming: withoutWarming } = discovery
  let fallback: F | null = null
  if (defaultConfig !== undefined) {
    const at = ctx.at('default_config')
    const unpacked = unpackAny(defaultConfig, at)
    const { typeName } = unpacked
    if (typeNames.includes(typeName)) fallback = place.decode(unpacked, at)
    else at.error(`the filter has type ${typeName}, but type_urls has ${typeNames.join(', ')}`)
  } else if (withoutWarming) {
    ctx.at('apply_default_config_without_warming').error(`filter '${name}' applied without warming has no default_config`)
  }
  if (source === null) return null
  return { source, initialFetchTimeoutMs: initialFetchTimeoutMs(discovery.configSource), typeNames, fallback, withoutWarming }
}

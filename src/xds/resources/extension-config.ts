// envoy.config.core.v3.TypedExtensionConfig as ECDS has it -> ExtensionConfig: what it is says where it may stand. Called by decode.ts.

import type { ExtensionConfig } from '../../model/extension-config.js'
import type { TypedExtensionConfig } from '../gen/envoy/config/core/v3/extension_pb.js'
import { describeType, unpackAny } from './any.js'
import type { Ctx } from './field-path.js'
import { decodeFilterConfig } from './http-filter.js'
import { decodeListenerFilter } from './listener-filters.js'
import { decodeNamedFilter } from './network-filters.js'

/** null after an error was recorded. */
export function decodeExtensionConfigMessage({ name, typedConfig }: TypedExtensionConfig, ctx: Ctx): ExtensionConfig | null {
  if (typedConfig === undefined) return null // reported
  const at = ctx.at('typed_config')
  const unpacked = unpackAny(typedConfig, at)
  const { typeName, typeUrl } = unpacked
  const http = decodeFilterConfig(unpacked, at)
  if (http !== 'unknown') return http === null ? null : { name, typeName, place: 'http', filter: http }
  const network = decodeNamedFilter(name, unpacked, at)
  if (network !== 'unknown') return { name, typeName, place: 'network', filter: network }
  const listener = decodeListenerFilter(unpacked)
  if (listener !== 'unknown') return listener === null ? null : { name, typeName, place: 'listener', filter: listener }
  at.error(`unknown filter '${name}' (${describeType(typeUrl)})`)
  return null
}

// Runtime values: the layers of the bootstrap (envoy.config.bootstrap.v3.RuntimeLayer) and what RTDS brings for one
// (envoy.service.runtime.v3.Runtime) -> flat keys. Called by bootstrap.ts and decode.ts.

import type { RuntimeLayer, RuntimeValue } from '../../model/bootstrap.js'
import type { JsonObject } from '../../model/metadata.js'
import type { RuntimeLayer as RuntimeLayerMessage } from '../gen/envoy/config/bootstrap/v3/bootstrap_pb.js'
import type { Runtime as RuntimeMessage } from '../gen/envoy/service/runtime/v3/rtds_pb.js'
import { decodeConfigSource, initialFetchTimeoutMs } from './config-source.js'
import type { Ctx } from './field-path.js'
import { plainObject } from './values.js'

/** A layer with its static values; an RTDS layer has none yet, and says where they come from. */
export function decodeRuntimeLayer({ name, layerSpecifier }: RuntimeLayerMessage, ctx: Ctx): RuntimeLayer {
  switch (layerSpecifier.case) {
    case 'staticLayer':
      return { name, values: flattened(plainObject(layerSpecifier.value)), rtds: null, isAdmin: false }
    case 'rtdsLayer': {
      const { name: resource, rtdsConfig } = layerSpecifier.value
      const source = decodeConfigSource(rtdsConfig, ctx.at('rtds_layer').at('rtds_config'))
      const rtds = source === null ? null : { name: resource, source, initialFetchTimeoutMs: initialFetchTimeoutMs(rtdsConfig) }
      return { name, values: new Map(), rtds, isAdmin: false }
    }
    default:
      return { name, values: new Map(), rtds: null, isAdmin: layerSpecifier.case === 'adminLayer' }
  }
}

/** One RTDS resource: the values of every layer that names it. */
export function decodeRuntimeMessage({ layer }: RuntimeMessage): ReadonlyMap<string, RuntimeValue> {
  return flattened(plainObject(layer ?? {}))
}

function flattened(object: JsonObject): ReadonlyMap<string, RuntimeValue> {
  const values = new Map<string, RuntimeValue>()
  flatten(object, '', values)
  return values
}

const DENOMINATORS: Readonly<Record<string, number>> = { HUNDRED: 100, TEN_THOUSAND: 10_000, MILLION: 1_000_000 }

/** Nested keys are joined by dots. Fractions become their share of 100. */
function flatten(object: JsonObject, prefix: string, into: Map<string, RuntimeValue>): void {
  for (const [key, value] of Object.entries(object)) {
    const name = prefix === '' ? key : `${prefix}.${key}`
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') into.set(name, value)
    else if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      const fields = value as JsonObject
      const numerator = fields['numerator']
      const denominator = fields['denominator']
      if (typeof numerator === 'number') {
        const base = typeof denominator === 'string' ? (DENOMINATORS[denominator] ?? 100) : 100
        into.set(name, (numerator / base) * 100)
      } else flatten(fields, name, into)
    }
  }
}

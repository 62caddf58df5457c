// Who sends, for OpenTelemetry: the attributes of the resource of spans and log records. Detectors are read when a tracer or a log is
// opened; of two with the same name the later counts.

import type { ResourceDetector } from '../../model/tracing.js'
import { toByteString } from '../codec/byte-string.js'
import type { Attributes } from './otlp-values.js'

/** Of OTEL_RESOURCE_ATTRIBUTES, as of the static ones. */
export const MAX_RESOURCE_ATTRIBUTES = 256

export function resourceAttributes(
  first: Attributes,
  detectors: readonly ResourceDetector[],
  readEnvironment: (name: string) => string | undefined,
): Attributes {
  const found = new Map(first)
  for (const detector of detectors) {
    const attributes = detector.kind === 'static' ? detector.attributes : fromEnvironment(readEnvironment('OTEL_RESOURCE_ATTRIBUTES') ?? '')
    for (const [name, value] of attributes.slice(0, MAX_RESOURCE_ATTRIBUTES)) found.set(toByteString(name), toByteString(value))
  }
  return [...found]
}

/** `k1=v1,k2=v2`; pairs without `=` are passed over. */
function fromEnvironment(text: string): [string, string][] {
  return text.split(',').flatMap((pair): [string, string][] => {
    const at = pair.indexOf('=')
    return at <= 0 ? [] : [[pair.slice(0, at).trim(), pair.slice(at + 1).trim()]]
  })
}

// How every resource that comes over xDS is decoded: what becomes of fields that our protos do not know (--reject-unknown-dynamic-fields,
// --ignore-unknown-dynamic-fields), counted as Envoy counts them (`server.dynamic_unknown_fields`). Used by the resource kinds.

import type { Steps } from '../../io/slices.js'
import type { ServerHandles } from '../../metrics/stat-names.js'
import type { Checked } from '../../model/config-error.js'
import type { FilterSettingsReaders } from '../../model/custom-filter.js'
import type { ServerLog } from '../../proxy/server.js'
import type { XdsResource } from '../../xds/client/client.js'
import type { Decoded, DecodeOptions } from '../../xds/resources/field-path.js'
import type { TrackedResources } from '../tracked-resources.js'

export type UnknownFields = 'count' | 'ignore' | 'refuse'

export interface Decode {
  <T>(decoder: (value: Uint8Array, options: DecodeOptions) => Decoded<T>, resource: XdsResource): Checked<T>
  /** The same with pauses. */
  inSteps<T>(decoder: (value: Uint8Array, options: DecodeOptions) => Steps<Decoded<T>>, resource: XdsResource): Steps<Checked<T>>
}

export interface DecodingRules {
  readonly unknownFields: UnknownFields
  /** HTTP filters of the embedding program. */
  readonly customFilters?: FilterSettingsReaders
}

export function dynamicDecoder(
  { unknownFields, customFilters }: DecodingRules,
  stats: Pick<ServerHandles, 'dynamic_unknown_fields'>,
  log: ServerLog,
  tracked: TrackedResources,
): Decode {
  const options: DecodeOptions = {
    unknownFields: unknownFields === 'refuse' ? 'refuse' : 'count',
    ...(customFilters === undefined ? {} : { customFilters }),
  }
  const counted = <T>(decoded: Decoded<T>, resource: XdsResource): Checked<T> => {
    const { name, any } = resource
    tracked.noteWithoutEffect(resource, decoded.unsupported)
    if (decoded.unknownFields > 0 && unknownFields === 'count') {
      stats.dynamic_unknown_fields.value++
      log('warn', `${name}: ${decoded.unknownFields} fields that are not known are ignored`, { typeUrl: any.typeUrl }, 'config')
    }
    return decoded
  }
  const decode: Decode = (decoder, resource) => counted(decoder(resource.any.value, options), resource)
  decode.inSteps = function* (decoder, resource) {
    return counted(yield* decoder(resource.any.value, options), resource)
  }
  return decode
}

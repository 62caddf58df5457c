// envoy.filters.http.set_metadata and set_filter_state: values of the configuration, or formats, become dynamic metadata or filter state of a
// request, for rules, logs and load balancing further on.

import type { JsonObject, JsonValue } from '../../model/metadata.js'
import type { SetFilterStateConfig, SetMetadataRule } from '../../model/metadata-filters.js'
import { fromByteString } from '../codec/byte-string.js'
import { compileBodyFormat } from '../log/access-log.js'
import type { StreamInfo } from '../stream/stream-info.js'
import type { FilterContext } from './filter-environment.js'
import type { FilterCall, FilterFactory, StreamFilter } from './http-filter.js'

export function setMetadataFilter(name: string, disabled: boolean, rules: readonly SetMetadataRule[], ctx: FilterContext): FilterFactory {
  const { overwrite_denied: denied } = ctx.httpCounters('set_metadata', ['overwrite_denied'])
  const apply = ({ info, imagined }: FilterCall): void => {
    for (const { namespace, value, merges } of rules) {
      const present = info.dynamicMetadata(namespace)
      if (present === undefined || merges) merge(info, namespace, present ?? {}, value)
      else if (imagined !== true) denied.value++
    }
  }
  return applying(name, disabled, rules.length === 0 ? null : apply, 'its metadata is set')
}

export function setFilterStateFilter(name: string, disabled: boolean, { values, clearsRoute }: SetFilterStateConfig): FilterFactory {
  const compiled = values.map(({ key, format, omitsEmptyValues, skipIfEmpty }) => ({
    key,
    format: compileBodyFormat({ text: format, json: null, omitEmptyValues: omitsEmptyValues }),
    skipIfEmpty,
  }))
  const apply = (call: FilterCall): void => {
    for (const { key, format, skipIfEmpty } of compiled) {
      const value = format(call.info)
      if (value !== '' || !skipIfEmpty) call.info.setFilterState(key, fromByteString(value))
    }
    if (clearsRoute) call.clearRouteCache()
  }
  return applying(name, disabled, values.length === 0 ? null : apply, 'its filter state is set')
}

function applying(name: string, disabled: boolean, apply: ((call: FilterCall) => void) | null, reason: string): FilterFactory {
  const shared: StreamFilter | null =
    apply === null
      ? null
      : {
          requestHead(call) {
            apply(call)
            return 'continue'
          },
          explain(call) {
            apply(call)
            return { verdict: 'passes', reason }
          },
        }
  return { name, disabled, create: () => shared }
}

/** As Envoy merges: objects by their keys, lists one behind the other, anything else by the newer. */
function merge(info: StreamInfo, namespace: string, present: JsonObject, added: JsonObject): void {
  for (const [key, value] of Object.entries(added)) info.setDynamicMetadata(namespace, key, merged(present[key], value))
}

function merged(present: JsonValue | undefined, added: JsonValue): JsonValue {
  if (Array.isArray(present) && Array.isArray(added)) return [...present, ...added]
  if (!isObject(present) || !isObject(added)) return added
  const out: Record<string, JsonValue> = { ...present }
  for (const [key, value] of Object.entries(added)) out[key] = merged(present[key], value)
  return out
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

// envoy.filters.http.set_metadata and set_filter_state: values of the configuration, or formats, become dynamic metadata or filter state of a
// request, for rules, logs and load balancing further on. Behind the filter's own metadata come those of the most
// specific level of the routes, behind its filter state that of every level, the most specific last.

import type { JsonObject, JsonValue } from '../../model/metadata.js'
import type { SetFilterStateConfig, SetMetadataRule } from '../../model/metadata-filters.js'
import { fromByteString } from '../codec/byte-string.js'
import { compileBodyFormat } from '../log/access-log.js'
import type { StreamInfo } from '../stream/stream-info.js'
import { compileOnce } from './compile-once.js'
import type { FilterContext } from './filter-environment.js'
import type { FilterCall, FilterFactory, StreamFilter } from './http-filter.js'

export function setMetadataFilter(name: string, disabled: boolean, rules: readonly SetMetadataRule[], ctx: FilterContext): FilterFactory {
  const { overwrite_denied: denied } = ctx.httpCounters('set_metadata', ['overwrite_denied'])
  const set = setter(rules, denied)
  const own = rules.length === 0 ? null : applying('its metadata is set', set)
  const byRoute = compileOnce((route: readonly SetMetadataRule[]) => {
    // Of all connection managers, as Envoy counts what routes bring.
    const setOfRoute = setter(route, ctx.scope('set_metadata').counter('overwrite_denied'))
    return applying('its metadata is set', call => {
      set(call)
      setOfRoute(call)
    })
  })
  return {
    name,
    disabled,
    create(call: FilterCall): StreamFilter | null {
      const override = call.overrideFor(name)
      return override?.kind === 'setMetadata' ? byRoute(override.config) : own
    },
  }
}

function setter(rules: readonly SetMetadataRule[], denied: { value: number }): (call: FilterCall) => void {
  return ({ info, imagined }) => {
    for (const { namespace, value, merges } of rules) {
      const present = info.dynamicMetadata(namespace)
      if (present === undefined || merges) merge(info, namespace, present ?? {}, value)
      else if (imagined !== true) denied.value++
    }
  }
}

export function setFilterStateFilter(name: string, disabled: boolean, config: SetFilterStateConfig): FilterFactory {
  const compiled = compileOnce(compileValues)
  const filterOf = (levels: readonly SetFilterStateConfig[]): StreamFilter =>
    applying('its filter state is set', call => {
      for (const level of levels) for (const set of compiled(level)) set(call.info)
      if (config.clearsRoute) call.clearRouteCache()
    })
  const own = config.values.length === 0 && !config.clearsRoute ? null : filterOf([config])
  return {
    name,
    disabled,
    create(call: FilterCall): StreamFilter | null {
      if (call.overrideFor(name) === undefined) return own
      const levels = [config]
      for (const override of call.overridesFor(name)) if (override.kind === 'setFilterState') levels.push(override.config)
      return filterOf(levels)
    },
  }
}

function compileValues({ values }: SetFilterStateConfig): readonly ((info: StreamInfo) => void)[] {
  return values.map(({ key, format, skipIfEmpty }) => {
    const textOf = compileBodyFormat(format)
    return info => {
      const text = textOf(info)
      // A format of JSON ends its line.
      const value = format.json === null ? text : text.slice(0, -1)
      if (value !== '' || !skipIfEmpty) info.setFilterState(key, fromByteString(value))
    }
  })
}

function applying(reason: string, apply: (call: FilterCall) => void): StreamFilter {
  return {
    requestHead(call) {
      apply(call)
      return 'continue'
    },
    explain(call) {
      apply(call)
      return { verdict: 'passes', reason }
    },
  }
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

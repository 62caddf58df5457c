// Config entries as Consul prints them: most of its durations are Go's own type, which JSON has as nanoseconds, and Go's clients read nothing
// else there; only those of routers and resolvers are words. Here all are kept as words. Called by `/v1/config` for what it shows; both forms
// are taken.
import { parseDuration } from './duration.js'
import { isObject } from './field-reader.js'

/** By the field whose object they stand in. */
const NUMBERS: Readonly<Record<string, readonly string[]>> = {
  PassiveHealthCheck: ['Interval', 'BaseEjectionTime'],
  CookieConfig: ['TTL'],
  Remote: ['CacheDuration'],
  JWKSCluster: ['ConnectTimeout'],
  RetryPolicyBackOff: ['BaseInterval', 'MaxInterval'],
  TimeoutFilter: ['RequestTimeout', 'IdleTimeout'],
}
/** What its author wrote for somebody else stands as it is. */
const OPAQUE: ReadonlySet<string> = new Set(['Config', 'Meta', 'Arguments'])

export function withShownDurations(entry: object): object {
  return shown(entry, '') as object
}

/** The value itself where nothing of it is another. */
function shown(value: unknown, field: string): unknown {
  if (Array.isArray(value)) {
    const items = value.map(item => shown(item, field))
    return items.some((item, i) => item !== value[i]) ? items : value
  }
  if (!isObject(value)) return value
  const numbers = NUMBERS[field]
  const fields = Object.entries(value).map(([key, part]): [string, unknown] => {
    if (OPAQUE.has(key)) return [key, part]
    const ns = typeof part === 'string' && numbers?.includes(key) ? parseDuration(part) : undefined
    return [key, ns ?? shown(part, key)]
  })
  return fields.some(([key, part]) => part !== (value as Record<string, unknown>)[key]) ? Object.fromEntries(fields) : value
}

// Reads an opaque map (`Proxy.Config`, an upstream's `Config`) by the table of its keys (proxy-config-keys.ts). Used by
// snapshot/proxy-config.ts and http-api/bootstrap.ts.
import { type ConfigKey, type ConfigKeys, foldKey } from './proxy-config-keys.js'
import type { ConfigError } from './types.js'

/** The keys of a map under their own names, later maps over earlier ones; a value of the wrong form is left out and reported. */
export class OpaqueConfig<Keys extends ConfigKeys> {
  private readonly values = new Map<string, unknown>()

  constructor(
    private readonly path: string,
    private readonly keys: Keys,
    private readonly problems: ConfigError[],
  ) {}

  add(values: Readonly<Record<string, unknown>>): this {
    for (const [key, value] of Object.entries(values)) this.values.set(foldKey(key), value)
    return this
  }

  get<K extends keyof Keys & string>(name: K): ValueOf<Keys[K]> | undefined {
    const value = this.values.get(foldKey(name))
    if (value === undefined || value === null || value === '') return undefined
    const { shape } = this.keys[name] as ConfigKey<ValueOf<Keys[K]>>
    const read = shape.read(value)
    if (read === undefined) this.problems.push({ path: `${this.path}.${name}`, reason: `must be ${shape.expected}` })
    return read
  }
}

type ValueOf<K> = K extends ConfigKey<infer T> ? T : never

// What a config check returns instead of throwing: every problem found, each with the path of the field that holds it.
// Made by src/xds (validate*), sent to the control plane as the NACK's error_detail, printed by --mode validate.

/** One problem in a config. `path` is the proto field path, e.g. `filter_chains[0].filters[1].typed_config.stat_prefix`. */
export interface ConfigError {
  readonly path: string
  readonly reason: string
}

export type Checked<T> =
  | { readonly ok: true; readonly value: T; readonly warnings: readonly ConfigError[] }
  | { readonly ok: false; readonly errors: readonly ConfigError[] }

// The intention table that our control plane puts into a listener's filter_metadata["outrigger"].intentions, so that the sidecar
// can say which intention decided. It explains; enforcement is always the RBAC filter's.

export interface IntentionPermission {
  readonly action: 'allow' | 'deny'
  readonly path?: { readonly kind: 'exact' | 'prefix' | 'regex'; readonly value: string }
  readonly methods?: readonly string[]
  readonly headers?: readonly {
    readonly name: string
    readonly kind: 'present' | 'exact' | 'prefix' | 'suffix' | 'contains' | 'regex'
    readonly value?: string
    readonly invert?: boolean
    readonly ignoreCase?: boolean
  }[]
  readonly jwt?: boolean
}

/** One source of a service-intentions entry; the table is in order of precedence, highest first. */
export interface Intention {
  /** `<source> -> <destination>`, e.g. `web -> api`. */
  readonly name: string
  readonly source: string
  readonly destination: string
  readonly precedence: number
  readonly action: 'allow' | 'deny' | 'permissions'
  readonly permissions?: readonly IntentionPermission[]
}

export interface IntentionTable {
  readonly destination: string
  readonly defaultAction: 'allow' | 'deny'
  readonly intentions: readonly Intention[]
}

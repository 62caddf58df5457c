// The tokens that this process uses where a request shows none of its own: `acl.tokens` of Consul's agent configuration. Made by `AclSystem`
// from its options, changed by `PUT /v1/agent/token/:kind`; read by the HTTP API and by DNS.
// With `enable_token_persistence` what the API sets outlives a restart, and goes over the configuration then, as in Consul.
// Invariant: a kind without a token of its own uses the default one, and without that the anonymous token's rights.
import { put, type Store } from '../store/store.js'
import { AclError } from './acl-error.js'

/** Those that are read here. */
export type AgentTokenKind = 'default' | 'dns' | 'agent'

/** Consul's names, the older ones too. What is kept and read by nobody here belongs to servers that replicate. */
const KINDS: Readonly<Record<string, string>> = {
  default: 'default',
  acl_token: 'default',
  agent: 'agent',
  acl_agent_token: 'agent',
  agent_recovery: 'agent_recovery',
  agent_master: 'agent_recovery',
  acl_agent_master_token: 'agent_recovery',
  replication: 'replication',
  acl_replication_token: 'replication',
  config_file_service_registration: 'config_file_service_registration',
  dns: 'dns',
}
const MAX_TOKEN_CHARS = 4096
const RECORD = 'agent-tokens'

export class AgentTokens {
  private readonly secrets = new Map<string, string>()
  /** Set by the API, to be kept in `store`. */
  private readonly kept = new Map<string, string>()
  private store: Store | undefined

  constructor(initial: Readonly<Record<string, string>> = {}) {
    this.configure(initial)
  }

  /** What the configuration says, at the start and whenever it is read again. */
  configure(tokens: Readonly<Record<string, string>>): void {
    for (const [name, secret] of Object.entries(tokens)) if (!this.kept.has(kindOf(name))) this.set(name, secret)
  }

  /** Takes what was set by the API before, and keeps what will be. */
  async keepIn(store: Store): Promise<void> {
    const record = await store.get('meta', RECORD)
    for (const [kind, secret] of Object.entries((record?.value ?? {}) as Record<string, string>)) {
      this.kept.set(kind, secret)
      this.secrets.set(kind, secret)
    }
    this.store = store
  }

  /** From the API. Resolves once it is kept where it is to be. */
  async write(name: string, secret: string): Promise<void> {
    this.set(name, secret)
    const kind = kindOf(name)
    if (secret === '') this.kept.delete(kind)
    else this.kept.set(kind, secret)
    const { store } = this
    // Other replicas keep theirs in the same record.
    await store?.exclusive(async turn => {
      const { [kind]: _before, ...others } = ((await store.get('meta', RECORD))?.value ?? {}) as Record<string, string>
      await turn.transaction([put('meta', RECORD, secret === '' ? others : { ...others, [kind]: secret })])
    })
  }

  /** An empty secret takes the token away. Throws `AclError` for a kind that nobody knows. */
  private set(name: string, secret: string): void {
    const kind = kindOf(name)
    if (secret.length > MAX_TOKEN_CHARS) throw new AclError(400, `Token: longer than ${MAX_TOKEN_CHARS} characters`)
    if (secret === '') this.secrets.delete(kind)
    else this.secrets.set(kind, secret)
  }

  get(kind: AgentTokenKind): string | undefined {
    return this.secrets.get(kind) ?? this.secrets.get('default')
  }
}

function kindOf(name: string): string {
  if (!Object.hasOwn(KINDS, name)) throw new AclError(404, `Token "${name}" is unknown`)
  return KINDS[name]!
}

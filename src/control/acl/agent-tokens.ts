// The tokens that this process uses where a request shows none of its own: `acl.tokens` of Consul's agent configuration. Made by `AclSystem`
// from its options, changed by `PUT /v1/agent/token/:kind`; read by the HTTP API and by DNS.
// Invariant: a kind without a token of its own uses the default one, and without that the anonymous token's rights.
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

export class AgentTokens {
  private readonly secrets = new Map<string, string>()

  constructor(initial: Readonly<Record<string, string>> = {}) {
    for (const [kind, secret] of Object.entries(initial)) this.set(kind, secret)
  }

  /** An empty secret takes the token away. Throws `AclError` for a kind that nobody knows. */
  set(name: string, secret: string): void {
    const kind = Object.hasOwn(KINDS, name) ? KINDS[name]! : undefined
    if (kind === undefined) throw new AclError(404, `Token "${name}" is unknown`)
    if (secret.length > MAX_TOKEN_CHARS) throw new AclError(400, `Token: longer than ${MAX_TOKEN_CHARS} characters`)
    if (secret === '') this.secrets.delete(kind)
    else this.secrets.set(kind, secret)
  }

  get(kind: AgentTokenKind): string | undefined {
    return this.secrets.get(kind) ?? this.secrets.get('default')
  }
}

// The ACL system as one object: its table, writes, resolver and logins, wired, and the reaper of expired tokens. Made by `ControlPlane` where
// ACLs are on; asked by the HTTP API, the xDS and dataplane servers and DNS. Without ACLs there is no such object, and every question about
// them is answered as Consul does then.
import type { Store } from '../store/store.js'
import { AclTable } from './acl-table.js'
import type { AclToken } from './acl-types.js'
import { AclWrites } from './acl-writes.js'
import { AgentTokens } from './agent-tokens.js'
import { IdentityVerifier, methodProblem } from './auth-methods.js'
import { selectorProblem } from './binding-selector.js'
import { BootstrapReset } from './bootstrap-reset.js'
import { Login } from './login.js'
import type { DefaultPolicy } from './rule-index.js'
import { type ResolvedToken, TokenResolver } from './token-resolver.js'

export interface AclOptions {
  readonly defaultPolicy: DefaultPolicy
  /** `tokens.initial_management`: the secret of a management token that exists from the start. */
  readonly initialManagement?: string
  /** `acl.tokens`: what this process uses where a request shows no token, by Consul's names. */
  readonly tokens?: Readonly<Record<string, string>>
  /** Those that the API sets outlive a restart. */
  readonly keepTokens?: boolean
  /** Where an operator can ask for another bootstrap. */
  readonly dataDir?: string | undefined
}

/** Who a request is, by the token that it shows, or the one that stands for those that show none. */
export interface TokenJudge {
  /** Undefined: nobody knows the token. */
  resolveRequest(secret: string | undefined): ResolvedToken | undefined | Promise<ResolvedToken | undefined>
}

/** Expired tokens grant nothing at once; they are taken out this often. */
const REAP_INTERVAL_MS = 30_000

export class AclSystem implements TokenJudge {
  readonly table: AclTable
  readonly writes: AclWrites
  readonly login: Login
  readonly defaultPolicy: DefaultPolicy
  readonly agentTokens: AgentTokens
  private readonly resolver: TokenResolver
  private release: (() => Promise<void>) | undefined

  private constructor(store: Store, table: AclTable, options: AclOptions, datacenter: string) {
    const nowMs = (): number => Date.now()
    this.table = table
    this.defaultPolicy = options.defaultPolicy
    this.agentTokens = new AgentTokens(options.tokens)
    const reset = options.dataDir === undefined ? undefined : new BootstrapReset(options.dataDir)
    this.writes = new AclWrites({ store, table, reset, nowMs, methodProblem, selectorProblem })
    this.resolver = new TokenResolver({ table, defaultPolicy: options.defaultPolicy, datacenter, nowMs })
    this.login = new Login({ table, writes: this.writes, verifier: new IdentityVerifier(nowMs), datacenter })
  }

  static async start(store: Store, options: AclOptions, datacenter: string, onProblem: (reason: string) => void): Promise<AclSystem> {
    const system = new AclSystem(store, await AclTable.load(store), options, datacenter)
    await system.writes.ensure(options.initialManagement)
    if (options.keepTokens === true) await system.agentTokens.keepIn(store)
    system.release = store.leases.contend('acl-token-reaper', lease => {
      const timer = setInterval(() => {
        system.writes.reap(lease).catch((error: Error) => onProblem(`expired ACL tokens: ${error.message}`))
      }, REAP_INTERVAL_MS)
      timer.unref()
      lease.signal.addEventListener('abort', () => clearInterval(timer), { once: true })
    })
    return system
  }

  async stop(): Promise<void> {
    await this.release?.()
  }

  /** Undefined: there is no such token, or it has expired. */
  resolve(secret: string | undefined): ResolvedToken | undefined {
    return this.resolver.resolve(secret)
  }

  /** A request's token, or the agent's default one where it shows none. */
  resolveRequest(secret: string | undefined): ResolvedToken | undefined {
    return this.resolver.resolve(secret ?? this.agentTokens.get('default'))
  }

  /** The texts of all rules of a token, as an agent judges by them. */
  ruleTexts({ token }: ResolvedToken): string[] {
    return token === undefined ? [] : this.resolver.ruleTexts(token)
  }

  tokenOf(secret: string | undefined): AclToken | undefined {
    return this.resolver.resolve(secret)?.token
  }
}

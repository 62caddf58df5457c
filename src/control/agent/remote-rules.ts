// What a token may do on an agent: the control plane says its rules, which are kept for a while, and for longer while no server answers
// (Consul's down policy `extend-cache`). Asked by authorize.ts for each request that the agent answers itself. Made by `ClientAgent`.
import type { TokenJudge } from '../acl/acl-system.js'
import { RuleIndex } from '../acl/rule-index.js'
import { type PolicyRules, parseRules } from '../acl/rules.js'
import type { ResolvedToken } from '../acl/token-resolver.js'
import { type ServerLink, ServersAway } from './server-link.js'

export type DownPolicy = 'allow' | 'deny' | 'extend-cache' | 'async-cache'

export interface RemoteRulesOptions {
  readonly link: ServerLink
  readonly downPolicy: DownPolicy
  /** The configuration says that ACLs are on. Without it they are once the control plane has said so. */
  readonly enabled: boolean
  defaultToken(): string | undefined
}

interface KeptRules {
  /** Undefined: nobody knows the token. */
  readonly token: ResolvedToken | undefined
  readonly atMs: number
}

/** Consul's `token_ttl`. */
const FRESH_MS = 30_000
const MAX_KEPT = 10_000
const EVERYTHING: ResolvedToken = { accessorId: '', rules: new RuleIndex([], 'allow'), token: undefined }

export class RemoteRules implements TokenJudge {
  private readonly options: RemoteRulesOptions
  private readonly kept = new Map<string, KeptRules>()
  private areOn: boolean

  constructor(options: RemoteRulesOptions) {
    this.options = options
    this.areOn = options.enabled
  }

  async resolveRequest(shown: string | undefined): Promise<ResolvedToken | undefined> {
    const { downPolicy, defaultToken } = this.options
    const secret = shown ?? defaultToken() ?? ''
    const known = this.kept.get(secret)
    if (known !== undefined && performance.now() - known.atMs < FRESH_MS) return known.token
    try {
      const token = await this.ask(secret)
      this.kept.delete(secret)
      this.kept.set(secret, { token, atMs: performance.now() })
      if (this.kept.size > MAX_KEPT) this.kept.delete(this.kept.keys().next().value!)
      return token
    } catch (error) {
      if (!(error instanceof ServersAway)) throw error
      // Nobody was ever reached, and nothing says that there are ACLs: this machine's own API serves this machine.
      if (downPolicy === 'allow' || !this.areOn) return EVERYTHING
      if (known !== undefined && downPolicy !== 'deny') return known.token
      throw error
    }
  }

  private async ask(secret: string): Promise<ResolvedToken | undefined> {
    const { status, body } = await this.options.link.request({
      method: 'GET',
      path: '/v1/outrigger/acl/rules',
      ...(secret === '' ? {} : { token: secret }),
    })
    const text = body.toString()
    // Without ACLs there, everybody may do everything here.
    if (status === 401 && text === 'ACL support disabled') {
      this.areOn = this.options.enabled
      return EVERYTHING
    }
    this.areOn = true
    if (status === 403) return undefined
    if (status !== 200) throw new ServersAway(`the rules of a token: ${status} ${text.slice(0, 200)}`)
    const { AccessorID, DefaultPolicy, Rules } = JSON.parse(text) as RulesAnswer
    const parsed = Rules.map(rules => parseRules(rules)).filter((rules): rules is PolicyRules => !('problems' in rules))
    return { accessorId: AccessorID, rules: new RuleIndex(parsed, DefaultPolicy), token: undefined }
  }
}

interface RulesAnswer {
  readonly AccessorID: string
  readonly DefaultPolicy: 'allow' | 'deny'
  readonly Rules: readonly string[]
}

// Holds the lease of this machine's node at the control plane: takes it, renews it three times a term, comes again when it is refused or no
// server answers. Made by `ClientAgent`; tells it when what is on the node has to be said anew.
//
//   away -> (taken) -> held -> (a renewal fails) -> away          refused: another agent has the node; asked again, more seldom
//
import type { Locality } from '../catalog/locality.js'
import type { HostPort } from '../http-api/listen-addresses.js'
import type { ServerLink } from './server-link.js'

export interface AgentIdentity {
  readonly name: string
  readonly id: string
  readonly secret: string
  readonly address: string
  readonly meta: Readonly<Record<string, string>>
  readonly locality: Locality | undefined
  readonly version: string
  /** '' = that of the servers. */
  readonly datacenter: string
}

export interface LeaseKeeperOptions {
  readonly link: ServerLink
  readonly identity: AgentIdentity
  token(): string | undefined
  readonly retryMs: number
  /** What a server said when the lease was taken. */
  onTaken(answer: LeaseAnswer, isNew: boolean): void
  /** So many times in a row. */
  onAway(attempts: number, reason: string): void
  onState(state: LeaseState, reason: string): void
}

export type LeaseState = 'away' | 'held' | 'refused'

export interface LeaseAnswer {
  readonly datacenter: string
  readonly grpc: HostPort & { readonly tls: boolean }
}

/** One that was refused is asked for again this often. */
const REFUSED_RETRY_MS = 10_000
const LEASE_TIMEOUT_MS = 5_000

export class LeaseKeeper {
  private readonly options: LeaseKeeperOptions
  private timer: NodeJS.Timeout | undefined
  private stopped = false
  private current: LeaseState = 'away'
  private reason = ''
  private attempts = 0
  private underWay: Promise<unknown> = Promise.resolve()

  constructor(options: LeaseKeeperOptions) {
    this.options = options
  }

  get state(): LeaseState {
    return this.current
  }

  /** Resolves after the first attempt, whatever came of it. */
  start(): Promise<void> {
    return this.turn()
  }

  stop(): void {
    this.stopped = true
    clearTimeout(this.timer)
  }

  /** Gives the node up, with all that is on it. Rejects with one line when no server has taken it. */
  async leave(): Promise<void> {
    this.stop()
    // One that is on its way must not take it again afterwards.
    await this.underWay
    const { link, identity, token } = this.options
    const body = Buffer.from(JSON.stringify({ Node: identity.name, Secret: identity.secret }))
    const answer = await link.request({
      method: 'PUT',
      path: '/v1/outrigger/agents/leave',
      body,
      token: token(),
      timeoutMs: LEASE_TIMEOUT_MS,
    })
    if (answer.status !== 200) throw new Error(answer.body.toString())
  }

  private async turn(): Promise<void> {
    const taking = this.take()
    this.underWay = taking
    const nextMs = await taking
    if (this.stopped) return
    this.timer = setTimeout(() => void this.turn(), nextMs)
    this.timer.unref()
  }

  /** Resolves with the time until the next attempt. */
  private async take(): Promise<number> {
    const { link, identity, token, retryMs, onTaken } = this.options
    const body = {
      Node: identity.name,
      ID: identity.id,
      Secret: identity.secret,
      Address: identity.address,
      NodeMeta: identity.meta,
      Locality: identity.locality,
      Version: identity.version,
      Datacenter: identity.datacenter,
    }
    try {
      const { status, body: text } = await link.request({
        method: 'PUT',
        path: '/v1/outrigger/agents/lease',
        body: Buffer.from(JSON.stringify(body)),
        token: token(),
        timeoutMs: LEASE_TIMEOUT_MS,
      })
      if (this.stopped) return retryMs
      if (status !== 200) {
        this.become('refused', text.toString().slice(0, 500))
        return Math.max(retryMs, REFUSED_RETRY_MS)
      }
      const answer = JSON.parse(text.toString()) as LeaseReply
      const wasHeld = this.current === 'held'
      this.attempts = 0
      this.become('held', '')
      onTaken(
        { datacenter: answer.Datacenter, grpc: { host: answer.GRPC.Host, port: answer.GRPC.Port, tls: answer.GRPC.TLS } },
        answer.New || !wasHeld,
      )
      return answer.TTLMs / 3
    } catch (error) {
      this.become('away', (error as Error).message)
      this.options.onAway(++this.attempts, (error as Error).message)
      return retryMs
    }
  }

  private become(state: LeaseState, reason: string): void {
    if (state === this.current && reason === this.reason) return
    this.current = state
    this.reason = reason
    this.options.onState(state, reason)
  }
}

interface LeaseReply {
  readonly TTLMs: number
  readonly New: boolean
  readonly Datacenter: string
  readonly GRPC: { readonly Host: string; readonly Port: number; readonly TLS: boolean }
}

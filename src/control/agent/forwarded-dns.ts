// DNS of an agent: questions go to the control plane as they come, and its answers are kept for the time when no server answers. Stands where
// the DNS server has its recursors, which are asked for what neither knows. Made by `ClientAgent`.
// Invariant: an answer that is kept is served only while no server answers, and for at most as long as Consul does.
import type { Forwarder } from '../dns/recursors.js'
import type { ServerLink } from './server-link.js'

interface KeptMessage {
  readonly message: Buffer
  readonly atMs: number
}

const TIMEOUT_MS = 2_000
const MAX_KEPT = 10_000
/** Consul's `max_stale`: what is old is better than nothing. */
const MAX_STALE_MS = 10 * 365 * 24 * 3_600_000
const HEADER_BYTES = 12
const RCODE_MASK = 0x0f
const REFUSED = 5
const PATH = '/v1/outrigger/dns'

export class ForwardedDns implements Forwarder {
  /** There is always somebody to ask. */
  readonly size = 1
  private readonly link: ServerLink
  private readonly recursors: Forwarder
  private readonly token: () => string | undefined
  private readonly kept = new Map<string, KeptMessage>()

  constructor(link: ServerLink, recursors: Forwarder, token: () => string | undefined) {
    this.link = link
    this.recursors = recursors
    this.token = token
  }

  async forward(query: Buffer, questionBytes: number, tcp: boolean): Promise<Buffer | undefined> {
    // Everything but the id and how it is written: flags and EDNS change the answer.
    const key = `${tcp} ${query.toString('latin1', 2).toLowerCase()}`
    const answer = await this.ask(query, key, tcp)
    // A name outside of the domain, where the control plane has nobody to ask.
    const isForeign = answer === undefined || (answer[3]! & RCODE_MASK) === REFUSED
    if (isForeign && this.recursors.size > 0) return (await this.recursors.forward(query, questionBytes, tcp)) ?? answer
    return answer
  }

  private async ask(query: Buffer, key: string, tcp: boolean): Promise<Buffer | undefined> {
    try {
      const { status, body } = await this.link.request({
        method: 'POST',
        path: tcp ? `${PATH}?tcp` : PATH,
        token: this.token(),
        headers: { 'content-type': 'application/dns-message' },
        body: query,
        timeoutMs: TIMEOUT_MS,
      })
      if (status === 200 && body.length >= HEADER_BYTES) {
        this.keep(key, body)
        return Buffer.from(body)
      }
      return undefined
    } catch {
      const kept = this.kept.get(key)
      if (kept === undefined || performance.now() - kept.atMs > MAX_STALE_MS) return undefined
      const message = Buffer.from(kept.message)
      query.copy(message, 0, 0, 2)
      return message
    }
  }

  private keep(key: string, message: Buffer): void {
    this.kept.delete(key)
    this.kept.set(key, { message, atMs: performance.now() })
    if (this.kept.size > MAX_KEPT) this.kept.delete(this.kept.keys().next().value!)
  }
}

// Secrets in Vault that somebody here uses: read once, and again when the metadata tells of another version. Used by gateway-certificates.ts.
// Invariant: each secret is asked for once an interval, however many fields of it are used; what was read last stays while Vault is gone,
// sealed or says no, and the reason is told once until it changes.
import type { Clock, Timer } from '../../io/clock.js'
import { type KvReference, type KvSecret, readEdition, readSecret } from '../../vault/kv-secrets.js'
import type { VaultSession } from '../../vault/vault-session.js'

export interface PolledSecretsOptions {
  readonly session: VaultSession
  readonly pollMs: number
  readonly clock: Clock
  /** Another version of a secret is there, or the first. */
  onChange(key: string): void
  onProblem(reason: string): void
}

/** Of each secret, a request an interval. */
const MAX_POLLED_SECRETS = 1_000

interface Polled {
  readonly reference: KvReference
  secret: KvSecret | undefined
  problem: string
}

export const secretKey = ({ mount, path }: KvReference): string => `${mount}/data/${path}`

export class PolledSecrets {
  private readonly secrets = new Map<string, Polled>()
  private timer: Timer | undefined
  private polling: Promise<void> = Promise.resolve()
  private stopped = false

  constructor(private readonly options: PolledSecretsOptions) {}

  start(): void {
    this.plan()
  }

  stop(): void {
    this.stopped = true
    this.timer?.cancel()
  }

  get(reference: KvReference): KvSecret | undefined {
    return this.secrets.get(secretKey(reference))?.secret
  }

  /** What is used from now on. New ones are read at once. */
  use(references: readonly KvReference[]): void {
    const wanted = new Map(references.map(reference => [secretKey(reference), reference]))
    for (const key of this.secrets.keys()) if (!wanted.has(key)) this.secrets.delete(key)
    const left = wanted.size - MAX_POLLED_SECRETS
    if (left > 0)
      this.options.onProblem(`${left} of ${wanted.size} secrets of Vault that are named are not read: the limit is ${MAX_POLLED_SECRETS}`)
    const added: Polled[] = []
    for (const [key, reference] of wanted) {
      if (this.secrets.has(key) || this.secrets.size >= MAX_POLLED_SECRETS) continue
      const polled = { reference, secret: undefined, problem: '' }
      this.secrets.set(key, polled)
      added.push(polled)
    }
    if (added.length > 0) this.enqueue(added)
  }

  private plan(): void {
    if (this.stopped) return
    this.timer = this.options.clock.after(this.options.pollMs, () => {
      this.enqueue([...this.secrets.values()])
      void this.polling.then(() => this.plan())
    })
  }

  /** One after another: a mesh's secrets are few, and Vault is not to be stormed. */
  private enqueue(secrets: readonly Polled[]): void {
    this.polling = this.polling.then(async () => {
      for (const polled of secrets) if (!this.stopped) await this.poll(polled)
    })
  }

  private async poll(polled: Polled): Promise<void> {
    const { session, onChange, onProblem } = this.options
    const { reference } = polled
    try {
      // The metadata tells of another version without a secret leaving Vault each time.
      const edition = polled.secret === undefined ? undefined : await readEdition(session, reference)
      if (edition !== undefined && edition === polled.secret?.edition) {
        polled.problem = ''
        return
      }
      const secret = await readSecret(session, reference)
      polled.problem = ''
      if (secret.edition === polled.secret?.edition) return
      polled.secret = secret
      if (this.secrets.get(secretKey(reference)) === polled) onChange(secretKey(reference))
    } catch (error) {
      const reason = (error as Error).message
      if (reason !== polled.problem && !this.stopped) onProblem(reason)
      polled.problem = reason
    }
  }
}

// A client of one Vault under one identity: logs in when first needed, keeps the token alive, and sends requests with it.
// Used by the CA's provider and by the secret sources. Invariant: at most one login is under way; a token is renewed, or replaced by a new
// login, when two thirds of its lease are over; where a request is denied, Vault is asked once a minute at most whether the token is still good,
// and only another login follows if it is not: each leaves a token behind.
//
//   [no token] --first request: login, or lookup-self--> [token] --2/3 of the lease: renew-self--> [token]
//                                                           '--not renewable, refused, or near its last end--> [no token] and login
//   A token from the configuration can't be replaced: its end is told, and requests go on to fail by Vault's word.
import { type Clock, NO_TIMER, type Timer } from '../io/clock.js'
import type { JsonObject } from './json-object.js'
import { VaultError } from './vault-error.js'
import { loginRequest, readToken } from './vault-login.js'
import type { VaultSettings } from './vault-settings.js'
import { type VaultAnswer, VaultTransport } from './vault-transport.js'

export interface VaultSessionOptions {
  readonly settings: VaultSettings
  readonly clock: Clock
  /** What happens outside of a request: one line. */
  readonly onProblem: (reason: string) => void
}

export interface RequestOptions {
  /** Instead of that of the settings. */
  readonly namespace?: string
}

interface Held {
  readonly token: string
  readonly renewable: boolean
  /** As last granted; 0: it never ends. */
  readonly leaseMs: number
  /** As granted by the login. */
  readonly firstLeaseMs: number
  /** On the monotonic clock. */
  readonly endsAtMs: number
}

const RENEW_AT = 2 / 3
const MIN_RENEW_MS = 1_000
/** After a renewal that failed for want of Vault. */
const RETRY_MS = 5_000
/** No sooner is a denied request taken as a sign that a good token is gone. */
const CONFIRMED_MS = 60_000

export class VaultSession {
  private readonly transport: VaultTransport
  private held: Held | undefined
  private underWay: Promise<Held> | undefined
  private renewal: Timer = NO_TIMER
  /** When Vault last said that the token is good, by granting it or when asked. */
  private confirmedAtMs = Number.NEGATIVE_INFINITY
  private confirming: Promise<boolean> | undefined
  private lastProblem = ''
  private closed = false

  constructor(private readonly options: VaultSessionOptions) {
    this.transport = new VaultTransport(options.settings, options.clock)
  }

  /** `undefined` where nothing is there. Throws `VaultError`. */
  async read(path: string, options: RequestOptions = {}): Promise<VaultAnswer | undefined> {
    try {
      return await this.send('GET', path, undefined, options)
    } catch (error) {
      if (error instanceof VaultError && error.status === 404) return undefined
      throw error
    }
  }

  /** Throws `VaultError`. */
  write(path: string, body: JsonObject, options: RequestOptions = {}): Promise<VaultAnswer> {
    return this.send('POST', path, body, options)
  }

  /** No renewal any more; the token is left to its end, since the next start may want it. */
  close(): void {
    this.closed = true
    this.renewal.cancel()
    this.transport.close()
  }

  private async send(
    method: 'GET' | 'POST',
    path: string,
    body: JsonObject | undefined,
    { namespace }: RequestOptions,
  ): Promise<VaultAnswer> {
    const request = {
      method,
      path,
      ...(body === undefined ? {} : { body }),
      ...(namespace === undefined ? {} : { namespace }),
    }
    const { token } = await this.token()
    try {
      return await this.transport.send({ ...request, token })
    } catch (error) {
      if (!(error instanceof VaultError) || error.status !== 403 || !(await this.isGone(token))) throw error
      if (this.held?.token === token) this.held = undefined
      return this.transport.send({ ...request, token: (await this.token()).token })
    }
  }

  /** Whether another token may help where this one was denied. Another request may have logged in meanwhile: then that token is tried. */
  private async isGone(token: string): Promise<boolean> {
    if (this.options.settings.login.kind === 'token') return false
    if (this.held?.token !== token) return true
    if (this.options.clock.now() - this.confirmedAtMs < CONFIRMED_MS) return false
    this.confirming ??= this.isUnknown(token).finally(() => {
      this.confirming = undefined
    })
    return this.confirming
  }

  /** A policy that forbids to ask counts as a no: then a login finds out. */
  private async isUnknown(token: string): Promise<boolean> {
    try {
      await this.transport.send({ method: 'GET', path: 'auth/token/lookup-self', token })
      this.confirmedAtMs = this.options.clock.now()
      return false
    } catch (error) {
      return error instanceof VaultError && error.status === 403
    }
  }

  private token(): Promise<Held> {
    const { held } = this
    const isGood = held !== undefined && (held.leaseMs === 0 || this.options.clock.now() < held.endsAtMs)
    return isGood ? Promise.resolve(held) : this.logIn()
  }

  private logIn(): Promise<Held> {
    this.underWay ??= this.newToken().finally(() => {
      this.underWay = undefined
    })
    return this.underWay
  }

  private async newToken(): Promise<Held> {
    const { login } = this.options.settings
    this.confirmedAtMs = this.options.clock.now()
    if (login.kind === 'token') return this.hold(await this.lookUp(login.token))
    if (login.kind === 'token-file') return this.hold(await this.lookUp(await this.fromFiles(() => readToken(login.path))))
    const request = await this.fromFiles(() => loginRequest(login))
    const { auth } = await this.transport.send(request)
    const token = auth?.['client_token']
    if (auth === undefined || typeof token !== 'string' || token === '')
      throw new VaultError(`POST ${request.path}`, 200, ['the login answered no token'], [])
    return this.hold(this.granted(token, auth))
  }

  private async fromFiles<T>(read: () => Promise<T>): Promise<T> {
    try {
      return await read()
    } catch (error) {
      throw new VaultError('login', 0, [(error as Error).message], [])
    }
  }

  /** How long a token that was given lives. Where a policy forbids to ask, it is taken to live on. */
  private async lookUp(token: string): Promise<Held> {
    try {
      const { data } = await this.transport.send({ method: 'GET', path: 'auth/token/lookup-self', token })
      return this.granted(token, { lease_duration: data['ttl'], renewable: data['renewable'] })
    } catch (error) {
      if (!(error instanceof VaultError) || error.status !== 403) throw error
      this.options.onProblem(`${error.message}; the token is used as it is and will not be renewed`)
      return this.granted(token, {})
    }
  }

  private granted(token: string, auth: JsonObject): Held {
    const seconds = Number(auth['lease_duration'] ?? 0)
    const leaseMs = Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : 0
    return { token, renewable: auth['renewable'] === true, leaseMs, firstLeaseMs: leaseMs, endsAtMs: this.options.clock.now() + leaseMs }
  }

  private hold(held: Held): Held {
    this.held = held
    this.lastProblem = ''
    this.renewal.cancel()
    if (!this.closed && held.leaseMs > 0)
      this.renewal = this.options.clock.after(Math.max(MIN_RENEW_MS, held.leaseMs * RENEW_AT), () => void this.renew(held))
    return held
  }

  private async renew(held: Held): Promise<void> {
    if (this.closed || this.held !== held) return
    try {
      if (!held.renewable) return await this.replace(held, 'is not renewable')
      const { auth } = await this.transport.send({ method: 'POST', path: 'auth/token/renew-self', body: {}, token: held.token })
      const renewed = this.granted(held.token, auth ?? {})
      // Near its last end (max TTL) Vault grants less each time.
      if (renewed.leaseMs < held.firstLeaseMs / 2) return await this.replace(held, 'has come near the end of its longest life')
      this.hold({ ...renewed, firstLeaseMs: held.firstLeaseMs })
    } catch (error) {
      // A token that Vault does not know any more is of no use to the next request either.
      if ((error as VaultError).status === 403 && this.options.settings.login.kind !== 'token') this.held = undefined
      this.failed(held, error as VaultError)
    }
  }

  /** Tried again until it has ended: after that the next request logs in. Told once until the reason changes. */
  private failed(held: Held, { message }: VaultError): void {
    if (this.closed) return
    if (message !== this.lastProblem) this.options.onProblem(`the token could not be renewed: ${message}`)
    this.lastProblem = message
    if (this.held !== held || this.options.clock.now() + RETRY_MS >= held.endsAtMs) return
    this.renewal = this.options.clock.after(RETRY_MS, () => void this.renew(held))
  }

  private async replace(held: Held, why: string): Promise<void> {
    if (this.options.settings.login.kind === 'token') {
      const seconds = Math.max(0, Math.round((held.endsAtMs - this.options.clock.now()) / 1000))
      this.options.onProblem(`the token of the configuration ${why} and ends in ${seconds} s: give another one`)
      return
    }
    // A login that is refused says nothing of the token that there is.
    await this.logIn().catch((error: VaultError) => this.failed(held, error))
  }
}

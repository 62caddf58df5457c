// Session ticket keys that the config gives (session_ticket_keys, inline, by file or by SDS): the first seals new tickets, all of them
// open old ones. Called by tls-material.ts. Invariant: what seals a ticket is derived from the configured key and from the rules a peer is
// judged by, so sidecars with the same config and keys open each other's tickets, and a ticket given under other rules opens nowhere.
// Node takes one set of 48 bytes (setTicketKeys); several need its ticket key callback, which has no public name but has been there
// since Node 0.12. Without it the first key alone serves: after a rotation old tickets then mean a full handshake, never an error.

import { hkdfSync, randomBytes } from 'node:crypto'
import tls, { type SecureContext, type SecureContextOptions } from 'node:tls'

/** Envoy's form: 80 bytes each, for instance `openssl rand 80`. */
export const CONFIGURED_KEY_BYTES = 80
const PART_BYTES = 16

interface TicketKey {
  readonly name: Buffer
  readonly hmac: Buffer
  readonly aes: Buffer
}

/** [verdict, hmac, aes, name, iv]; verdict 0: unknown, 1: good, 2: good, but give a new ticket. Node wants the keys with any verdict. */
type KeyAnswer = readonly [0 | 1 | 2, Buffer, Buffer] | readonly [1, Buffer, Buffer, Buffer, Buffer]
type KeyCallback = (name: Buffer, iv: Buffer, sealing: boolean) => KeyAnswer

interface ContextInternals {
  enableTicketKeyCallback?(): void
  onticketkeycallback?: KeyCallback
}

export class TicketKeys {
  private readonly keys: readonly TicketKey[]

  /** `rules`: hash of what peers are judged by, and of our own names. */
  constructor(configured: readonly Buffer[], rules: string) {
    this.keys = configured.map(key => {
      const bytes = Buffer.from(hkdfSync('sha256', key, '', `outrigger session ticket ${rules}`, 3 * PART_BYTES))
      return { name: bytes.subarray(0, PART_BYTES), hmac: bytes.subarray(PART_BYTES, 2 * PART_BYTES), aes: bytes.subarray(2 * PART_BYTES) }
    })
  }

  /** Equal for equal keys in the same order: part of what contexts are found by. */
  get content(): string {
    return this.keys.map(({ name, hmac, aes }) => Buffer.concat([name, hmac, aes]).toString('base64')).join()
  }

  createContext(options: SecureContextOptions): SecureContext {
    const { name, hmac, aes } = this.keys[0]!
    const created = tls.createSecureContext({ ...options, ticketKeys: Buffer.concat([name, hmac, aes]) })
    const internals = created.context as ContextInternals
    if (this.keys.length > 1 && typeof internals.enableTicketKeyCallback === 'function') {
      internals.onticketkeycallback = (wanted, _iv, sealing) => this.answer(wanted, sealing)
      internals.enableTicketKeyCallback()
    }
    return created
  }

  private answer(wanted: Buffer, sealing: boolean): KeyAnswer {
    const newest = this.keys[0]!
    if (sealing) return [1, newest.hmac, newest.aes, newest.name, randomBytes(PART_BYTES)]
    const key = this.keys.find(candidate => candidate.name.equals(wanted))
    if (key === undefined) return [0, newest.hmac, newest.aes]
    return [key === newest ? 1 : 2, key.hmac, key.aes]
  }
}

// TLS sessions: those that our clients may resume, and the ticket keys of our servers. Owned by TlsContexts; called by the upstream and
// downstream contexts. Both are filed under a hash of everything a handshake was judged by (names expected, trust bundle, rules, own
// identity), so a change of any of it means a full handshake (CVE-2022-21654, CVE-2020-8172, CVE-2026-48934, CVE-2026-58040).
// Invariant: a session is kept only with the identity that was verified in its full handshake, since Node gives a client no certificate on
// a resumed one. A ticket is used for several connections: RFC 8446 appendix C.4 advises against it for the sake of unlinkability, which
// two sidecars at fixed addresses with SNI in the clear do not have.

import { hkdfSync, randomBytes } from 'node:crypto'
import type { CertificateIdentity } from '../peer/certificate-identity.js'

/** Peers (expected identity × address × SNI) whose sessions are kept, over all clusters. */
export const MAX_SESSION_PEERS = 4096
/** Sessions kept for one peer, whatever max_session_keys says. */
export const MAX_SESSIONS_PER_PEER = 16
/** Sets of verification rules whose ticket keys are kept. */
export const MAX_TICKET_KEYS = 1024
/** A context built later than this takes new ticket keys. */
const TICKET_KEY_LIFETIME_MS = 24 * 3_600_000
/** A name, an HMAC key and an AES key of 16 bytes each. */
const TICKET_KEY_BYTES = 48

export interface ResumableSession {
  readonly session: Buffer
  readonly identity: CertificateIdentity | null
}

export class SessionCache {
  private readonly peers = new Map<string, ResumableSession[]>()
  private readonly tickets = new Map<string, { readonly keys: Buffer; readonly madeAtMs: number }>()

  private readonly seed: Uint8Array | null

  /** `seed`: processes that have the same one open each other's tickets; null: keys of our own. */
  constructor(seed: Uint8Array | null = null) {
    this.seed = seed
  }

  newest(key: string): ResumableSession | null {
    const list = this.peers.get(key)
    return list === undefined ? null : list[list.length - 1]!
  }

  /** Keeps the newest `limit` sessions of a peer. */
  put(key: string, entry: ResumableSession, limit: number): void {
    let list = this.peers.get(key)
    if (list === undefined) {
      if (this.peers.size >= MAX_SESSION_PEERS) this.peers.delete(this.peers.keys().next().value!)
      list = []
    } else this.peers.delete(key)
    this.peers.set(key, list)
    list.push(entry)
    if (list.length > Math.min(limit, MAX_SESSIONS_PER_PEER)) list.shift()
  }

  /** A handshake with this session went wrong: do not offer it again. */
  drop(key: string, entry: ResumableSession): void {
    const list = this.peers.get(key)
    if (list === undefined) return
    const rest = list.filter(item => item !== entry)
    if (rest.length === 0) this.peers.delete(key)
    else this.peers.set(key, rest)
  }

  /** 48 bytes for the server contexts that judge by exactly the rules of `key`. */
  ticketKeys(key: string, nowMs: number = Date.now()): Buffer {
    const known = this.tickets.get(key)
    if (known !== undefined && nowMs - known.madeAtMs < TICKET_KEY_LIFETIME_MS) return known.keys
    this.tickets.delete(key)
    if (this.tickets.size >= MAX_TICKET_KEYS) this.tickets.delete(this.tickets.keys().next().value!)
    const made = { keys: this.newKeys(key, nowMs), madeAtMs: nowMs }
    this.tickets.set(key, made)
    return made.keys
  }

  private newKeys(key: string, nowMs: number): Buffer {
    if (this.seed === null) return randomBytes(TICKET_KEY_BYTES)
    const period = Math.floor(nowMs / TICKET_KEY_LIFETIME_MS)
    return Buffer.from(hkdfSync('sha256', this.seed, '', `outrigger session ticket ${key} ${period}`, TICKET_KEY_BYTES))
  }
}

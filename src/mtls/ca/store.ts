// What the CA remembers, and where: the `CaStore` interface, the state's text form (sealed or open).
// The authority loads once and saves on each change; the control plane keeps the text in its store.
// Invariant: `save` is all or nothing. A state that can't be read is an error, never "no state": starting afresh would change
// the cluster id and with it every identity.
import { createCipheriv, createDecipheriv, randomBytes, scryptSync } from 'node:crypto'
import { CaError, reasonOf } from '../x509/certificate-error.js'
import type { CaConfig } from './config.js'
import type { ProviderChain } from './provider.js'

/** A root that is trusted: the active one, one staged to become it, or one rotated out and not pruned yet. */
export interface RootRecord {
  /** SHA-1 of the certificate, colon hex, as Consul's root ids. */
  readonly id: string
  readonly name: string
  readonly certPem: string
  /** This root signed by earlier ones, newest first: sent after the intermediate. */
  readonly crossSignPems: readonly string[]
  readonly active: boolean
  /** Epoch ms; set once the root is active no more. */
  readonly rotatedOutAtMs?: number
  /** The longest LeafCertTTL while it was active: leaves may be that old although the setting has been lowered since. */
  readonly maxLeafTtlMs: number
}

/**
 * A rotation between its two saves: the new root is in `roots` (the bundle has grown), the old one still signs.
 * `init` finishes it after a crash.
 */
export interface PendingRotation {
  readonly rootId: string
  readonly chain: ProviderChain
  readonly config: CaConfig
  readonly crossSigned: boolean
}

export interface CaState {
  readonly version: 1
  readonly clusterId: string
  readonly config: CaConfig
  /** Of the active root. Holds private keys where the provider is the built-in one. */
  readonly chain: ProviderChain
  readonly roots: readonly RootRecord[]
  readonly rotation?: PendingRotation
}

export interface CaStore {
  /** The last state saved, `undefined` when there has never been one. Throws `CaError` `state-corrupt`, `state-locked`, `encryption-key`. */
  load(): Promise<CaState | undefined>
  /**
   * Saves atomically and durably: after a crash at any point `load` gives this state or the one before. Throws `CaStateChanged` where
   * another process has saved since.
   */
  save(state: CaState): Promise<void>
}

export class CaStateChanged extends Error {
  constructor() {
    super('the CA was changed by another control plane at the same time; nothing was changed here, try again')
  }
}

const FORMAT = 'outrigger-ca'
const MIN_SECRET_CHARS = 16
const SCRYPT = { N: 16_384, r: 8, p: 1 }

/**
 * Seals a state with AES-256-GCM. The key comes from the operator's secret by scrypt, so any text of 16 characters or more serves.
 * The whole state is sealed, not the keys alone: nobody can swap a root in it either. Every seal has a fresh nonce.
 */
export class StateSeal {
  private readonly secret: string
  private derived: { salt: Buffer; key: Buffer } | undefined

  /** Throws `CaError` `encryption-key` for a secret that is too short. Surrounding white space (a file's last newline) is dropped. */
  constructor(secret: string) {
    this.secret = secret.trim()
    if (this.secret.length < MIN_SECRET_CHARS) {
      throw new CaError(
        'encryption-key',
        `the encryption key of the CA state has ${this.secret.length} characters, at least ${MIN_SECRET_CHARS} are needed`,
      )
    }
  }

  /** scrypt is slow on purpose: one salt serves as long as this object lives. */
  private keyFor(salt: Buffer): Buffer {
    if (this.derived === undefined || !this.derived.salt.equals(salt)) {
      this.derived = { salt, key: scryptSync(this.secret, salt, 32, SCRYPT) }
    }
    return this.derived.key
  }

  seal(plain: string): { salt: string; nonce: string; tag: string; data: string } {
    const salt = this.derived?.salt ?? randomBytes(16)
    const nonce = randomBytes(12)
    const cipher = createCipheriv('aes-256-gcm', this.keyFor(salt), nonce).setAAD(Buffer.from(FORMAT))
    const data = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()])
    return {
      salt: salt.toString('base64'),
      nonce: nonce.toString('base64'),
      tag: cipher.getAuthTag().toString('base64'),
      data: data.toString('base64'),
    }
  }

  /** Throws when the key is another one or the text was changed. */
  open(sealed: { salt: string; nonce: string; tag: string; data: string }): string {
    const key = this.keyFor(Buffer.from(sealed.salt, 'base64'))
    const options = { authTagLength: 16 }
    const decipher = createDecipheriv('aes-256-gcm', key, Buffer.from(sealed.nonce, 'base64'), options).setAAD(Buffer.from(FORMAT))
    decipher.setAuthTag(Buffer.from(sealed.tag, 'base64'))
    return Buffer.concat([decipher.update(Buffer.from(sealed.data, 'base64')), decipher.final()]).toString('utf8')
  }
}

/** The state as text, sealed when a seal is given. What a store keeps. */
export function encodeCaState(state: CaState, seal?: StateSeal): string {
  const body = seal === undefined ? { state } : { cipher: 'aes-256-gcm', kdf: 'scrypt', sealed: seal.seal(JSON.stringify(state)) }
  return `${JSON.stringify({ format: FORMAT, version: 1, ...body })}\n`
}

/** Whether a text written by `encodeCaState` is sealed. */
export function isSealed(text: string): boolean {
  return /^\{"format":"outrigger-ca","version":1,"cipher"/.test(text)
}

/** Reads what `encodeCaState` wrote; an open state is read with a seal too. Throws `CaError` `state-corrupt` or `state-locked`. */
export function decodeCaState(text: string, seal?: StateSeal): CaState {
  let outer: { format?: unknown; version?: unknown; state?: unknown; sealed?: Record<'salt' | 'nonce' | 'tag' | 'data', string> }
  try {
    outer = JSON.parse(text)
    if (outer === null || outer.format !== FORMAT) throw new Error(`its format is not "${FORMAT}"`)
    if (outer.version !== 1) throw new Error(`its version ${String(outer.version)} is not known`)
  } catch (error) {
    throw new CaError('state-corrupt', `the CA state can't be read: ${reasonOf(error)}`, error)
  }
  let state = outer.state
  if (outer.sealed !== undefined) {
    if (seal === undefined) throw new CaError('state-locked', 'the CA state is encrypted and no encryption key is given')
    try {
      state = JSON.parse(seal.open(outer.sealed))
    } catch (error) {
      throw new CaError('state-locked', 'the CA state does not open: the encryption key is another one, or the state was changed', error)
    }
  }
  return checkState(state)
}

function checkState(value: unknown): CaState {
  const state = value as Partial<CaState> | null | undefined
  const whole =
    state?.version === 1 &&
    typeof state.clusterId === 'string' &&
    typeof state.config === 'object' &&
    typeof state.chain?.rootPem === 'string' &&
    typeof state.chain.intermediatePem === 'string' &&
    Array.isArray(state.roots) &&
    state.roots.filter(root => root.active).length === 1
  if (!whole) throw new CaError('state-corrupt', 'the CA state is incomplete')
  return state as CaState
}

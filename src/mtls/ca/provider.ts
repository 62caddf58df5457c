// What a source of root and intermediate can do: the interface that the authority drives, with three implementations
// (builtin-provider.ts, file-provider.ts, vault/vault-provider.ts). A provider holds no state of its own that must outlive the process: it
// returns a `ProviderChain`, the authority persists it and hands it back. Keys that belong to the operator's files or to Vault are never in it.

import type { KeyObject } from 'node:crypto'
import type { Certificate, Issued, Names } from '../x509/x509.js'
import type { CaConfig } from './config.js'

/** The certificates (PEM) that sign, and the private keys (PKCS#8 PEM) where they are ours to keep. */
export interface ProviderChain {
  readonly rootPem: string
  readonly rootKeyPem?: string
  /** Roots that are trusted besides, as long as the provider names them. */
  readonly otherRootPems: readonly string[]
  readonly intermediatePem: string
  readonly intermediateKeyPem?: string
  /** Certificates to send after the intermediate, besides our own cross-signs. */
  readonly extraChainPems: readonly string[]
  /** Where the intermediate's key is elsewhere: by which name it is signed with there. */
  readonly issuerId?: string
}

/** A leaf that the authority has checked and wants signed. Times are epoch ms. */
export interface LeafToSign {
  readonly csrPem: string
  readonly publicKey: KeyObject
  /** Exactly the request's. */
  readonly names: Names
  readonly nowMs: number
  readonly notAfterMs: number
}

export interface ProviderContext {
  readonly nowMs: number
  readonly clusterId: string
  readonly trustDomain: string
  readonly config: CaConfig
  /** What is in force: a provider that finds it good still keeps its intermediate. */
  readonly current?: ProviderChain
  /** The root in force was taken from where this configuration says: where it is gone, none is made in its place. */
  readonly keepsRoot?: boolean
}

export interface CaProvider {
  readonly kind: CaConfig['provider']['kind']

  /** Makes or reads root and intermediate. Throws `CaError`. */
  chain(context: ProviderContext): Promise<ProviderChain>

  /** Signs `root` with this provider's own root. Throws `CaError` `cross-sign-unsupported` where it can't, saying why. */
  crossSign(chain: ProviderChain, root: Certificate, validity: { notBeforeMs: number; notAfterMs: number }): Promise<Certificate>

  /** A new intermediate under the same root; `undefined` where renewing it is the operator's. */
  renewIntermediate(chain: ProviderChain, context: ProviderContext): Promise<ProviderChain | undefined>

  /** Whether it has, or can reach, the key of the chain's intermediate. */
  canSign(chain: ProviderChain): boolean

  /** Signs by the chain's intermediate. Throws `CaError` `signer-unavailable` when its key isn't at hand. */
  signLeaf(chain: ProviderChain, leaf: LeafToSign): Promise<Issued>

  /**
   * Starts to watch for changes made outside: `onChange` gets each new good chain, again later when it rejects; `onProblem` gets a problem
   * once until it changes.
   */
  watch(onChange: (chain: ProviderChain) => Promise<void>, onProblem: (reason: string) => void): void

  /** Looks for changes at once, as the watch does at its intervals. */
  check(): Promise<void>

  close(): void
}

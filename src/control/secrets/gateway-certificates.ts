// Certificates of API gateways whose PEM is in Vault: `inline-certificate` entries that name a secret (`vault://…`) where others hold the text.
// Made by `ControlPlane`; what snapshots and statuses are built from is `index`, in which such an entry holds what was read. Invariant: only a
// certificate and key that belong together are handed on, so that a half-written version leaves the last good pair serving; a pair is kept over
// restarts where the state is sealed, and nowhere in the clear.
import type { StateSeal } from '../../mtls/ca/store.js'
import { pairProblems } from '../../mtls/x509/certificate-pair.js'
import { fieldOf, isKvReference, type KvReference, parseKvReference } from '../../vault/kv-secrets.js'
import type { InlineCertificate } from '../config-entries/edge-types.js'
import type { ConfigEntry, ConfigEntryIndex, ConfigEntryKind, ConfigError, EntryOfKind } from '../config-entries/types.js'
import type { Store } from '../store/store.js'
import { PolledSecrets, type PolledSecretsOptions, secretKey } from './polled-secrets.js'

const FIELDS = ['Certificate', 'PrivateKey'] as const
const COLLECTION = 'gateway-certificate'

interface Pair {
  /** As the entry names them. */
  readonly named: string
  readonly Certificate: string
  readonly PrivateKey: string
}

export interface GatewayCertificatesOptions {
  readonly entries: ConfigEntryIndex
  readonly store: Store
  readonly seal: StateSeal | undefined
  /** Undefined: no Vault is configured. */
  readonly vault: Pick<PolledSecretsOptions, 'session' | 'pollMs' | 'clock'> | undefined
  /** The certificate of that entry is another one now. */
  onChange(name: string): void
  onProblem(reason: string): void
}

const namedBy = (entry: InlineCertificate): string => `${entry.Certificate} ${entry.PrivateKey}`

const namesSecrets = (entry: InlineCertificate): boolean => FIELDS.some(field => isKvReference(entry[field]))

export class GatewayCertificates {
  readonly index: ConfigEntryIndex
  private readonly pairs = new Map<string, Pair>()
  private readonly polled: PolledSecrets | undefined
  private readonly problems = new Map<string, string>()
  /** The same entry and pair give the same object: what is built of it is compared. */
  private readonly made = new WeakMap<InlineCertificate, { readonly pair: Pair; readonly entry: InlineCertificate }>()

  constructor(private readonly options: GatewayCertificatesOptions) {
    const { entries, vault, onProblem } = options
    this.polled = vault && new PolledSecrets({ ...vault, onChange: key => void this.changed(key), onProblem })
    this.index = this.over(entries)
  }

  /** Entries as they are or would be, with what was read in the place of references. */
  over(entries: ConfigEntryIndex): ConfigEntryIndex {
    const seen = <K extends ConfigEntryKind>(entry: EntryOfKind<K>): EntryOfKind<K> =>
      entry.Kind === 'inline-certificate' ? (this.resolved(entry as InlineCertificate) as EntryOfKind<K>) : entry
    return {
      get: (kind, name) => {
        const entry = entries.get(kind, name)
        return entry && seen(entry)
      },
      list: kind => (kind === 'inline-certificate' ? entries.list(kind).map(seen) : entries.list(kind)),
    }
  }

  /** With what was kept, until Vault has been asked. */
  async start(): Promise<void> {
    const { store, seal } = this.options
    if (seal !== undefined)
      for (const record of await store.list(COLLECTION)) {
        try {
          this.pairs.set(record.key, JSON.parse(seal.open((record.value as { sealed: ReturnType<StateSeal['seal']> }).sealed)))
        } catch {
          // Sealed with another key: Vault has it.
        }
      }
    this.entriesChanged()
    this.polled?.start()
  }

  stop(): void {
    this.polled?.stop()
  }

  /** Why an entry can't be had here. */
  check(entry: ConfigEntry): ConfigError[] {
    if (entry.Kind !== 'inline-certificate' || this.polled !== undefined || !namesSecrets(entry)) return []
    const path = FIELDS.find(field => isKvReference(entry[field]))!
    return [{ path, reason: 'names a secret in Vault, and no --vault-config says where Vault is' }]
  }

  /** An inline-certificate was written or deleted. */
  entriesChanged(): void {
    const certificates = this.certificates()
    const names = new Set(certificates.map(({ Name }) => Name))
    for (const name of this.pairs.keys()) if (!names.has(name)) this.forget(name)
    this.polled?.use(certificates.flatMap(referencesOf))
    for (const entry of certificates) void this.take(entry)
  }

  private certificates(): InlineCertificate[] {
    return this.options.entries.list('inline-certificate').filter(namesSecrets)
  }

  private async changed(key: string): Promise<void> {
    for (const entry of this.certificates()) if (referencesOf(entry).some(reference => secretKey(reference) === key)) await this.take(entry)
  }

  /** Makes the entry's pair of what was read, if all of it is there and belongs together. */
  private async take(entry: InlineCertificate): Promise<void> {
    const { store, seal, onChange, onProblem } = this.options
    try {
      const [certificate, key] = FIELDS.map(field => this.textOf(entry[field]))
      if (certificate === undefined || key === undefined) return
      const before = this.pairs.get(entry.Name)
      if (before?.named === namedBy(entry) && before.Certificate === certificate && before.PrivateKey === key) return
      const { chain: ofChain, key: ofKey } = pairProblems(certificate, key)
      if (ofChain !== undefined) throw new Error(`the certificate ${ofChain}`)
      if (ofKey !== undefined) throw new Error(`the private key ${ofKey}`)
      const pair = { named: namedBy(entry), Certificate: certificate, PrivateKey: key }
      this.pairs.set(entry.Name, pair)
      this.problems.delete(entry.Name)
      onChange(entry.Name)
      if (seal !== undefined) await store.put(COLLECTION, entry.Name, { sealed: seal.seal(JSON.stringify(pair)) })
    } catch (error) {
      const reason = `inline-certificate ${entry.Name}: ${(error as Error).message}`
      if (this.problems.get(entry.Name) !== reason) onProblem(reason)
      this.problems.set(entry.Name, reason)
    }
  }

  private textOf(value: string): string | undefined {
    const reference = parseKvReference(value)
    if (reference === undefined) return value
    const secret = this.polled?.get(reference)
    return secret && fieldOf(secret, reference)
  }

  private forget(name: string): void {
    this.pairs.delete(name)
    this.problems.delete(name)
    const { store, seal, onProblem } = this.options
    if (seal !== undefined) store.delete(COLLECTION, name).catch((error: Error) => onProblem(error.message))
  }

  private resolved(entry: InlineCertificate): InlineCertificate {
    const pair = this.pairs.get(entry.Name)
    if (!namesSecrets(entry) || pair?.named !== namedBy(entry)) return entry
    const before = this.made.get(entry)
    if (before?.pair === pair) return before.entry
    const made = { pair, entry: { ...entry, Certificate: pair.Certificate, PrivateKey: pair.PrivateKey } }
    this.made.set(entry, made)
    return made.entry
  }
}

function referencesOf(entry: InlineCertificate): KvReference[] {
  return FIELDS.flatMap(field => parseKvReference(entry[field]) ?? [])
}

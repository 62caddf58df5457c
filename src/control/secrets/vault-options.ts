// `--vault-config`: where the control plane finds the Vault that references name (`vault://…`), and how often it looks for new versions.
// Called by the command line. Invariant: every field is known and within its limits, or refused by its name.
import { readVaultSettings } from '../../vault/read-settings.js'
import { type VaultSettings, vaultProblems } from '../../vault/vault-settings.js'
import { parseDuration } from '../config-entries/duration.js'
import type { ConfigError } from '../config-entries/types.js'

export interface VaultOptions {
  readonly settings: VaultSettings
  readonly pollMs: number
}

const DEFAULT_POLL_MS = 60_000
const MIN_POLL_MS = 5_000
const MAX_POLL_MS = 3_600_000

const fold = (name: string): string => name.replaceAll('_', '').toLowerCase()

/** Fields by Consul's names for its Vault provider, in both spellings, with TokenFile and PollInterval besides. */
export function decodeVaultOptions(raw: Readonly<Record<string, unknown>>): VaultOptions | readonly ConfigError[] {
  const problems: ConfigError[] = []
  const fields = new Map(Object.entries(raw).map(([name, value]) => [fold(name), value]))
  const known = new Set(['authmethod'])
  const take = <T extends string | boolean>(path: string, none: T, expected: string): T => {
    known.add(fold(path))
    const value = fields.get(fold(path))
    if (value === undefined || value === '') return none
    if (typeof value === typeof none) return value as T
    problems.push({ path, reason: `must be ${expected}` })
    return none
  }
  const text = (path: string): string => take(path, '' as string, 'a string')
  const flag = (path: string): boolean => take(path, false as boolean, 'true or false')
  const tokenFile = text('TokenFile')
  const read = readVaultSettings({ text, flag }, fields.get('authmethod'), tokenFile === '' ? problems : [])
  if (tokenFile !== '' && (text('Token') !== '' || fields.has('authmethod')))
    problems.push({ path: 'TokenFile', reason: 'excludes Token and AuthMethod' })
  const settings: VaultSettings = tokenFile === '' ? read : { ...read, login: { kind: 'token-file', path: tokenFile } }
  const pollMs = pollOf(text('PollInterval'), problems)
  for (const name of Object.keys(raw))
    if (!known.has(fold(name))) problems.push({ path: name.slice(0, 64), reason: 'is not a field of it' })
  problems.push(...vaultProblems(settings))
  return problems.length === 0 ? { settings, pollMs } : problems
}

function pollOf(text: string, problems: ConfigError[]): number {
  if (text === '') return DEFAULT_POLL_MS
  const ms = (parseDuration(text) ?? Number.NaN) / 1e6
  if (ms >= MIN_POLL_MS && ms <= MAX_POLL_MS) return ms
  problems.push({ path: 'PollInterval', reason: `must be a duration from 5s to 1h, is ${JSON.stringify(text)}` })
  return DEFAULT_POLL_MS
}

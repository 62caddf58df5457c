// The CA's configuration: defaults and limits as Consul's, and the decoder of Consul's `{Provider, Config, ...}` JSON.
// Called by the authority (checks every update) and by the control plane (config file, `PUT /v1/connect/ca/configuration`).
// Invariant: a `CaConfig` that came from here is within all limits; problems are a list of `{path, reason}`, never a throw.
import { checkKeySpec, type KeySpec, type KeyType } from '../x509/keys.js'
import { encodeVaultConfig, readVaultConfig, type VaultProviderConfig, vaultConfigProblems } from './vault/vault-config.js'

export type ProviderConfig =
  | {
      readonly kind: 'consul'
      /** The operator's own root, or '' for one made here: both PEM, given together. */
      readonly privateKeyPem: string
      readonly rootCertPem: string
    }
  | {
      readonly kind: 'files'
      /** PEM: one or more roots. The one that the intermediate chains to is active, the others are trusted too. */
      readonly rootFile: string
      /** PEM: the intermediate first, then certificates to send along with it (cross-signs). */
      readonly intermediateFile: string
      /** PEM: the intermediate's private key. */
      readonly keyFile: string
    }
  | VaultProviderConfig

export interface CaConfig {
  readonly provider: ProviderConfig
  readonly leafCertTtlMs: number
  readonly intermediateCertTtlMs: number
  readonly rootCertTtlMs: number
  /** Of roots and intermediates; leaves are always EC P-256. */
  readonly privateKey: KeySpec
  readonly csrMaxPerSecond: number
  readonly csrMaxConcurrent: number
  /** Rotate roots although the old one can't sign the new one. */
  readonly forceWithoutCrossSigning: boolean
}

export interface ConfigProblem {
  readonly path: string
  readonly reason: string
}

export type ConfigResult =
  | { readonly ok: true; readonly config: CaConfig }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] }

const HOUR_MS = 3_600_000

export const DEFAULT_CA_CONFIG: CaConfig = {
  provider: { kind: 'consul', privateKeyPem: '', rootCertPem: '' },
  leafCertTtlMs: 72 * HOUR_MS,
  intermediateCertTtlMs: 8760 * HOUR_MS,
  rootCertTtlMs: 87_600 * HOUR_MS,
  privateKey: { type: 'ec', bits: 256 },
  csrMaxPerSecond: 50,
  csrMaxConcurrent: 0,
  forceWithoutCrossSigning: false,
}

/** CAs that other control planes know. */
const NOT_OFFERED: ReadonlySet<string> = new Set(['aws-pca', 'acm-pca', 'cert-manager'])
const minLeafTtlMs = HOUR_MS
const MAX_LEAF_TTL_MS = 8760 * HOUR_MS
const MIN_INTERMEDIATE_TTL_MS = 3 * HOUR_MS
/** Keeps every NotAfter inside the four-digit years of X.509. */
const MAX_ROOT_TTL_MS = 100 * 8766 * HOUR_MS

const hours = (ms: number): string => `${ms / HOUR_MS}h`

/** All limits that a configuration breaks; empty when it is good. Paths are Consul's field names. */
export function checkCaConfig(config: CaConfig): ConfigProblem[] {
  const problems: ConfigProblem[] = []
  const add = (path: string, reason: string) => problems.push({ path, reason })
  const { leafCertTtlMs: leaf, intermediateCertTtlMs: intermediate, rootCertTtlMs: root } = config
  for (const [path, ms] of [
    ['LeafCertTTL', leaf],
    ['IntermediateCertTTL', intermediate],
    ['RootCertTTL', root],
  ] as const) {
    if (!Number.isFinite(ms)) add(path, 'is not a duration')
  }
  if (leaf < minLeafTtlMs) add('LeafCertTTL', `must be at least ${hours(minLeafTtlMs)}, is ${hours(leaf)}`)
  if (leaf > MAX_LEAF_TTL_MS) add('LeafCertTTL', `must be at most ${hours(MAX_LEAF_TTL_MS)}, is ${hours(leaf)}`)
  if (intermediate < MIN_INTERMEDIATE_TTL_MS)
    add('IntermediateCertTTL', `must be at least ${hours(MIN_INTERMEDIATE_TTL_MS)}, is ${hours(intermediate)}`)
  else if (intermediate < 3 * leaf)
    add('IntermediateCertTTL', `must be at least 3 x LeafCertTTL (${hours(3 * leaf)}), is ${hours(intermediate)}`)
  if (root <= intermediate) add('RootCertTTL', `must be greater than IntermediateCertTTL (${hours(intermediate)}), is ${hours(root)}`)
  if (root > MAX_ROOT_TTL_MS) add('RootCertTTL', `must be at most ${hours(MAX_ROOT_TTL_MS)}, is ${hours(root)}`)
  const key = checkKeySpec(config.privateKey)
  if (key !== undefined) add(key.startsWith('the key type') ? 'PrivateKeyType' : 'PrivateKeyBits', key)
  if (!(config.csrMaxPerSecond >= 0 && Number.isFinite(config.csrMaxPerSecond))) add('CSRMaxPerSecond', 'must be 0 or more')
  if (!(Number.isInteger(config.csrMaxConcurrent) && config.csrMaxConcurrent >= 0))
    add('CSRMaxConcurrent', 'must be a whole number, 0 or more')
  const { provider } = config
  if (provider.kind === 'consul') {
    if ((provider.privateKeyPem === '') !== (provider.rootCertPem === '')) add('RootCert', 'RootCert and PrivateKey must be given together')
  } else if (provider.kind === 'vault') {
    problems.push(...vaultConfigProblems(provider))
  } else {
    for (const [path, value] of [
      ['RootFile', provider.rootFile],
      ['IntermediateFile', provider.intermediateFile],
      ['KeyFile', provider.keyFile],
    ] as const) {
      if (value === '') add(path, 'is required by the provider "files"')
    }
  }
  return problems
}

const UNIT_MS = new Map([
  ['ns', 1e-6],
  ['us', 1e-3],
  ['µs', 1e-3],
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', HOUR_MS],
])

/** A Go duration ("72h", "1h30m"), or a number of nanoseconds as Go marshals one. `undefined` when it is neither. */
function durationMs(value: unknown): number | undefined {
  if (typeof value === 'number') return value / 1e6
  if (typeof value !== 'string' || !/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/.test(value)) return undefined
  let ms = 0
  for (const part of value.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)) ms += Number(part[1]) * UNIT_MS.get(part[2]!)!
  return ms
}

/**
 * Reads Consul's JSON form: `{Provider, Config: {LeafCertTTL, ...}, ForceWithoutCrossSigning}`. Field names are matched without
 * regard to case and underscores (`LeafCertTTL`, `leaf_cert_ttl`); unknown ones are refused by name. What is left out keeps its default.
 * The provider "files" takes RootFile, IntermediateFile and KeyFile, "vault" what Consul's takes; "aws-pca" and others are not offered.
 */
export function decodeCaConfig(raw: { readonly [field: string]: unknown }): ConfigResult {
  const problems: ConfigProblem[] = []
  const top = fold(raw)
  const name = top.get('provider') ?? 'consul'
  const body = top.get('config') ?? {}
  if (name !== 'consul' && name !== 'files' && name !== 'vault') {
    const known = typeof name === 'string' && NOT_OFFERED.has(name) ? `${JSON.stringify(name)} is not offered here; ` : ''
    return {
      ok: false,
      problems: [{ path: 'Provider', reason: `${known}must be "consul", "files" or "vault", is ${JSON.stringify(name)}` }],
    }
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    return { ok: false, problems: [...problems, { path: 'Config', reason: 'must be an object' }] }
  const fields = fold(body as { readonly [field: string]: unknown })
  const taken = new Set<string>()
  const take = <T>(path: string, read: (value: unknown) => T | undefined, expected: string, fallback: T): T => {
    const key = path.toLowerCase()
    taken.add(key)
    const value = fields.get(key)
    if (value === undefined || value === null || value === '') return fallback
    const result = read(value)
    if (result === undefined) problems.push({ path, reason: `must be ${expected}` })
    return result ?? fallback
  }
  const text = (value: unknown) => (typeof value === 'string' ? value : undefined)
  const flag = (value: unknown) => (typeof value === 'boolean' ? value : undefined)
  const number = (value: unknown) => (typeof value === 'number' ? value : undefined)
  const duration = 'a duration such as "72h"'
  const readProvider = (): ProviderConfig => {
    if (name === 'files')
      return {
        kind: 'files',
        rootFile: take('RootFile', text, 'a path', ''),
        intermediateFile: take('IntermediateFile', text, 'a path', ''),
        keyFile: take('KeyFile', text, 'a path', ''),
      }
    if (name === 'consul')
      return { kind: 'consul', privateKeyPem: take('PrivateKey', text, 'PEM', ''), rootCertPem: take('RootCert', text, 'PEM', '') }
    taken.add('authmethod')
    const readers = {
      text: (path: string) => take(path, text, 'a string', ''),
      flag: (path: string) => take(path, flag, 'true or false', false),
    }
    return readVaultConfig(readers, fields.get('authmethod'), problems)
  }
  const type = take('PrivateKeyType', text, 'a string', DEFAULT_CA_CONFIG.privateKey.type)
  const config: CaConfig = {
    provider: readProvider(),
    leafCertTtlMs: take('LeafCertTTL', durationMs, duration, DEFAULT_CA_CONFIG.leafCertTtlMs),
    intermediateCertTtlMs: take('IntermediateCertTTL', durationMs, duration, DEFAULT_CA_CONFIG.intermediateCertTtlMs),
    rootCertTtlMs: take('RootCertTTL', durationMs, duration, DEFAULT_CA_CONFIG.rootCertTtlMs),
    privateKey: { type: type as KeyType, bits: take('PrivateKeyBits', number, 'a number', type === 'rsa' ? 2048 : 256) },
    csrMaxPerSecond: take('CSRMaxPerSecond', number, 'a number', DEFAULT_CA_CONFIG.csrMaxPerSecond),
    csrMaxConcurrent: take('CSRMaxConcurrent', number, 'a number', DEFAULT_CA_CONFIG.csrMaxConcurrent),
    forceWithoutCrossSigning: top.get('forcewithoutcrosssigning') === true || fields.get('forcewithoutcrosssigning') === true,
  }
  // Legacy field that Consul still accepts and does not act on.
  for (const accepted of ['rotationperiod', 'forcewithoutcrosssigning']) taken.add(accepted)
  for (const key of Object.keys(body))
    if (!taken.has(foldName(key))) problems.push({ path: key.slice(0, 64), reason: 'is not a field of this provider' })
  // A login that can't be read has been told of already.
  problems.push(...checkCaConfig(config).filter(({ path }) => !problems.some(known => known.path === path)))
  return problems.length === 0 ? { ok: true, config } : { ok: false, problems }
}

/** The inverse of `decodeCaConfig`, without any private key: what `GET /v1/connect/ca/configuration` shows. */
export function encodeCaConfig(config: CaConfig): {
  readonly Provider: string
  readonly Config: object
  readonly ForceWithoutCrossSigning: boolean
} {
  const { provider } = config
  return {
    Provider: provider.kind,
    Config: {
      ...(provider.kind === 'files'
        ? { RootFile: provider.rootFile, IntermediateFile: provider.intermediateFile, KeyFile: provider.keyFile }
        : provider.kind === 'vault'
          ? encodeVaultConfig(provider)
          : provider.rootCertPem === ''
            ? {}
            : { RootCert: provider.rootCertPem }),
      LeafCertTTL: goDuration(config.leafCertTtlMs),
      IntermediateCertTTL: goDuration(config.intermediateCertTtlMs),
      RootCertTTL: goDuration(config.rootCertTtlMs),
      PrivateKeyType: config.privateKey.type,
      PrivateKeyBits: config.privateKey.bits,
      CSRMaxPerSecond: config.csrMaxPerSecond,
      CSRMaxConcurrent: config.csrMaxConcurrent,
    },
    ForceWithoutCrossSigning: config.forceWithoutCrossSigning,
  }
}

/** `72h`, `1h30m`, `90s`: in the largest units without a remainder of nothing. */
function goDuration(ms: number): string {
  const parts = [
    [Math.floor(ms / HOUR_MS), 'h'],
    [Math.floor((ms % HOUR_MS) / 60_000), 'm'],
    [(ms % 60_000) / 1000, 's'],
  ] as const
  return parts.map(([count, unit]) => (count === 0 ? '' : `${count}${unit}`)).join('') || '0s'
}

const foldName = (name: string): string => name.replaceAll('_', '').toLowerCase()

function fold(object: { readonly [field: string]: unknown }): Map<string, unknown> {
  return new Map(Object.entries(object).map(([key, value]) => [foldName(key), value]))
}

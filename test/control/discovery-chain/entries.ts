// Entries for the chain and intention tests, through the real parser so that they are canonical.
import { parseConfigEntry } from '../../../src/control/config-entries/parse-config-entry.js'
import type { ConfigEntry, ConfigEntryIndex, ConfigEntryKind, EntryOfKind } from '../../../src/control/config-entries/types.js'

export function entry(raw: Record<string, unknown>): ConfigEntry {
  const parsed = parseConfigEntry(raw)
  if ('errors' in parsed) throw new Error(JSON.stringify(parsed.errors))
  return parsed.entry
}

/** The entries by kind and name. */
function entryIndex(all: readonly ConfigEntry[]): ConfigEntryIndex {
  return {
    get: <K extends ConfigEntryKind>(kind: K, name: string) =>
      all.find(one => one.Kind === kind && one.Name === name) as EntryOfKind<K> | undefined,
    list: <K extends ConfigEntryKind>(kind: K) => all.filter(one => one.Kind === kind) as EntryOfKind<K>[],
  }
}

export const entries = (...raws: Record<string, unknown>[]): ConfigEntryIndex => entryIndex(raws.map(entry))

export const protocol = (Name: string, Protocol: string) => ({ Kind: 'service-defaults', Name, Protocol })
export const splitter = (Name: string, ...Splits: Record<string, unknown>[]) => ({ Kind: 'service-splitter', Name, Splits })
export const router = (Name: string, ...Routes: Record<string, unknown>[]) => ({ Kind: 'service-router', Name, Routes })
export const resolver = (Name: string, fields: Record<string, unknown>) => ({ Kind: 'service-resolver', Name, ...fields })
export const intentions = (Name: string, ...Sources: Record<string, unknown>[]) => ({ Kind: 'service-intentions', Name, Sources })

export const subsets = {
  Subsets: { v1: { Filter: 'Service.Meta.version == v1' }, v2: { Filter: 'Service.Meta.version == v2', OnlyPassing: true } },
}

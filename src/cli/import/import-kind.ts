// What one kind of thing is to `outrigger import`: how it is read at the source and at the target, when two are equal, how one is written.
// Implemented by the files beside this one; run by run-import.ts, which knows none of them by itself.
import type { ControlApi } from '../command-line/control-api.js'

/** The part of the client that is used: the source is only read. */
export type Source = Pick<ControlApi, 'get' | 'findJson' | 'address'>
export type Target = Source & Pick<ControlApi, 'put' | 'call'>

export interface ImportItem {
  /** Equal for the same thing at the source and at the target. */
  readonly key: string
  /** How it is called where it can't be taken; default: the key. */
  readonly label?: string
  /** What is compared. */
  readonly content: unknown
}

export interface ImportKind<Item extends ImportItem = ImportItem> {
  /** As the summary names it. */
  readonly name: string
  /** `leave` takes what is there and not taken, with the reason. */
  read(source: Source, leave: (what: string, why: string) => void): Promise<readonly Item[]>
  existing(target: Target): Promise<readonly Item[]>
  /** Rejects with the target's reason. */
  write(target: Target, item: Item, before: Item | undefined): Promise<unknown>
}

export type Fields = Readonly<Record<string, unknown>>

/** Of the place where it is, not of what it says. */
const OWN_FIELDS = new Set(['CreateIndex', 'ModifyIndex', 'Hash', 'Namespace', 'Partition', 'CreateTime', 'Legacy', 'Status'])

/** What is said, without what only says the default: the same content has one text wherever it was written. */
export function contentOf(value: unknown): unknown {
  if (Array.isArray(value)) {
    const items = value.map(contentOf)
    return items.length === 0 ? undefined : items
  }
  if (typeof value !== 'object' || value === null)
    return value === '' || value === 0 || value === false || value === null ? undefined : value
  const fields = Object.entries(value)
    .filter(([name]) => !OWN_FIELDS.has(name))
    .map(([name, each]) => [name, contentOf(each)] as const)
    .filter(([, each]) => each !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
  return fields.length === 0 ? undefined : Object.fromEntries(fields)
}

/** A thing as it is written: without what belongs to the place it came from. */
export function withoutOwn(value: Fields): Fields {
  return Object.fromEntries(Object.entries(value).filter(([name]) => !OWN_FIELDS.has(name)))
}

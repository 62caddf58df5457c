// What we do with each field of each Envoy message: carried into the model (`supported`), taken without effect and listed
// (`accepted`), or an error (`refused`). Asked by message-check.ts for every set field, and printed as docs/compatibility.md.
// The rule: refused where ignoring the field could weaken security or send traffic elsewhere; accepted otherwise.

import { SUPPORT_TABLE } from './field-support-table.js'

export interface FieldSupport {
  readonly status: 'supported' | 'accepted' | 'refused'
  /** Why, or what happens instead; the reason of the error for a refused field. */
  readonly note: string
}

const byMessage = new Map<string, ReadonlyMap<string, FieldSupport>>()
for (const [message, entry] of SUPPORT_TABLE) {
  const fields = new Map<string, FieldSupport>()
  for (const name of entry.supported.split(' ')) if (name !== '') fields.set(name, { status: 'supported', note: '' })
  for (const [name, note] of Object.entries(entry.accepted ?? {})) fields.set(name, { status: 'accepted', note })
  for (const [name, note] of Object.entries(entry.refused ?? {})) fields.set(name, { status: 'refused', note })
  byMessage.set(message, fields)
}

/** A field that the table does not have has no effect either, so it is listed. */
const UNLISTED: FieldSupport = { status: 'accepted', note: 'not read' }

export function fieldSupport(message: string, field: string): FieldSupport {
  return byMessage.get(message)?.get(field) ?? UNLISTED
}

/** Message name -> field -> support, in the table's order. */
export function supportTable(): ReadonlyMap<string, ReadonlyMap<string, FieldSupport>> {
  return byMessage
}

const WORDS = { supported: 'supported', accepted: 'accepted without effect', refused: 'refused' } as const

/** The generated part of docs/compatibility.md: one Markdown table per message. */
export function renderCompatibilityTable(): string {
  const parts: string[] = []
  for (const [message, fields] of byMessage) {
    parts.push(`#### \`${message}\``, '')
    if (fields.size === 0) {
      parts.push('No fields.', '')
      continue
    }
    parts.push('| field | what we do | note |', '|---|---|---|')
    for (const [name, { status, note }] of fields) parts.push(`| \`${name}\` | ${WORDS[status]} | ${note.replaceAll('|', '\\|')} |`)
    parts.push('')
  }
  return parts.join('\n')
}

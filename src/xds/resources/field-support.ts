// What we do with each field of each Envoy message: carried into the model (`supported`), taken without effect and listed
// (`accepted`), or an error (`refused`). Asked by message-check.ts for every set field, and printed as docs/compatibility/.
// The rule: refused where ignoring the field could weaken security or send traffic elsewhere; accepted otherwise.

import { SUPPORT_TABLE, SUPPORT_TABLES } from './field-support-table.js'

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

/** The pages of docs/compatibility/ by file name: one table a message, and a page of all that is refused. */
export function renderCompatibilityPages(): ReadonlyMap<string, string> {
  const pages = new Map<string, string>()
  for (const [name, table] of Object.entries(SUPPORT_TABLES)) {
    const messages = Object.keys(table).map(message => renderMessage(message, byMessage.get(message)!))
    pages.set(`${name}.md`, page(`Fields: ${name.replaceAll('-', ' ')}`, messages.join('\n')))
  }
  const refused = [...byMessage].flatMap(([message, fields]) =>
    [...fields].flatMap(([name, { status, note }]) => (status === 'refused' ? [`| \`${message}\` | \`${name}\` | ${cell(note)} |`] : [])),
  )
  pages.set('refused.md', page('Fields that are refused by name', `| message | field | why |\n|---|---|---|\n${refused.join('\n')}\n`))
  return pages
}

function page(title: string, text: string): string {
  return `# ${title}\n\nPrinted by \`scripts/compatibility-table.mjs\`. What the words mean: [compatibility](../compatibility.md).\n\n${text}`
}

function renderMessage(message: string, fields: ReadonlyMap<string, FieldSupport>): string {
  if (fields.size === 0) return `#### \`${message}\`\n\nNo fields.\n`
  const rows = [...fields].map(([name, { status, note }]) => `| \`${name}\` | ${WORDS[status]} | ${cell(note)} |`)
  return `#### \`${message}\`\n\n| field | what we do | note |\n|---|---|---|\n${rows.join('\n')}\n`
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}

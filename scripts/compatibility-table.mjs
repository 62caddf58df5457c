// Writes the generated part of docs/compatibility.md (between its two markers) from the tables of src/xds/resources/field-support/.
// Run after a build: `node scripts/compatibility-table.mjs`; a test fails while the page and the table differ.
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const { renderCompatibilityTable } = await import(join(root, process.argv[2] ?? 'dist', 'xds/resources/field-support.js'))

const page = join(root, 'docs/compatibility.md')
const BEGIN = '<!-- begin generated: scripts/compatibility-table.mjs -->'
const END = '<!-- end generated -->'

const text = readFileSync(page, 'utf8')
const begin = text.indexOf(BEGIN)
const end = text.indexOf(END)
if (begin === -1 || end === -1) throw new Error(`${page} lacks the markers of its generated part`)
writeFileSync(page, `${text.slice(0, begin + BEGIN.length)}\n\n${renderCompatibilityTable()}\n${text.slice(end)}`)

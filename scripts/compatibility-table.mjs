// Writes the pages of docs/compatibility/ from the tables of src/xds/resources/field-support/. Run after a build:
// `node scripts/compatibility-table.mjs`; a test fails while a page and its table differ.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const { renderCompatibilityPages } = await import(join(root, process.argv[2] ?? 'dist', 'xds/resources/field-support.js'))

const folder = join(root, 'docs/compatibility')
rmSync(folder, { recursive: true, force: true })
mkdirSync(folder)
for (const [name, text] of renderCompatibilityPages()) writeFileSync(join(folder, name), text)

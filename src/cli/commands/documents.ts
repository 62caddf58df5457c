// Files given to `apply` and `register`: YAML or JSON, several documents, each an object or a list of objects; HCL where the name ends so.
// Every object keeps a label that says where it stood, for error messages.
import { parseAllDocuments } from 'yaml'
import { readHcl } from '../../control/hcl/read-hcl.js'
import { CliError } from '../command-line/command-io.js'

export interface LabelledObject {
  /** `FILE`, or `FILE: document 2`, `FILE: [3]`. */
  readonly label: string
  readonly value: Readonly<Record<string, unknown>>
}

/** Aliases are the only way for a small YAML file to become a large value. */
const MAX_YAML_ALIASES = 100
/** More in one file is a mistake. */
const MAX_OBJECTS = 100_000

/** All objects of the file in order. Throws `CliError` when it is not YAML, JSON or HCL, is empty, or holds something else. */
export function readObjects(text: string, file: string): LabelledObject[] {
  const documents = parseDocuments(text, file)
  const found: LabelledObject[] = []
  for (const [number, document] of documents.entries()) {
    const label = documents.length === 1 ? file : `${file}: document ${number + 1}`
    for (const [index, value] of [document].flat(1).entries()) {
      const at = Array.isArray(document) ? `${label}: [${index}]` : label
      if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new CliError(`${at}: must be an object`)
      found.push({ label: at, value: value as Record<string, unknown> })
    }
  }
  if (found.length === 0) throw new CliError(`${file}: is empty`)
  if (found.length > MAX_OBJECTS) throw new CliError(`${file}: holds more than ${MAX_OBJECTS} objects`)
  return found
}

function parseDocuments(text: string, file: string): unknown[] {
  if (file.endsWith('.hcl')) {
    try {
      return [readHcl(text)]
    } catch (error) {
      throw new CliError(`${file}: not HCL: ${(error as Error).message}`)
    }
  }
  // JSON may be indented with tabs, which YAML forbids.
  if (/^\s*[[{]/.test(text)) {
    try {
      return [JSON.parse(text)]
    } catch {
      // Perhaps YAML in flow style.
    }
  }
  const documents = parseAllDocuments(text, { uniqueKeys: true })
  if (!Array.isArray(documents)) return []
  const values: unknown[] = []
  for (const document of documents) {
    const problem = document.errors[0]
    if (problem !== undefined) throw new CliError(`${file}: not YAML or JSON: ${problem.message.split('\n')[0]!.replace(/:$/, '')}`)
    try {
      values.push(document.toJS({ maxAliasCount: MAX_YAML_ALIASES }))
    } catch (error) {
      throw new CliError(`${file}: not YAML or JSON: ${(error as Error).message}`)
    }
  }
  // `---` at the end, or between two, leaves an empty document.
  return values.filter(value => value !== null && value !== undefined)
}

/** A field by its name in any of Consul's spellings (`Kind`, `kind`); undefined when absent. */
export function field(value: Readonly<Record<string, unknown>>, name: string): unknown {
  const folded = name.replaceAll('_', '').toLowerCase()
  return Object.entries(value).find(([key]) => key.replaceAll('_', '').toLowerCase() === folded)?.[1]
}

// Terraform's language, written: values, blocks, and the files that CTS makes of a task. Called by workspace-files.ts.
// Invariant: a text of the catalog is a text there too: `${` and `%{` in it are escaped, so nothing of it is evaluated.
import { isPlain } from '../../config/config-fields.js'

const NAME = /^[A-Za-z_][\w-]*$/
/** Names that mean something where a key of an object stands. */
const WORDS = new Set(['for', 'null', 'true', 'false'])
const STEP = '  '

/** A value as an expression; objects over several lines. */
export function hclValue(value: unknown, indent = ''): string {
  if (value === null || value === undefined) return 'null'
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (typeof value === 'string') return hclText(value)
  const inner = indent + STEP
  if (Array.isArray(value)) {
    if (value.every(each => typeof each !== 'object')) return `[${value.map(each => hclValue(each)).join(', ')}]`
    return `[\n${value.map(each => `${inner}${hclValue(each, inner)},\n`).join('')}${indent}]`
  }
  const entries = Object.entries(value as object)
  if (entries.length === 0) return '{}'
  return `{\n${entries.map(([name, each]) => `${inner}${hclKey(name)} = ${hclValue(each, inner)}\n`).join('')}${indent}}`
}

export function hclText(text: string): string {
  const escaped = JSON.stringify(text).replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029')
  // HCL has none of these two escapes of JSON.
  return escaped
    .replaceAll(/\\./g, pair => (pair === '\\b' ? '\\u0008' : pair === '\\f' ? '\\u000c' : pair))
    .replaceAll(/([$%])\{/g, '$1$1{')
}

function hclKey(name: string): string {
  return NAME.test(name) && !WORDS.has(name) ? name : hclText(name)
}

/** The body of a block as it is configured: objects are blocks, everything else attributes. */
export function hclBody(fields: Readonly<Record<string, unknown>>, indent = STEP): string {
  return Object.entries(fields)
    .map(([name, value]) => {
      const blocks = Array.isArray(value) && value.length > 0 && value.every(isPlain) ? value : isPlain(value) ? [value] : undefined
      if (blocks === undefined) return `${indent}${name} = ${hclValue(value, indent)}\n`
      return blocks.map(block => `${indent}${name} {\n${hclBody(block as Record<string, unknown>, indent + STEP)}${indent}}\n`).join('')
    })
    .join('')
}

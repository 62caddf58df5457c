// Envoy's `%COMMAND(arguments):length%` substitution, compiled. Three users with three ways to say "nothing": header values ('', and
// then the header is left out), text logs and bodies (`-`), JSON logs (null). Called by header mutations, access logs and local
// replies. The commands are in format/. Invariant: what a client sent can't add a line to a log (CVE-2024-45808).

import type { JsonObject, JsonValue } from '../../model/metadata.js'
import { fromByteString, isAscii, toByteString } from '../codec/byte-string.js'
import type { StreamInfo } from '../stream/stream-info.js'
import { ADDRESS_OPERATORS } from './address-operators.js'
import { CEL_OPERATORS } from './cel-operator.js'
import { METADATA_OPERATORS } from './metadata-operators.js'
import type { Operator, OperatorFactory, OperatorValue } from './operator.js'
import { REQUEST_OPERATORS } from './request-operators.js'
import { TLS_OPERATORS, UNAVAILABLE_OPERATORS, ZERO_OPERATORS } from './tls-operators.js'

export { accessLogType, LOCAL_REPLY_BODY_STATE, provideEnvironment, readEnvironment } from './request-operators.js'

export type FormatFunction = (info: StreamInfo) => string
export type CompiledFormat = { readonly ok: true; readonly format: FormatFunction } | { readonly ok: false; readonly reason: string }

const OPERATORS: ReadonlyMap<string, OperatorFactory> = new Map([
  ...REQUEST_OPERATORS,
  ...ADDRESS_OPERATORS,
  ...TLS_OPERATORS,
  ...METADATA_OPERATORS,
  ...CEL_OPERATORS,
  ...UNAVAILABLE_OPERATORS.map(name => [name, () => () => undefined] as [string, OperatorFactory]),
  ...ZERO_OPERATORS.map(name => [name, () => () => 0] as [string, OperatorFactory]),
])

type Part = string | Operator

const COMMAND = /%(?:%|([A-Z][A-Z0-9_]*)(?:\((.*?)\))?(?::(\d{1,19}))?%)/sy

/** Literal texts (byte strings) and operators in turn, or what is wrong. */
function parse(text: string): { readonly parts: Part[] } | { readonly reason: string } {
  const parts: Part[] = []
  let literal = ''
  let from = 0
  for (let at = text.indexOf('%'); at !== -1; at = text.indexOf('%', from)) {
    literal += text.slice(from, at)
    COMMAND.lastIndex = at
    const match = COMMAND.exec(text)
    if (match === null) return { reason: `'%' at offset ${at} begins no %COMMAND%` }
    from = COMMAND.lastIndex
    if (match[1] === undefined) {
      literal += '%'
      continue
    }
    const operator = compileOperator(match[1], match[2] ?? '', match[3])
    if (typeof operator !== 'function') return operator
    if (literal !== '') parts.push(toByteString(literal))
    literal = ''
    parts.push(operator)
  }
  literal += text.slice(from)
  if (literal !== '' || parts.length === 0) parts.push(toByteString(literal))
  return { parts }
}

function compileOperator(name: string, argument: string, length: string | undefined): Operator | { reason: string } {
  const factory = name === 'COALESCE' ? coalesce : OPERATORS.get(name)
  if (factory === undefined) return { reason: `%${name}% is no command` }
  const operator = factory(argument)
  if (typeof operator !== 'function') return { reason: `%${name}% ${operator.reason}` }
  return length === undefined ? operator : truncated(operator, Number(length))
}

/** Structures are never cut: half an object is no JSON. */
function truncated(operator: Operator, length: number): Operator {
  return info => {
    const value = operator(info)
    return typeof value === 'string' ? value.slice(0, length) : value
  }
}

/** `{"operators": ["NAME", {"command", "param", "max_length"}]}`: the first that has something to say. */
function coalesce(argument: string): Operator | { reason: string } {
  let config: { operators?: unknown }
  try {
    config = JSON.parse(argument) as { operators?: unknown }
  } catch {
    return { reason: 'needs a JSON object' }
  }
  if (!Array.isArray(config?.operators) || config.operators.length === 0) return { reason: 'needs "operators"' }
  const operators: Operator[] = []
  for (const entry of config.operators as unknown[]) {
    const {
      command,
      param,
      max_length: length,
    } = typeof entry === 'string' ? { command: entry } : ((entry ?? {}) as { command?: unknown; param?: unknown; max_length?: unknown })
    if (typeof command !== 'string' || command === 'COALESCE') return { reason: 'has an operator without a command' }
    const operator = compileOperator(
      command,
      typeof param === 'string' ? param : '',
      typeof length === 'number' ? String(length) : undefined,
    )
    if (typeof operator !== 'function') return operator
    operators.push(operator)
  }
  return info => {
    for (const operator of operators) {
      const value = operator(info)
      if (value !== undefined && value !== null && value !== '') return value
    }
    return undefined
  }
}

function textOf(value: Exclude<OperatorValue, undefined>): string {
  if (typeof value === 'string') return value
  return typeof value === 'object' ? toByteString(JSON.stringify(value)) : String(value)
}

function join(parts: readonly Part[], missing: string, clean: (text: string) => string): FormatFunction {
  if (parts.length === 1 && typeof parts[0] === 'string') {
    const constant = parts[0]
    return () => constant
  }
  return info => {
    let out = ''
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i]!
      if (typeof part === 'string') out += part
      else {
        const value = part(info)
        out += value === undefined || value === null ? missing : clean(textOf(value))
      }
    }
    return out
  }
}

/** A header value: a byte string without CR, LF and NUL; missing values are ''. */
export function compileFormat(text: string): CompiledFormat {
  const parsed = parse(text)
  if ('reason' in parsed) return { ok: false, reason: parsed.reason }
  return { ok: true, format: join(parsed.parts, '', headerText) }
}

/** For a config that has been checked: a text that does not compile was refused with it, and here stands for itself. */
export function formatOrText(text: string): FormatFunction {
  const compiled = compileFormat(text)
  if (compiled.ok) return compiled.format
  const bytes = toByteString(text)
  return () => bytes
}

/** A text log line or body; missing values are `-` (or '' with `omitEmptyValues`), control characters of values `\xNN`. */
export function compileTextFormat(text: string, omitEmptyValues = false): CompiledFormat {
  const parsed = parse(text)
  if ('reason' in parsed) return { ok: false, reason: parsed.reason }
  return { ok: true, format: join(parsed.parts, omitEmptyValues ? '' : '-', logText) }
}

function headerText(text: string): string {
  return /[\0\r\n]/.test(text) ? text.replace(/[\0\r\n]+/g, ' ') : text
}

function logText(text: string): string {
  if (!/[\x00-\x1f\x7f]/.test(text)) return text
  return text.replace(/[\x00-\x1f\x7f]/g, char => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)
}

/**
 * A JSON object (one line, no newline at its end) whose strings hold commands. A string that is one command keeps the type of its
 * value, null when missing; in other strings missing values are `-`. `omitEmptyValues` leaves out what is missing.
 */
export function compileJsonFormat(template: JsonObject, omitEmptyValues = false): CompiledFormat {
  const compiled = compileJsonValue(template, omitEmptyValues)
  if ('reason' in compiled) return { ok: false, reason: compiled.reason }
  const { write } = compiled
  return { ok: true, format: info => toByteString(write(info) ?? '{}') }
}

/** Unicode JSON text; undefined: leave the key out. */
type JsonWriter = (info: StreamInfo) => string | undefined

function compileJsonValue(template: JsonValue, omit: boolean): { write: JsonWriter } | { reason: string } {
  if (typeof template === 'string') return compileJsonString(template, omit)
  if (Array.isArray(template)) return compileJsonList(template as readonly JsonValue[], omit)
  if (typeof template !== 'object' || template === null) {
    const constant = JSON.stringify(template)
    return { write: () => constant }
  }
  const entries: { readonly prefix: string; readonly write: JsonWriter }[] = []
  for (const [key, value] of Object.entries(template)) {
    const compiled = compileJsonValue(value, omit)
    if ('reason' in compiled) return { reason: `${key}: ${compiled.reason}` }
    entries.push({ prefix: `${JSON.stringify(key)}:`, write: compiled.write })
  }
  return {
    write: info => {
      let out = ''
      for (const { prefix, write } of entries) {
        const text = write(info)
        if (text !== undefined) out += out === '' ? prefix + text : `,${prefix}${text}`
      }
      return `{${out}}`
    },
  }
}

function compileJsonList(template: readonly JsonValue[], omit: boolean): { write: JsonWriter } | { reason: string } {
  const items: JsonWriter[] = []
  for (const item of template) {
    const compiled = compileJsonValue(item, omit)
    if ('reason' in compiled) return compiled
    items.push(compiled.write)
  }
  return { write: info => `[${items.map(write => write(info) ?? 'null').join(',')}]` }
}

function compileJsonString(template: string, omit: boolean): { write: JsonWriter } | { reason: string } {
  const parsed = parse(template)
  if ('reason' in parsed) return parsed
  const { parts } = parsed
  const only = parts[0]!
  if (parts.length === 1 && typeof only === 'function') {
    return {
      write: info => {
        const value = only(info)
        if (value === undefined || value === null) return omit ? undefined : 'null'
        return jsonOf(value)
      },
    }
  }
  const format = join(parts, omit ? '' : '-', text => text)
  return { write: info => jsonOf(format(info)) }
}

/** JSON.stringify escapes what could end a line; bytes that are no UTF-8 are written as the characters of their numbers. */
function jsonOf(value: Exclude<OperatorValue, undefined>): string {
  const text = typeof value === 'string' && !isAscii(value) ? fromByteString(value) : value
  return JSON.stringify(text).replace(/[\x7f\u2028\u2029]/g, char => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

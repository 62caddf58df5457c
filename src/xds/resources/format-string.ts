// Syntax check of Envoy's `%COMMAND(arg):length%` format strings, wherever config carries one: access logs, header values,
// local reply bodies. Called by values.ts and access-log.ts. The text itself travels in the model; the runtime compiles it.

import { parseCel } from '../../model/cel-expression.js'
import { FORMAT_COMMANDS } from '../../model/format-commands.js'
import type { Ctx } from './field-path.js'

/** One command: name, optional `(arguments)`, optional `:length`. */
const COMMAND = /%(?:%|([A-Z0-9_]+)(?:\((.*?)\))?(?::(\d{1,19}))?%)/sy

/** Commands that only a formatter extension brings, and the extension's type. */
export const FORMATTER_TYPES: ReadonlyMap<string, string | null> = new Map([
  ['envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery', 'REQ_WITHOUT_QUERY'],
  ['envoy.extensions.formatter.metadata.v3.Metadata', null],
  ['envoy.extensions.formatter.cel.v3.Cel', null],
])
const NEEDS_FORMATTER = new Set([...FORMATTER_TYPES.values()])

const NO_COMMANDS: ReadonlySet<string> = new Set()

/**
 * Header values may hold older forms, which Envoy rewrites: `%UPSTREAM_METADATA(["a", "b"])%` is `%UPSTREAM_METADATA(a:b)%`, and
 * `%PER_REQUEST_STATE(key)%` is `%FILTER_STATE(key:PLAIN)%`.
 */
export function modernFormat(text: string): string {
  if (!text.includes('%')) return text
  return text
    .replace(/%(UPSTREAM|DYNAMIC)_METADATA\(\[([^\]]*)\]\)%/g, (whole, kind: string, list: string) => {
      const keys = list.split(',').map(key => /^\s*"([^"\\]+)"\s*$/.exec(key)?.[1])
      return keys.includes(undefined) ? whole : `%${kind}_METADATA(${keys.join(':')})%`
    })
    .replace(/%PER_REQUEST_STATE\(([^)]+)\)%/g, '%FILTER_STATE($1:PLAIN)%')
}

/** Reports a `%` that opens no command, and commands that Envoy refuses. `extensions`: commands that formatter extensions add. */
export function checkFormat(text: string, ctx: Ctx, extensions: ReadonlySet<string> = NO_COMMANDS): void {
  let index = text.indexOf('%')
  while (index !== -1) {
    COMMAND.lastIndex = index
    const match = COMMAND.exec(text)
    if (match === null) {
      ctx.error(`format string has a '%' at offset ${index} that begins no %COMMAND% (write %% for a percent sign)`)
      return
    }
    const [, name, argument = '', length] = match
    if (name !== undefined) {
      const problem = commandProblem(name, argument, length !== undefined, extensions)
      if (problem !== null) {
        ctx.error(`format string ${problem}`)
        return
      }
    }
    index = text.indexOf('%', COMMAND.lastIndex)
  }
}

function commandProblem(name: string, argument: string, hasLength: boolean, extensions: ReadonlySet<string>): string | null {
  const command = FORMAT_COMMANDS.get(name)
  if (command === undefined || (NEEDS_FORMATTER.has(name) && !extensions.has(name))) return `names the unknown command %${name}%`
  if (argument !== '' && command.argument === 'none') return `gives %${name}% parameters, and it takes none`
  if (argument === '' && command.argument === 'required') return `lacks the parameters of %${name}%`
  if (hasLength && !command.length) return `gives %${name}% a length, and it takes none`
  const problem = argument === '' ? null : (ARGUMENT_CHECKS.get(name)?.(argument) ?? null)
  return problem === null ? null : `has %${name}(${argument})%: ${problem}`
}

type ArgumentCheck = (argument: string) => string | null

const HEADER_NAME = /^:?[!#$%&'*+\-.^_`|~0-9A-Za-z]*$/

function headerAndAlternative(argument: string): string | null {
  const names = argument.split('?')
  if (names.length > 2) return 'more than one alternative header'
  return names.every(name => HEADER_NAME.test(name)) ? null : 'not a header name'
}

function oneOf(part: string | undefined, allowed: readonly string[]): string | null {
  return part === undefined || part === '' || allowed.includes(part) ? null : `'${part}' is none of ${allowed.join(', ')}`
}

function options(...lists: readonly (readonly string[])[]): ArgumentCheck {
  return argument => {
    const parts = argument.split(':')
    for (const [i, list] of lists.entries()) {
      const problem = oneOf(parts[i], list)
      if (problem !== null) return problem
    }
    return null
  }
}

const METADATA_TYPES = ['DYNAMIC', 'CLUSTER', 'ROUTE', 'UPSTREAM_HOST', 'LISTENER', 'LISTENER_FILTER_CHAIN', 'VIRTUAL_HOST']

function metadata(argument: string): string | null {
  const type = argument.split(':', 1)[0]!
  return METADATA_TYPES.includes(type) ? null : `'${type}' is no type of metadata`
}

function filterState(argument: string): string | null {
  const [key, form, field] = argument.split(':')
  if (key === '') return 'the key is empty'
  if (form !== undefined && form !== 'PLAIN' && form !== 'TYPED' && form !== 'FIELD') return `'${form}' is none of PLAIN, TYPED, FIELD`
  return (form === 'FIELD') === (field !== undefined && field !== '') ? null : 'a field name goes with FIELD, and only with it'
}

function duration(argument: string): string | null {
  const [, end, precision] = argument.split(':')
  return end === undefined ? 'needs START:END' : oneOf(precision, ['ms', 'us', 'ns'])
}

function cel(argument: string): string | null {
  const parsed = parseCel(argument, () => false, 'value')
  return parsed.ok ? null : parsed.reason
}

function coalesce(argument: string): string | null {
  let config: unknown
  try {
    config = JSON.parse(argument)
  } catch {
    return 'not valid JSON'
  }
  const operators = (config as { operators?: unknown } | null)?.operators
  if (!Array.isArray(operators) || operators.length === 0) return "needs a list 'operators'"
  for (const operator of operators as unknown[]) {
    const {
      command,
      param,
      max_length: length,
    } = (typeof operator === 'string' ? { command: operator } : (operator ?? {})) as {
      command?: unknown
      param?: unknown
      max_length?: unknown
    }
    if (typeof command !== 'string') return "an operator is a name or has a 'command'"
    const problem = commandProblem(command, typeof param === 'string' ? param : '', length !== undefined, NO_COMMANDS)
    if (problem !== null) return problem
  }
  return null
}

const ARGUMENT_CHECKS: ReadonlyMap<string, ArgumentCheck> = new Map<string, ArgumentCheck>([
  ...['REQ', 'REQUEST_HEADER', 'RESP', 'RESPONSE_HEADER', 'TRAILER', 'RESPONSE_TRAILER', 'STREAM_INFO_REQ', 'REQ_WITHOUT_QUERY'].map(
    name => [name, headerAndAlternative] as [string, ArgumentCheck],
  ),
  ['METADATA', metadata],
  ['FILTER_STATE', filterState],
  ['UPSTREAM_FILTER_STATE', filterState],
  ['GRPC_STATUS', argument => oneOf(argument, ['CAMEL_STRING', 'SNAKE_STRING', 'NUMBER'])],
  ['QUERY_PARAMS', argument => oneOf(argument, ['ORIG', 'DECODED'])],
  ['PATH', options(['WQ', 'NQ'], ['ORIG', 'PATH', 'ORIG_OR_PATH'])],
  ['REQUESTED_SERVER_NAME', options(['SNI_ONLY', 'SNI_FIRST', 'HOST_FIRST'], ['ORIG', 'HOST', 'ORIG_OR_HOST'])],
  ['COMMON_DURATION', duration],
  ['CEL', cel],
  ['COALESCE', coalesce],
])

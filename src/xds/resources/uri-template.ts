// URI templates (envoy.extensions.path.match|rewrite.uri_template) as what they stand for: an RE2 pattern of the whole path, and a
// substitution of it. Called by route-match.ts, route-action.ts and rbac.ts.
//
//   /users/{id}/files/{rest=**}  ──▶  /users/([…]+)/files/([…/]*)        `*` one segment or a part of it, `**` any number of them
//   /files/{rest}?…              ──▶  /files/\2                          `{name}` is `{name=*}`

import type { Any } from '@bufbuild/protobuf/wkt'
import { UriTemplateMatchConfigSchema } from '../gen/envoy/extensions/path/match/uri_template/v3/uri_template_match_pb.js'
import { UriTemplateRewriteConfigSchema } from '../gen/envoy/extensions/path/rewrite/uri_template/v3/uri_template_rewrite_pb.js'
import { unpackAs } from './any.js'
import type { Ctx } from './field-path.js'

/** Envoy's limits. */
const MAX_VARIABLES = 5
const MAX_NAME_LENGTH = 16

const SEGMENT = "[a-zA-Z0-9\\-._~%!$&'()*+,;=:@]"
const GLOBS: Readonly<Record<string, string>> = { '*': `${SEGMENT}+`, '**': "[a-zA-Z0-9\\-._~%!$&'()*+,;=:@/]*" }
const LITERAL = /^[a-zA-Z0-9\-._~%!$&'()+,;=:@]+$/
const NAME = /^[a-zA-Z][a-zA-Z0-9_]*$/

export interface UriTemplate {
  readonly pattern: string
  /** In the order of the pattern's groups. */
  readonly names: readonly string[]
}

/** null after an error was recorded; `config` is a TypedExtensionConfig's. */
export function decodeTemplateMatch(config: Any | undefined, ctx: Ctx): UriTemplate | null {
  const message = unpackAs(config, UriTemplateMatchConfigSchema, ctx)
  return message === null || message.pathTemplate === '' ? null : parseTemplate(message.pathTemplate, ctx.at('path_template'))
}

/** RegexRewrite's substitution for what the template matched. */
export function decodeTemplateRewrite(config: Any | undefined, template: UriTemplate, ctx: Ctx): string | null {
  const message = unpackAs(config, UriTemplateRewriteConfigSchema, ctx)
  if (message === null || message.pathTemplateRewrite === '') return null
  const text = message.pathTemplateRewrite
  const at = ctx.at('path_template_rewrite')
  if (!text.startsWith('/') || text.includes('//')) {
    at.error(`'${text}' is no path`)
    return null
  }
  let out = ''
  for (const part of text.split(/(\{[^{}]*\})/)) {
    const name = /^\{(.*)\}$/.exec(part)?.[1]
    if (name === undefined) {
      if (!/^[a-zA-Z0-9\-._~%!$&'()*+,;=:@/]*$/.test(part)) {
        at.error(`'${part}' may not stand in a path`)
        return null
      }
      out += part
      continue
    }
    const group = template.names.indexOf(name) + 1
    if (group === 0) {
      at.error(`the path template has no variable '${name}'`)
      return null
    }
    out += `\\${group}`
  }
  return out
}

export function parseTemplate(text: string, ctx: Ctx): UriTemplate | null {
  const names: string[] = []
  let pattern = ''
  try {
    if (!text.startsWith('/')) throw new Error("it must begin with '/'")
    const segments = text.slice(1).split(/\/(?![^{}]*\})/)
    const last = segments.length - 1
    for (const [i, segment] of segments.entries()) pattern += `/${segmentPattern(segment, names, i === last && !text.endsWith('//'))}`
  } catch (error) {
    ctx.error(`invalid path template '${text}': ${(error as Error).message}`)
    return null
  }
  return { pattern, names }
}

function segmentPattern(segment: string, names: string[], mayBeEmpty: boolean): string {
  if (segment === '' && !mayBeEmpty) throw new Error('an empty segment')
  return segment
    .split(/(\{[^{}]*\})/)
    .map(part => (part.startsWith('{') && part.endsWith('}') ? variablePattern(part.slice(1, -1), names) : globsAndLiterals(part)))
    .join('')
}

function variablePattern(text: string, names: string[]): string {
  const equals = text.indexOf('=')
  const name = equals === -1 ? text : text.slice(0, equals)
  const inside = equals === -1 ? '*' : text.slice(equals + 1)
  if (!NAME.test(name) || name.length > MAX_NAME_LENGTH) throw new Error(`'${name}' is no name of a variable`)
  if (names.includes(name)) throw new Error(`variable '${name}' comes twice`)
  if (names.length === MAX_VARIABLES) throw new Error(`more than ${MAX_VARIABLES} variables`)
  if (inside === '') throw new Error(`variable '${name}' matches nothing`)
  names.push(name)
  return `(${inside.split('/').map(globsAndLiterals).join('/')})`
}

function globsAndLiterals(text: string): string {
  return text
    .split(/(\*\*|\*)/)
    .map(part => {
      if (part === '') return ''
      const glob = GLOBS[part]
      if (glob !== undefined) return glob
      if (!LITERAL.test(part)) throw new Error(`'${part}' may not stand in a path`)
      return part.replace(/[.*+?^${}()|[\]\\$]/g, '\\$&')
    })
    .join('')
}

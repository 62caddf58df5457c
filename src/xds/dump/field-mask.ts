// `?mask=` of /config_dump: a FieldMask, checked against the message it is for and applied to its printed form. As in Envoy a path that is
// none of the message, or that goes through a list, makes the whole mask inapplicable; in a resource (an Any) it goes on into what is inside.
// Used by config-dump.ts. Pure.

import type { DescField, DescMessage } from '@bufbuild/protobuf'
import { AnySchema } from '@bufbuild/protobuf/wkt'
import { schemaOf } from '../resources/schemas.js'
import type { DumpObject } from './message-printer.js'

export type MaskPath = readonly string[]

/** Empty: no mask. */
export function maskPaths(mask: string): readonly MaskPath[] {
  return mask
    .split(',')
    .filter(path => path !== '')
    .map(path => path.split('.'))
}

/** The fields of a dump that the mask names, or null where it does not apply. */
export function masked(desc: DescMessage, printed: DumpObject, paths: readonly MaskPath[]): DumpObject | null {
  return paths.every(path => isPath(desc, path)) ? keep(printed, paths) : null
}

/** The same for one element of a dump: a path that begins with its resource goes on in that, and must go on. */
export function maskedElement(desc: DescMessage, printed: DumpObject, paths: readonly MaskPath[]): DumpObject | null {
  const applies = paths.every(path => {
    const [first, ...rest] = path
    const field = desc.fields.find(({ name }) => name === first)
    if (field?.fieldKind !== 'message' || field.message.typeName !== AnySchema.typeName) return isPath(desc, path)
    const inner = printed[first!] as DumpObject | undefined
    if (inner === undefined) return true
    const type = schemaOf(String(inner['@type']).replace(/^.*\//, ''))
    return type !== undefined && isPath(type, rest)
  })
  return applies ? keep(printed, paths) : null
}

function isPath(desc: DescMessage, path: MaskPath): boolean {
  let at: DescMessage | undefined = desc
  for (const name of path) {
    const field: DescField | undefined = at?.fields.find(each => each.name === name)
    if (field === undefined) return false
    at = field.fieldKind === 'message' ? field.message : undefined
  }
  return path.length > 0
}

/** What the paths name, and `@type` always. */
function keep(value: DumpObject, paths: readonly MaskPath[]): DumpObject {
  const out: DumpObject = {}
  for (const [key, item] of Object.entries(value)) {
    const below = paths.filter(path => path[0] === key).map(path => path.slice(1))
    if (key !== '@type' && below.length === 0) continue
    const whole = key === '@type' || below.some(path => path.length === 0) || typeof item !== 'object' || Array.isArray(item)
    const kept = whole || item === null ? item : keep(item, below)
    Object.defineProperty(out, key, { value: kept, enumerable: true, configurable: true, writable: true })
  }
  return out
}

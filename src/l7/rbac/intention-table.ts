// Reads the intention table that our control plane puts into listener metadata (filter_metadata["outrigger"].intentions). It came over
// the network and only explains: whatever is not as it should be makes it absent, never an error.

import type { Intention, IntentionPermission, IntentionTable } from '../../model/intention.js'
import { type JsonObject, type JsonValue, type Metadata, OUTRIGGER_METADATA } from '../../model/metadata.js'

const MAX_INTENTIONS = 100_000

export function intentionTableOf(metadata: Metadata): IntentionTable | null {
  const value = metadata.get(OUTRIGGER_METADATA)?.['intentions']
  if (!isObject(value)) return null
  const { destination, defaultAction, intentions } = value
  if (typeof destination !== 'string' || (defaultAction !== 'allow' && defaultAction !== 'deny')) return null
  if (!Array.isArray(intentions) || intentions.length > MAX_INTENTIONS) return null
  const rows = (intentions as readonly JsonValue[]).map(intentionOf)
  return rows.includes(null) ? null : { destination, defaultAction, intentions: rows as Intention[] }
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isStrings(value: JsonValue | undefined): value is readonly string[] {
  return Array.isArray(value) && value.every(item => typeof item === 'string')
}

function intentionOf(value: JsonValue): Intention | null {
  if (!isObject(value)) return null
  const { name, source, destination, precedence, action, permissions } = value
  if (typeof name !== 'string' || typeof source !== 'string' || typeof destination !== 'string' || typeof precedence !== 'number')
    return null
  if (action !== 'allow' && action !== 'deny' && action !== 'permissions') return null
  if (permissions === undefined) return { name, source, destination, precedence, action }
  if (!Array.isArray(permissions)) return null
  const rows = (permissions as readonly JsonValue[]).map(permissionOf)
  return rows.includes(null) ? null : { name, source, destination, precedence, action, permissions: rows as IntentionPermission[] }
}

function permissionOf(value: JsonValue): IntentionPermission | null {
  if (!isObject(value)) return null
  const { action, path, methods, headers, jwt } = value
  if (action !== 'allow' && action !== 'deny') return null
  if (path !== undefined && !isPath(path)) return null
  if (methods !== undefined && !isStrings(methods)) return null
  if (headers !== undefined && !(Array.isArray(headers) && headers.every(isHeader))) return null
  return {
    action,
    ...(path !== undefined && { path: path as NonNullable<IntentionPermission['path']> }),
    ...(methods !== undefined && { methods }),
    ...(headers !== undefined && { headers: headers as NonNullable<IntentionPermission['headers']> }),
    ...(jwt === true && { jwt: true }),
  }
}

function isPath(value: JsonValue): boolean {
  return isObject(value) && ['exact', 'prefix', 'regex'].includes(value['kind'] as string) && typeof value['value'] === 'string'
}

function isHeader(value: JsonValue): boolean {
  if (!isObject(value) || typeof value['name'] !== 'string') return false
  if (!['present', 'exact', 'prefix', 'suffix', 'contains', 'regex'].includes(value['kind'] as string)) return false
  return value['value'] === undefined || typeof value['value'] === 'string'
}

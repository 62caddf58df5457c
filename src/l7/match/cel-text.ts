// The value of a CEL expression as text, as Envoy prints it. Called by `%CEL()%` and by ext_proc's attributes.

import { toByteString } from '../codec/byte-string.js'

/** A byte string; undefined: there is no value. */
export function celText(value: unknown): string | undefined {
  switch (typeof value) {
    case 'undefined':
      return undefined
    case 'string':
      return toByteString(value)
    case 'number':
      return doubleText(value)
    case 'bigint':
    case 'boolean':
      return String(value)
    default:
      return value === null ? 'NULL' : structureText(value as object)
  }
}

function structureText(value: object): string {
  if (Array.isArray(value)) return 'CelList value'
  if (value instanceof Uint8Array) return Buffer.from(value).toString('latin1')
  if (value instanceof Date) return value.toISOString().replace('Z', '+00:00')
  if ('seconds' in value && 'nanos' in value) return durationText(Number(value.seconds) + Number(value.nanos) / 1e9)
  // An unsigned integer of the library's.
  if (value.constructor !== Object && 'valueOf' in value && typeof value.valueOf() === 'bigint') return String(value.valueOf())
  return 'CelMap value'
}

/** Six digits, as `%g` has it. */
function doubleText(value: number): string {
  const short = Number(value.toPrecision(6))
  const magnitude = Math.abs(short)
  if (magnitude === 0 || (magnitude >= 1e-4 && magnitude < 1e6) || !Number.isFinite(short)) return String(short)
  return short.toExponential().replace(/e([+-])(\d)$/, 'e$10$2')
}

function durationText(seconds: number): string {
  const magnitude = Math.abs(seconds)
  if (magnitude === 0) return '0'
  if (magnitude < 1e-6) return `${trimmed(seconds * 1e9)}ns`
  if (magnitude < 1e-3) return `${trimmed(seconds * 1e6)}us`
  if (magnitude < 1) return `${trimmed(seconds * 1e3)}ms`
  const hours = Math.floor(magnitude / 3600)
  const minutes = Math.floor((magnitude % 3600) / 60)
  const rest = magnitude % 60
  const parts = [hours > 0 ? `${hours}h` : '', minutes > 0 ? `${minutes}m` : '', rest > 0 ? `${trimmed(rest)}s` : '']
  return `${seconds < 0 ? '-' : ''}${parts.join('')}`
}

function trimmed(value: number): string {
  return String(Number(value.toFixed(6)))
}

// envoy.config.core.v3.DataSource: as a model value (key material, JWKS: read and watched by the secret registry), or its text right
// away (direct response bodies, log formats). Called by tls.ts, route.ts, access-log.ts, network-filters.ts.

import { readFileSync, statSync } from 'node:fs'
import type { DataSource } from '../../model/tls.js'
import type { DataSource as DataSourceMessage, WatchedDirectory } from '../gen/envoy/config/core/v3/base_pb.js'
import type { Ctx } from './field-path.js'

/** Largest file read while config is decoded. */
export const MAX_DATA_SOURCE_BYTES = 16 * 1024 * 1024

/** `directory`: the message's own watched_directory, which older forms set beside the DataSource. */
export function decodeDataSource(source: DataSourceMessage | undefined, ctx: Ctx, directory?: WatchedDirectory): DataSource | null {
  if (source === undefined) return null
  switch (source.specifier.case) {
    case 'inlineString':
      return { kind: 'inline', text: source.specifier.value }
    case 'inlineBytes':
      return inlineBytes(Buffer.from(source.specifier.value))
    case 'filename':
      return { kind: 'file', path: source.specifier.value, watchedDirectory: source.watchedDirectory?.path ?? directory?.path ?? '' }
    case 'environmentVariable':
      return { kind: 'env', name: source.specifier.value }
    default:
      ctx.error('one of filename, inline_bytes, inline_string, environment_variable is required')
      return null
  }
}

/** Key material is text; session ticket keys are not, and must not lose a byte. */
function inlineBytes(bytes: Buffer): DataSource {
  const text = bytes.toString('utf8')
  return Buffer.from(text).equals(bytes) ? { kind: 'inline', text } : { kind: 'inline', text, base64: bytes.toString('base64') }
}

/** The bytes now; null after recording why they cannot be had. */
export function readDataSource(source: DataSourceMessage | undefined, ctx: Ctx): Uint8Array | null {
  if (source === undefined) return null
  switch (source.specifier.case) {
    case 'inlineString':
      return Buffer.from(source.specifier.value, 'utf8')
    case 'inlineBytes':
      return source.specifier.value
    case 'filename':
      return readFile(source.specifier.value, ctx.at('filename'))
    case 'environmentVariable':
      ctx.at('environment_variable').error('a variable of the environment is not read here')
      return null
    default:
      ctx.error('one of filename, inline_bytes, inline_string, environment_variable is required')
      return null
  }
}

function readFile(path: string, ctx: Ctx): Uint8Array | null {
  try {
    const reader = ctx.sink.options.readFile
    if (reader !== undefined) return reader(path)
    const { size } = statSync(path)
    if (size > MAX_DATA_SOURCE_BYTES) {
      ctx.error(`${path} has ${size} bytes; the limit is ${MAX_DATA_SOURCE_BYTES}`)
      return null
    }
    return readFileSync(path)
  } catch (error) {
    ctx.error(`cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`)
    return null
  }
}

// Custom tags, compiled: of spans, and of access logs that take them. Called where a connection manager, a route or a log is compiled.

import type { CustomTag } from '../../model/tracing.js'
import { toByteString } from '../codec/byte-string.js'
import { metadataValue } from '../match/metadata-matcher.js'
import type { StreamInfo } from '../stream/stream-info.js'
import { compileFormat, readEnvironment } from './header-format.js'

export interface CompiledTag {
  /** Byte strings. */
  readonly name: string
  /** Undefined or '': there is no tag. */
  value(info: StreamInfo): string | undefined
}

export function compileCustomTags(tags: readonly CustomTag[]): readonly CompiledTag[] {
  return tags.map(tag => ({ name: toByteString(tag.tag), value: compileValue(tag) }))
}

function compileValue(tag: CustomTag): CompiledTag['value'] {
  switch (tag.kind) {
    case 'literal':
      return constant(tag.value)
    case 'environment':
      return constant(readEnvironment(tag.name) ?? tag.defaultValue)
    case 'requestHeader': {
      const fallback = toByteString(tag.defaultValue)
      return ({ request }) => request?.headers.get(tag.name) ?? fallback
    }
    case 'metadata': {
      const fallback = toByteString(tag.defaultValue)
      return info => metadataText(tag, info) || fallback
    }
    case 'format': {
      const compiled = compileFormat(tag.format)
      return compiled.ok ? compiled.format : constant(tag.format)
    }
  }
}

function constant(text: string): () => string {
  const bytes = toByteString(text)
  return () => bytes
}

function metadataText({ source, namespace, path }: CustomTag & { kind: 'metadata' }, info: StreamInfo): string {
  const value = metadataValue(structOf(source, namespace, info), path)
  if (value === undefined || value === null) return ''
  return toByteString(typeof value === 'object' ? JSON.stringify(value) : String(value))
}

function structOf(source: 'request' | 'route' | 'cluster' | 'host', namespace: string, info: StreamInfo) {
  switch (source) {
    case 'request':
      return info.dynamicMetadata(namespace)
    case 'route':
      return info.routeMetadata?.get(namespace)
    case 'cluster':
      return info.upstreamHost?.cluster.config.metadata.get(namespace)
    case 'host':
      return info.upstreamHost?.metadata.get(namespace)
  }
}

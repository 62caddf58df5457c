// envoy.type.tracing.v3.CustomTag -> model: of spans, and of access logs to gRPC services. Called by tracing.ts and access-log.ts.

import type { CustomTag } from '../../model/tracing.js'
import type { CustomTag_Metadata, CustomTag as CustomTagMessage } from '../gen/envoy/type/tracing/v3/custom_tag_pb.js'
import type { Ctx } from './field-path.js'
import { checkFormat } from './format-string.js'

type MetadataSource = (CustomTag & { kind: 'metadata' })['source']

/** Whose metadata it is. */
const SOURCES: Record<MetadataSource, MetadataSource> = { request: 'request', route: 'route', cluster: 'cluster', host: 'host' }

export function decodeCustomTags(tags: readonly CustomTagMessage[], ctx: Ctx, field: string): CustomTag[] {
  return tags.map((tag, i) => decodeCustomTag(tag, ctx.at(field, i))).filter(tag => tag !== null)
}

function decodeCustomTag({ tag, type }: CustomTagMessage, ctx: Ctx): CustomTag | null {
  switch (type.case) {
    case 'literal':
      return { tag, kind: 'literal', value: type.value.value }
    case 'environment':
      return { tag, kind: 'environment', name: type.value.name, defaultValue: type.value.defaultValue }
    case 'requestHeader':
      return { tag, kind: 'requestHeader', name: type.value.name.toLowerCase(), defaultValue: type.value.defaultValue }
    case 'metadata':
      return decodeMetadataTag(tag, type.value, ctx.at('metadata'))
    case 'value':
      checkFormat(type.value, ctx.at('value'))
      return { tag, kind: 'format', format: type.value }
    default:
      return null // the missing oneof has been reported
  }
}

function decodeMetadataTag(tag: string, { kind, metadataKey, defaultValue }: CustomTag_Metadata, ctx: Ctx): CustomTag | null {
  const of = kind?.kind.case
  if (of === undefined) {
    ctx.at('kind').error('one of request, route, cluster, host is required')
    return null
  }
  const path = (metadataKey?.path ?? []).flatMap(({ segment }) => (segment.case === 'key' ? [segment.value] : []))
  return { tag, kind: 'metadata', source: SOURCES[of], namespace: metadataKey?.key ?? '', path, defaultValue }
}

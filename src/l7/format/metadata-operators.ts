// Format commands that read structured values: metadata of the request, listener, cluster and endpoint, and filter state.

import type { JsonObject, Metadata } from '../../model/metadata.js'
import { toByteString } from '../codec/byte-string.js'
import { metadataValue } from '../match/metadata-matcher.js'
import { clusterOf, type StreamInfo } from '../stream/stream-info.js'
import type { Operator, OperatorFactory, OperatorValue } from './operator.js'

type StructOf = (info: StreamInfo, namespace: string) => JsonObject | undefined

const fromMap =
  (read: (info: StreamInfo) => Metadata | undefined): StructOf =>
  (info, namespace) =>
    read(info)?.get(namespace)

const SOURCES: ReadonlyMap<string, StructOf> = new Map<string, StructOf>([
  ['DYNAMIC', (info, namespace) => info.dynamicMetadata(namespace)],
  ['CLUSTER', fromMap(info => clusterOf(info)?.metadata)],
  ['UPSTREAM_HOST', fromMap(info => info.upstreamHost?.metadata)],
  ['LISTENER', fromMap(info => info.connection.listenerMetadata)],
  ['LISTENER_FILTER_CHAIN', fromMap(info => info.connection.filterChainMetadata)],
  ['ROUTE', fromMap(info => info.routeMetadata ?? undefined)],
  ['VIRTUAL_HOST', fromMap(info => info.virtualHostMetadata ?? undefined)],
])

/** `NAMESPACE:KEY:…`: struct keys after the first colon; a string inside is text and becomes bytes. */
function lookUp(source: StructOf, argument: string): Operator {
  const [namespace = '', ...path] = argument.split(':')
  return info => bytes(metadataValue(source(info, namespace), path))
}

function bytes(value: OperatorValue): OperatorValue {
  return typeof value === 'string' ? toByteString(value) : value
}

const from =
  (type: string): OperatorFactory =>
  argument =>
    lookUp(SOURCES.get(type)!, argument)

function filterState(argument: string): Operator | { reason: string } {
  const [key, form, field] = argument.split(':')
  if (key === undefined || key === '') return { reason: 'needs (KEY:F)' }
  if (form !== undefined && form !== 'PLAIN' && form !== 'TYPED' && form !== 'FIELD')
    return { reason: `has the unknown serialization ${form}` }
  return info => {
    const value = info.filterState(key) as OperatorValue
    if (value === undefined || value === null) return undefined
    if (form === 'FIELD') return bytes(metadataValue(value as JsonObject, [field ?? '']))
    if (form === 'PLAIN') return toByteString(typeof value === 'object' ? JSON.stringify(value) : String(value))
    return bytes(value)
  }
}

export const METADATA_OPERATORS: readonly [string, OperatorFactory][] = [
  ['DYNAMIC_METADATA', from('DYNAMIC')],
  ['CLUSTER_METADATA', from('CLUSTER')],
  ['UPSTREAM_METADATA', from('UPSTREAM_HOST')],
  [
    'METADATA',
    argument => {
      const colon = argument.indexOf(':')
      const source = SOURCES.get(colon === -1 ? argument : argument.slice(0, colon))
      if (source === undefined) return { reason: `(${argument}) names no metadata type` }
      return lookUp(source, colon === -1 ? '' : argument.slice(colon + 1))
    },
  ],
  ['FILTER_STATE', filterState],
]

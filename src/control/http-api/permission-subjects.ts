// What a request or an answer is about: the fields of a body in any of Consul's spellings, the service and node of an item, the parts of a list that may
// be seen. Used by the table of permissions and the rules beside it.
import type { FastifyRequest } from 'fastify'
import type { Access } from '../acl/access.js'

export type Item = Readonly<Record<string, unknown>>

export const first = (request: FastifyRequest): string => Object.values(request.params as Record<string, string>)[0] ?? ''

/** A field of a body in any of Consul's spellings. */
export function field(body: unknown, name: string): unknown {
  if (typeof body !== 'object' || body === null) return undefined
  const wanted = name.toLowerCase()
  return Object.entries(body).find(([key]) => key.replaceAll('_', '').toLowerCase() === wanted)?.[1]
}

export const textField = (body: unknown, name: string): string => {
  const value = field(body, name)
  return typeof value === 'string' ? value : ''
}

/** The service that an item of an answer is about: catalog entries, health entries, checks, agent services. '' = none. */
export function serviceOf(item: Item): string {
  const { ServiceName, Service, Name } = item
  if (typeof ServiceName === 'string') return ServiceName
  if (typeof Service === 'string') return Service
  if (typeof Service === 'object' && Service !== null) return String((Service as Item)['Service'] ?? '')
  return typeof Name === 'string' ? Name : ''
}

export function nodeOf(item: Item): string {
  const { Node } = item
  if (typeof Node === 'string') return Node
  return typeof Node === 'object' && Node !== null ? String((Node as Item)['Node'] ?? '') : ''
}

export const items = (payload: unknown, keep: (item: Item) => boolean): unknown =>
  Array.isArray(payload) ? payload.filter(item => keep(item as Item)) : payload

export function entries(payload: unknown, keep: (key: string, item: Item) => boolean): unknown {
  if (typeof payload !== 'object' || payload === null || Array.isArray(payload)) return payload
  return Object.fromEntries(Object.entries(payload).filter(([key, item]) => keep(key, item as Item)))
}

export const seesService = (access: Access, item: Item): boolean => {
  const node = nodeOf(item)
  const service = serviceOf(item)
  return (node === '' || access.may('node', node, 'read')) && (service === '' || access.may('service', service, 'read'))
}

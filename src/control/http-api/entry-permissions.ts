// What a config entry asks of a token, by its kind and by what is written into it. Used by the table of permissions.
import type { FastifyRequest } from 'fastify'
import type { Access } from '../acl/access.js'
import { SPIFFE_ID_KEY } from '../config-entries/proxy-config-keys.js'
import type { ApiContext } from './context.js'
import { field, type Item, textField } from './permission-subjects.js'

/** Kinds of config entries by what they ask; all others ask for the service of their name. */
const MESH_KINDS = new Set([
  'mesh',
  'exported-services',
  'api-gateway',
  'http-route',
  'tcp-route',
  'inline-certificate',
  'file-system-certificate',
  'bound-api-gateway',
  'jwt-provider',
  'sameness-group',
])
const OPERATOR_KINDS = new Set(['ingress-gateway', 'terminating-gateway', 'control-plane-request-limit'])

export function mayEntry(access: Access, kind: string, name: string, wanted: 'read' | 'write'): boolean {
  if (kind === 'service-intentions') return access.may('intention', name, wanted)
  // Everyone reads proxy-defaults and mesh: each proxy is made from them.
  if (kind === 'proxy-defaults') return wanted === 'read' || access.maySingle('mesh', 'write')
  if (MESH_KINDS.has(kind)) return wanted === 'read' && kind === 'mesh' ? true : access.maySingle('mesh', wanted)
  if (OPERATOR_KINDS.has(kind)) return wanted === 'read' ? access.may('service', name, 'read') : access.maySingle('mesh', 'write')
  return access.may('service', name, wanted)
}

export function needEntry(access: Access, kind: string, name: string, wanted: 'read' | 'write'): void {
  if (mayEntry(access, kind, name, wanted)) return
  if (kind === 'service-intentions') access.need('intention', name, wanted)
  else if (kind === 'proxy-defaults' || MESH_KINDS.has(kind) || OPERATOR_KINDS.has(kind)) access.needSingle('mesh', wanted)
  access.need('service', name, wanted)
}

/**
 * By which SPIFFE id the mesh knows a service is the mesh's to say: whoever may write the service may register it, and would choose whom
 * intentions take it for. `id` = as it is to be; undefined: nothing is said.
 */
export function needSameId(access: Access, kind: string, name: string, id: unknown, { entries }: ApiContext): void {
  if (kind !== 'service-defaults') return
  if (id !== entries.get('service-defaults', name)?.Meta?.[SPIFFE_ID_KEY]) access.needSingle('mesh', 'write')
}

export function needWrite(access: Access, body: unknown, context: ApiContext): void {
  const [kind, name] = [textField(body, 'Kind'), textField(body, 'Name')]
  needEntry(access, kind, name, 'write')
  const meta = field(body, 'Meta')
  const id = typeof meta === 'object' && meta !== null ? (meta as Item)[SPIFFE_ID_KEY] : undefined
  needSameId(access, kind, name, id, context)
}

export function needWrites(access: Access, { body }: FastifyRequest, context: ApiContext): void {
  for (const one of Array.isArray(body) ? body : []) needWrite(access, one, context)
}

// What two control planes say on a peering stream, as JSON in the frames of gRPC: read field by field, since the other side is somebody else's.
// Used by peer-session.ts and the two ends of its transport. Consul's servers speak a protocol among themselves that is no part of its public
// API; this one is ours (docs/peering.md).
// Invariant: what `readMessage` gives out holds only names, addresses and certificates that the rest of the control plane can work with.

import { isIP } from 'node:net'
import { checkTrustDomain, parseSpiffeId } from '../../mtls/spiffe.js'
import type { HealthStatus } from '../catalog/check-definition.js'
import { readLocality } from '../catalog/locality.js'
import { SERVICE_NAME } from '../catalog/service-definition.js'
import { FieldReader, isObject } from '../config-entries/field-reader.js'
import type { ConfigError } from '../config-entries/types.js'
import { plainPem, serverAddress } from './peering-token.js'
import type { ExportedService, PeerBundle, PeerInstance } from './peering-types.js'

export const EXCHANGE_METHOD = '/outrigger.peering.v1.PeerStream/Exchange'
export const STREAM_METHOD = '/outrigger.peering.v1.PeerStream/Stream'

export type PeerMessage =
  /** First, of each side. `have`: hashes of the services that it has already. */
  | {
      readonly kind: 'hello'
      readonly clockMs: number
      readonly datacenter: string
      readonly have: Readonly<Record<string, string>>
    }
  | { readonly kind: 'bundle'; readonly bundle: PeerBundle }
  /** Where the side that is dialled is reached from now on. */
  | { readonly kind: 'servers'; readonly addresses: readonly string[] }
  /** All that is exported: what is not named is no more. */
  | { readonly kind: 'services'; readonly names: readonly string[] }
  | { readonly kind: 'service'; readonly service: ExportedService; readonly hash: string }
  /** Of a service that was not taken. */
  | { readonly kind: 'refused'; readonly service: string; readonly reason: string }
  | { readonly kind: 'heartbeat' }
  /** The peering has been deleted. */
  | { readonly kind: 'terminated' }

/** The first message of a stream, by who dials. */
export interface StreamOpening {
  readonly peerId: string
  readonly secret: string
}

/** Asked once with a token, before there are streams. */
export interface ExchangeRequest {
  readonly peerId: string
  readonly secret: string
  /** The dialler's own. */
  readonly id: string
  readonly datacenter: string
  readonly clockMs: number
  readonly bundle: PeerBundle
}

export interface ExchangeAnswer {
  readonly secret: string
  readonly datacenter: string
  readonly bundle: PeerBundle
}

/** While one is read nothing else is done: about as much as a service of as many instances as may be. */
export const MAX_MESSAGE_BYTES = 16 * 1024 * 1024
/** Of who has not shown yet that it is a peer. */
export const MAX_OPENING_BYTES = 1024 * 1024

/** Of one service. */
const MAX_INSTANCES = 20_000
const MAX_ROOTS = 32
const MAX_ADDRESSES = 64
const MAX_SPIFFE_IDS = 256
const MAX_NAME_CHARS = 512
/** Of what is wrong in one message. */
const MAX_ERRORS_TOLD = 3
const MAX_REASON_CHARS = 300
const HOST_NAME = /^(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?$/i
const STATUSES: readonly string[] = ['passing', 'warning', 'critical'] satisfies HealthStatus[]

/** Throws one line that names the field. */
export function readOpening(json: unknown): StreamOpening {
  return read(json, fields => ({ peerId: needed(fields, 'peerId'), secret: needed(fields, 'secret') }))
}

/** Throws one line that names the field. */
export function readExchangeRequest(json: unknown): ExchangeRequest {
  return read(json, fields => ({
    peerId: needed(fields, 'peerId'),
    secret: needed(fields, 'secret'),
    id: needed(fields, 'id'),
    datacenter: needed(fields, 'datacenter'),
    clockMs: clock(fields),
    bundle: readBundle(fields),
  }))
}

/** Throws one line that names the field. */
export function readExchangeAnswer(json: unknown): ExchangeAnswer {
  return read(json, fields => ({
    secret: needed(fields, 'secret'),
    datacenter: needed(fields, 'datacenter'),
    bundle: readBundle(fields),
  }))
}

/** Undefined: of a kind that a newer version knows. Throws one line that names the field. */
export function readMessage(json: unknown): PeerMessage | undefined {
  return read(json, (fields): PeerMessage | undefined => {
    const kind = fields.string('kind')
    switch (kind) {
      case 'hello':
        return { kind, clockMs: clock(fields), datacenter: needed(fields, 'datacenter'), have: fields.stringMap('have') }
      case 'bundle':
        return { kind, bundle: readBundle(fields) }
      case 'servers':
        return { kind, addresses: readAddresses(fields) }
      case 'services':
        return { kind, names: fields.strings('names') }
      case 'service':
        return { kind, service: readService(fields), hash: needed(fields, 'hash') }
      case 'refused':
        return { kind, service: fields.string('service').slice(0, MAX_NAME_CHARS), reason: shortened(fields.string('reason')) }
      case 'heartbeat':
      case 'terminated':
        return { kind }
      default:
        return undefined
    }
  })
}

function read<T>(json: unknown, parts: (fields: FieldReader) => T): T {
  const errors: ConfigError[] = []
  if (!isObject(json)) throw new Error('the message is no object')
  const value = parts(new FieldReader(json, '', errors))
  if (errors.length > 0) throw new Error(lineOf(errors))
  return value
}

/** It is logged, and told to the other side: short, however much is wrong. */
function lineOf(errors: readonly ConfigError[]): string {
  const told = errors.slice(0, MAX_ERRORS_TOLD).map(({ path, reason }) => shortened(`${path} ${reason}`))
  const more = errors.length - told.length
  return told.join('; ') + (more === 0 ? '' : `; and ${more} more`)
}

export const shortened = (reason: string): string => reason.slice(0, MAX_REASON_CHARS)

function needed(fields: FieldReader, name: string): string {
  const text = fields.string(name)
  if (text === '' || text.length > MAX_NAME_CHARS) fields.fail(name, `must be 1 to ${MAX_NAME_CHARS} characters`)
  return text
}

const clock = (fields: FieldReader): number => fields.integer('clockMs', 0, Number.MAX_SAFE_INTEGER, 0)

function readBundle(fields: FieldReader): PeerBundle {
  const bundle = fields.object('bundle') ?? fields.absent('bundle')
  const trustDomain = bundle.string('trustDomain')
  const wrong = checkTrustDomain(trustDomain)
  if (wrong !== undefined) bundle.fail('trustDomain', wrong.reason)
  const texts = bundle.strings('rootPems')
  if (texts.length === 0 || texts.length > MAX_ROOTS) bundle.fail('rootPems', `must be 1 to ${MAX_ROOTS} certificates`)
  const rootPems: string[] = []
  for (const text of texts.slice(0, MAX_ROOTS)) check(bundle, 'rootPems', () => rootPems.push(plainPem(text, 'the bundle')))
  return { trustDomain, rootPems }
}

function readAddresses(fields: FieldReader): string[] {
  const addresses = fields.strings('addresses')
  if (addresses.length === 0 || addresses.length > MAX_ADDRESSES) fields.fail('addresses', `must be 1 to ${MAX_ADDRESSES}`)
  for (const address of addresses) check(fields, 'addresses', () => serverAddress(address))
  return addresses
}

function check(fields: FieldReader, name: string, judge: () => unknown): void {
  try {
    judge()
  } catch (error) {
    fields.fail(name, (error as Error).message)
  }
}

function readService(fields: FieldReader): ExportedService {
  const service = fields.object('service') ?? fields.absent('service')
  const name = service.string('name')
  if (!SERVICE_NAME.test(name)) service.fail('name', 'is no service name')
  const spiffeIds = service.strings('spiffeIds')
  if (spiffeIds.length === 0 || spiffeIds.length > MAX_SPIFFE_IDS) service.fail('spiffeIds', `must be 1 to ${MAX_SPIFFE_IDS}`)
  if (spiffeIds.some(id => !parseSpiffeId(id).ok)) service.fail('spiffeIds', 'holds one that is no SPIFFE id')
  return {
    name,
    protocol: needed(service, 'protocol'),
    sni: needed(service, 'sni'),
    spiffeIds,
    instances: service.objects('instances', MAX_INSTANCES).map(readInstance),
    ways: service.objects('ways', MAX_INSTANCES).map(readInstance),
  }
}

/** Whatever shows or resolves it can do so with these. */
function readAddress(fields: FieldReader): string {
  const address = fields.string('address')
  if (address !== '' && isIP(address) === 0 && !HOST_NAME.test(address)) fields.fail('address', 'is no IP address and no host name')
  return address
}

function readInstance(fields: FieldReader): PeerInstance {
  const node = fields.object('node') ?? fields.absent('node')
  const weights = fields.object('weights') ?? fields.absent('weights')
  const locality = readLocality(fields)
  const status = fields.string('status')
  if (!STATUSES.includes(status)) fields.fail('status', `must be one of ${STATUSES.join(', ')}`)
  return {
    id: needed(fields, 'id'),
    kind: fields.string('kind'),
    name: needed(fields, 'name'),
    tags: fields.strings('tags'),
    meta: { ...fields.stringMap('meta') },
    address: readAddress(fields),
    port: fields.integer('port', 0, 65_535, 0),
    weights: { Passing: weights.integer('Passing', 0, 65_535, 1), Warning: weights.integer('Warning', 0, 65_535, 1) },
    status: status as HealthStatus,
    node: { id: node.string('id'), name: node.string('name'), address: readAddress(node) },
    ...(locality && { Locality: locality }),
  }
}

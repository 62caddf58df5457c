// `/v1/connect/intentions`: intentions one by one, as sources of `service-intentions` entries, and what they decide, in Consul's shapes. Decisions
// come from the same code that compiles what the sidecars enforce. Invariant: a write changes what is said of one source of this mesh, and nothing
// that others have said in between; of a peer's services only the whole entry speaks.
import { createHash } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ServiceIntentions, SourceIntention } from '../config-entries/types.js'
import { isHttpLike, serviceProtocol } from '../discovery-chain/service-protocol.js'
import { decide } from '../intentions/decide.js'
import { explainIntention } from '../intentions/explain.js'
import { flattenEntry, intentionsFor } from '../intentions/match.js'
import { intentionTable } from '../intentions/table.js'
import type { Intention } from '../intentions/types.js'
import type { ApiContext } from './context.js'
import { field, textField } from './permission-subjects.js'
import { compileRequestFilter } from './request-filter.js'
import { blockingRead, bodyObject, HttpError, joinErrors, param, queryAll, requiredQuery } from './respond.js'

export const INTENTIONS = 'intentions'
/** Entries have indexes, not times; Go's zero time is how Consul says so. */
const NO_TIME = '0001-01-01T00:00:00Z'
/** What only the whole entry says: taken for a service of ours, it would let in another. */
const OF_ENTRIES_ALONE = ['SourcePeer', 'SourceSamenessGroup']

export function intentionRoutes(app: FastifyInstance, context: ApiContext): void {
  const { entries } = context

  app.get('/v1/connect/intentions', (request, reply) => {
    const isWanted = compileRequestFilter(request, 'intention')
    return blockingRead(context, request, reply, INTENTIONS, () =>
      allIntentions(context)
        .map(({ intention, entry }) => intentionShape(intention, entry))
        .filter(isWanted)
        .sort((a, b) => b.Precedence - a.Precedence || (a.DestinationName + a.SourceName < b.DestinationName + b.SourceName ? -1 : 1)),
    )
  })

  // The old form, by id: an id stands for the pair of names, so that it needs no place of its own.
  app.post('/v1/connect/intentions', async request => {
    const body = bodyObject(request)
    // Read as by who asks for the right to it (permissions.ts).
    const source = plainName(textField(body, 'SourceName'))
    const destination = plainName(textField(body, 'DestinationName'))
    if (source === '' || destination === '') throw new HttpError(400, 'SourceName and DestinationName must be set')
    const now = new Date().toISOString()
    await writeIntention(context, source, destination, body, before => {
      if (before !== undefined) throw new HttpError(500, 'duplicate intention found: it is the pair of names that counts')
      return { LegacyCreateTime: now, LegacyUpdateTime: now }
    })
    return { ID: intentionId({ source, destination }) }
  })
  app.get('/v1/connect/intentions/:id', (request, reply) =>
    blockingRead(context, request, reply, INTENTIONS, () => {
      const { intention, entry } = intentionOfId(context, param(request, 'id'))
      return intentionShape(intention, entry)
    }),
  )
  app.put('/v1/connect/intentions/:id', async request => {
    const { source, destination } = localIntentionOfId(context, param(request, 'id'))
    const body = bodyObject(request)
    samePair(body, 'SourceName', source)
    samePair(body, 'DestinationName', destination)
    await writeIntention(context, source, destination, body, before => ({
      ...(before?.LegacyCreateTime === undefined ? {} : { LegacyCreateTime: before.LegacyCreateTime }),
      LegacyUpdateTime: new Date().toISOString(),
    }))
    return { ID: param(request, 'id') }
  })
  app.delete('/v1/connect/intentions/:id', async request => {
    const { source, destination } = localIntentionOfId(context, param(request, 'id'))
    return deleteIntention(context, source, destination)
  })

  app.get('/v1/connect/intentions/match', (request, reply) => {
    const by = requiredQuery(request, 'by')
    if (by !== 'source' && by !== 'destination') throw new HttpError(400, "'by' must be one of 'source' or 'destination'")
    const names = queryAll(request, 'name').filter(name => name !== '')
    if (names.length === 0) throw new HttpError(400, "required query parameter 'name' not set")
    return blockingRead(context, request, reply, INTENTIONS, () =>
      Object.fromEntries(names.map(name => [name, matchingIntentions(context, by, plainName(name))])),
    )
  })

  app.get('/v1/connect/intentions/check', (request, reply) => {
    const source = requiredQuery(request, 'source')
    const destination = requiredQuery(request, 'destination')
    return blockingRead(context, request, reply, INTENTIONS, () => ({ Allowed: decideConnection(context, source, destination).allowed }))
  })

  app.get('/v1/connect/intentions/exact', (request, reply) => {
    const { source, destination } = exactNames(request)
    return blockingRead(context, request, reply, INTENTIONS, () => {
      const entry = entries.get('service-intentions', destination)
      const intention = entry && flattenEntry(entry).find(candidate => candidate.source === source && candidate.sourcePeer === undefined)
      if (entry === undefined || intention === undefined) throw new HttpError(404, 'Intention not found')
      return intentionShape(intention, entry)
    })
  })

  app.put('/v1/connect/intentions/exact', async request => {
    const { source, destination } = exactNames(request)
    return writeIntention(context, source, destination, request.body === undefined ? {} : bodyObject(request))
  })

  app.delete('/v1/connect/intentions/exact', async request => {
    const { source, destination } = exactNames(request)
    return deleteIntention(context, source, destination)
  })
}

/** An intention with permissions can't be decided for a connection alone: then the answer is no, as in Consul. */
export function decideConnection(
  context: ApiContext,
  source: string,
  destination: string,
): { readonly allowed: boolean; readonly reason: string } {
  const intentions = intentionsFor(context.entries, destination)
  const policy = { defaultAction: context.defaultPolicy(), http: isHttpLike(serviceProtocol(context.entries, destination)) }
  const decision = decide(intentions, { source: { service: source } }, policy)
  const needsRequest = decision.intention?.permissions !== undefined
  const { reason } = explainIntention(intentionTable(destination, intentions, policy), { source })
  return needsRequest
    ? { allowed: false, reason: `Matched L7 intention ${decision.intention!.name}: its permissions are decided for each request` }
    : { allowed: decision.allowed, reason }
}

/**
 * Sets what an entry says of one service of ours; the other sources stay, those of peers too, whatever else is written meanwhile. `timesOf`: only
 * the endpoints by id keep times, as in Consul; what it throws is the answer.
 */
function writeIntention(
  context: ApiContext,
  source: string,
  destination: string,
  body: Record<string, unknown>,
  timesOf: (before: SourceIntention | undefined) => Pick<SourceIntention, 'LegacyCreateTime' | 'LegacyUpdateTime'> = () => ({}),
): Promise<true> {
  for (const name of OF_ENTRIES_ALONE)
    if (textField(body, name) !== '') throw new HttpError(400, `${name}: write the service-intentions entry of ${destination} instead`)
  const [action, permissions, description] = ['Action', 'Permissions', 'Description'].map(name => field(body, name))
  return change(context, destination, entry => ({
    ...(entry ?? { Kind: 'service-intentions', Name: destination }),
    Sources: [
      ...(entry?.Sources ?? []).filter(candidate => !isOurs(candidate, source)),
      {
        Name: source,
        Type: 'consul',
        ...(action === undefined || action === '' ? {} : { Action: action }),
        ...(permissions === undefined || permissions === null ? {} : { Permissions: permissions }),
        ...(description === undefined ? {} : { Description: description }),
        ...timesOf(sourceOf(entry, source)),
      },
    ],
  }))
}

/** The entry goes with the last of its sources. */
function deleteIntention(context: ApiContext, source: string, destination: string): Promise<true> {
  return change(context, destination, entry => {
    if (sourceOf(entry, source) === undefined) return entry
    const rest = entry!.Sources.filter(candidate => !isOurs(candidate, source))
    return rest.length === 0 ? undefined : { ...entry, Sources: rest }
  })
}

async function change(
  context: ApiContext,
  destination: string,
  make: (before: ServiceIntentions | undefined) => object | undefined,
): Promise<true> {
  const { ok, errors } = await context.entries.change('service-intentions', destination, make)
  if (ok) return true
  context.metrics.refusedWrites.inc()
  throw new HttpError(400, joinErrors(errors))
}

/** Of services of peers only the entries speak, as in Consul: no endpoint by names means one. */
function isOurs({ Name, Peer }: SourceIntention, name: string): boolean {
  return Name === name && Peer === undefined
}

function sourceOf(entry: ServiceIntentions | undefined, name: string, peer?: string): SourceIntention | undefined {
  return entry?.Sources.find(({ Name, Peer }) => Name === name && Peer === peer)
}

function exactNames(request: FastifyRequest): { readonly source: string; readonly destination: string } {
  return { source: plainName(requiredQuery(request, 'source')), destination: plainName(requiredQuery(request, 'destination')) }
}

/** Names may come with the one namespace and partition that there are. */
export function plainName(name: string): string {
  return name.replace(/^(?:default\/){1,2}/, '')
}

function allIntentions({ entries }: ApiContext): { readonly intention: Intention; readonly entry: ServiceIntentions }[] {
  return entries.list('service-intentions').flatMap(entry => flattenEntry(entry).map(intention => ({ intention, entry })))
}

/** A UUID made of the pair of names, and of the peer where the source is one's. */
function intentionId({ source, destination, sourcePeer }: Pick<Intention, 'source' | 'destination' | 'sourcePeer'>): string {
  const hex = createHash('sha256')
    .update(JSON.stringify(sourcePeer === undefined ? [source, destination] : [source, destination, sourcePeer]))
    .digest('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

function intentionOfId(context: ApiContext, id: string): { readonly intention: Intention; readonly entry: ServiceIntentions } {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id))
    throw new HttpError(400, `Invalid intention ID ${JSON.stringify(id)}: must be a UUID`)
  const found = intentionWithId(context, id)
  if (found === undefined) throw new HttpError(404, 'Intention not found')
  return found
}

/** An id is that of a pair of names: with others it would be of another intention. */
function samePair(body: Record<string, unknown>, which: 'SourceName' | 'DestinationName', name: string): void {
  const said = plainName(String(field(body, which) ?? ''))
  if (said !== '' && said !== name) throw new HttpError(400, `${which} is ${name} in the intention of this ID, and can't be changed`)
}

/** What the endpoints by id may write. */
function localIntentionOfId(context: ApiContext, id: string): Intention {
  const { intention } = intentionOfId(context, id)
  if (intention.sourcePeer !== undefined)
    throw new HttpError(
      400,
      `the source is of peer ${intention.sourcePeer}: write the service-intentions entry of ${intention.destination}`,
    )
  return intention
}

export function intentionWithId(
  context: ApiContext,
  id: string,
): { readonly intention: Intention; readonly entry: ServiceIntentions } | undefined {
  const wanted = id.toLowerCase()
  return allIntentions(context).find(({ intention }) => intentionId(intention) === wanted)
}

/** Those that speak of a service, the one that decides first. */
export function matchingIntentions(context: ApiContext, by: 'source' | 'destination', name: string) {
  return allIntentions(context)
    .filter(({ intention }) => {
      const value = by === 'source' ? intention.source : intention.destination
      return (value === name || value === '*') && (by === 'destination' || intention.sourcePeer === undefined)
    })
    .sort((a, b) => b.intention.precedence - a.intention.precedence || (a.intention.name < b.intention.name ? -1 : 1))
    .map(({ intention, entry }) => intentionShape(intention, entry))
}

function intentionShape(intention: Intention, entry: ServiceIntentions) {
  const { LegacyCreateTime, LegacyUpdateTime } = sourceOf(entry, intention.source, intention.sourcePeer) ?? {}
  return {
    ID: intentionId(intention),
    ...(intention.description === undefined ? {} : { Description: intention.description }),
    SourceNS: intention.sourceNamespace,
    SourceName: intention.source,
    SourcePartition: intention.sourcePartition,
    ...(intention.sourcePeer === undefined ? {} : { SourcePeer: intention.sourcePeer }),
    DestinationNS: 'default',
    DestinationName: intention.destination,
    DestinationPartition: 'default',
    SourceType: 'consul',
    Meta: entry.Meta ?? {},
    CreatedAt: LegacyCreateTime ?? NO_TIME,
    UpdatedAt: LegacyUpdateTime ?? NO_TIME,
    ...(intention.action === undefined ? {} : { Action: intention.action }),
    ...(intention.permissions === undefined ? {} : { Permissions: intention.permissions }),
    Precedence: intention.precedence,
    CreateIndex: entry.CreateIndex ?? 0,
    ModifyIndex: entry.ModifyIndex ?? 0,
  }
}

// `/v1/peering…`, `/v1/exported-services` and `/v1/imported-services`: peerings by their operators, in Consul's shapes, and what goes through them.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { consumingPeers, exportedNames, plainServices } from '../peering/exported-services.js'
import { PeeringError, type PeeringStatus } from '../peering/peerings.js'
import type { ApiContext } from './context.js'
import { blockingRead, bodyObject, eitherTopic, HttpError, param, query } from './respond.js'

const PEERINGS = 'peerings'
const MAX_META = 64

export function peeringRoutes(app: FastifyInstance, context: ApiContext): void {
  const { peerings, indexes } = context
  const shape = (status: PeeringStatus): object => peeringShape(context, status)

  app.post('/v1/peering/token', async request => {
    const body = bodyObject(request)
    const name = peerName(body, 'when generating a new peering token')
    const addresses = strings(body, 'ServerExternalAddresses')
    return { PeeringToken: await answered(() => peerings.generateToken(name, meta(body), addresses)) }
  })

  app.post('/v1/peering/establish', async request => {
    const body = bodyObject(request)
    const name = peerName(body, 'when establishing a peering')
    const token = body['PeeringToken']
    if (typeof token !== 'string' || token === '')
      throw new HttpError(400, 'PeeringToken is required in the payload when establishing a peering')
    await answered(() => peerings.establish(name, token, meta(body)))
    return {}
  })

  app.get('/v1/peering/:name', (request, reply) =>
    blockingRead(context, request, reply, PEERINGS, () => {
      const name = param(request, 'name')
      const status = peerings.status(name)
      if (status === undefined) throw new HttpError(404, `Peering not found for "${name}"`)
      return shape(status)
    }),
  )

  app.delete('/v1/peering/:name', async (request, reply) => {
    await answered(() => peerings.delete(param(request, 'name')))
    return reply.send()
  })

  app.get('/v1/peerings', (request, reply) => blockingRead(context, request, reply, PEERINGS, () => peerings.list().map(shape)))

  app.get('/v1/exported-services', (request, reply) =>
    blockingRead(context, request, reply, eitherTopic(indexes, 'config', 'services'), () => exported(context)),
  )

  app.get('/v1/imported-services', (request, reply) =>
    blockingRead(context, request, reply, PEERINGS, () =>
      peerings
        .list()
        .flatMap(({ peering }) =>
          context.peeringTable.importsOf(peering.Name).map(({ name, peer }) => ({ Service: name, SourcePeer: peer })),
        ),
    ),
  )
}

/** Each service that is exported, with the names a `*` takes in, and to whom. */
function exported({ entries, catalog }: ApiContext): object[] {
  const consumers = new Map<string, Set<string>>()
  for (const peer of consumingPeers(entries))
    for (const name of exportedNames(peer, entries, () => plainServices(catalog)))
      consumers.set(name, (consumers.get(name) ?? new Set()).add(peer))
  return [...consumers]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([Service, names]) => ({ Service, Consumers: { Peers: [...names].sort() } }))
}

function peeringShape({ peeringTable, exports }: ApiContext, { peering, state, session }: PeeringStatus): object {
  const { ID, Name, Meta, DeletedAt, PeerID, PeerCAPems, PeerServerName, PeerServerAddresses, Datacenter, CreateIndex, ModifyIndex } =
    peering
  return {
    ID,
    Name,
    ...(DeletedAt === undefined ? {} : { DeletedAt }),
    ...(Object.keys(Meta).length === 0 ? {} : { Meta }),
    State: state,
    ...(PeerID === '' ? {} : { PeerID }),
    ...(PeerCAPems.length === 0 ? {} : { PeerCAPems }),
    ...(PeerServerName === '' ? {} : { PeerServerName }),
    ...(PeerServerAddresses.length === 0 ? {} : { PeerServerAddresses }),
    StreamStatus: {
      ImportedServices: peeringTable.importsOf(Name).map(({ name }) => name),
      ExportedServices: session === undefined ? exports.names(Name) : session.exported,
      LastHeartbeat: time(session?.lastHeartbeatMs),
      LastReceive: time(session?.lastReceiveMs),
      LastSend: time(session?.lastSendMs),
    },
    CreateIndex,
    ModifyIndex,
    Remote: { Partition: '', Datacenter, Locality: null },
  }
}

const time = (ms: number | undefined): string | null => (ms === undefined || ms === 0 ? null : new Date(ms).toISOString())

async function answered<T>(task: () => Promise<T>): Promise<T> {
  try {
    return await task()
  } catch (error) {
    throw error instanceof PeeringError ? new HttpError(error.statusCode, error.message) : error
  }
}

function peerName(body: Readonly<Record<string, unknown>>, when: string): string {
  const { PeerName: name, Partition: partition } = body
  if (typeof name !== 'string' || name === '') throw new HttpError(400, `PeerName is required in the payload ${when}`)
  if (partition !== undefined && partition !== '' && partition !== 'default')
    throw new HttpError(400, 'Partition: partitions are a Consul Enterprise feature')
  return name
}

function meta(body: Readonly<Record<string, unknown>>): Record<string, string> {
  const given = body['Meta'] ?? {}
  const entries = typeof given === 'object' && !Array.isArray(given) ? Object.entries(given) : undefined
  if (entries === undefined || entries.length > MAX_META || entries.some(([, value]) => typeof value !== 'string'))
    throw new HttpError(400, `Meta: must be a map of at most ${MAX_META} strings`)
  return Object.fromEntries(entries)
}

function strings(body: Readonly<Record<string, unknown>>, name: string): string[] {
  const given = body[name] ?? []
  if (!Array.isArray(given) || given.some(item => typeof item !== 'string')) throw new HttpError(400, `${name}: must be a list of strings`)
  return given
}

/** `?peer=`: a name of a peering that there is; undefined when not asked for. */
export function askedPeer({ peerings }: ApiContext, request: FastifyRequest): string | undefined {
  const peer = query(request, 'peer') ?? ''
  if (peer === '') return undefined
  if (peerings.status(peer) === undefined) throw new HttpError(404, `Peering not found for "${peer}"`)
  return peer
}

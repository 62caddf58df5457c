// `/v1/operator` and `/v1/coordinate` for the servers that share the state: all of them vote as far as clients are told (the votes are etcd's own
// matter), there are no gossip keys and no distances to others. Shapes as Consul's.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { SERVER_RPC_PORT } from '../catalog/server-instance.js'
import { parseDuration } from '../config-entries/duration.js'
import { FieldReader } from '../config-entries/field-reader.js'
import type { ConfigError } from '../config-entries/types.js'
import { CONSUL_VERSION } from '../consul-version.js'
import type { ApiContext } from './context.js'
import { blockingRead, bodyObject, HttpError, joinErrors, param, query, sendIndexed } from './respond.js'

interface AutopilotConfiguration {
  readonly CleanupDeadServers: boolean
  readonly LastContactThreshold: string
  readonly MaxTrailingLogs: number
  readonly MinQuorum: number
  readonly ServerStabilizationTime: string
  readonly RedundancyZoneTag: string
  readonly DisableUpgradeMigration: boolean
  readonly UpgradeVersionTag: string
}

const DEFAULT_AUTOPILOT: AutopilotConfiguration = {
  CleanupDeadServers: true,
  LastContactThreshold: '200ms',
  MaxTrailingLogs: 250,
  MinQuorum: 0,
  ServerStabilizationTime: '10s',
  RedundancyZoneTag: '',
  DisableUpgradeMigration: false,
  UpgradeVersionTag: '',
}
const AUTOPILOT = 'autopilot'
/** Where a node that has measured nothing stands (Vivaldi). */
const ORIGIN = { Vec: [0, 0, 0, 0, 0, 0, 0, 0], Error: 1.5, Adjustment: 0, Height: 1e-5 }
const NO_KEYRING = 'keyring: encryption is not enabled, since a single server has no gossip'

export function operatorRoutes(app: FastifyInstance, context: ApiContext): void {
  const { node, store, replicas } = context
  const address = `${node.address}:${SERVER_RPC_PORT}`
  const startedAt = new Date().toISOString()

  app.get('/v1/operator/raft/configuration', async () => ({
    Index: store.index,
    Servers: replicas.list().map(replica => ({
      ID: replica.id,
      Node: replica.name,
      Address: `${replica.address}:${SERVER_RPC_PORT}`,
      Leader: replica.id === replicas.leader()?.id,
      ProtocolVersion: '3',
      Voter: true,
      LastIndex: store.index,
    })),
  }))
  app.post('/v1/operator/raft/transfer-leader', () => Promise.reject(new HttpError(500, 'cannot find peer: this is the only server')))
  app.delete('/v1/operator/raft/peer', async request => {
    const id = query(request, 'id') ?? ''
    const peer = query(request, 'address') ?? ''
    if (id === '' && peer === '')
      throw new HttpError(400, "Must specify either ?id with the server's ID or ?address with IP:port of peer to remove")
    if (id !== '' && peer !== '') throw new HttpError(400, 'Must specify only one of ?id or ?address')
    if (id === node.id || peer === address) throw new HttpError(500, 'this is the only server: it cannot be removed')
    throw new HttpError(500, `${id === '' ? `address "${peer}"` : `id "${id}"`} was not found in the Raft configuration`)
  })
  app.route({
    method: ['GET', 'POST', 'PUT', 'DELETE'],
    url: '/v1/operator/keyring',
    handler: () => Promise.reject(new HttpError(500, NO_KEYRING)),
  })

  app.get('/v1/operator/usage', (request, reply) =>
    blockingRead(context, request, reply, 'services', () => ({ Usage: { [node.datacenter]: usage(context) } })),
  )

  app.get('/v1/operator/autopilot/configuration', () => autopilot(context))
  app.put('/v1/operator/autopilot/configuration', async (request, reply) => {
    const { ModifyIndex } = await autopilot(context)
    const cas = query(request, 'cas')
    if (cas !== undefined && Number(cas) !== ModifyIndex) return sendIndexed(reply, store.index, false)
    await store.put('meta', AUTOPILOT, readAutopilot(request))
    return sendIndexed(reply, store.index, true)
  })
  app.get('/v1/operator/autopilot/health', async () => ({
    Healthy: true,
    FailureTolerance: 0,
    Servers: [
      {
        ...serverHealth(context),
        SerfStatus: 'alive',
        Leader: true,
        Voter: true,
        LastTerm: 1,
        LastIndex: store.index,
        StableSince: startedAt,
      },
    ],
  }))
  app.get('/v1/operator/autopilot/state', async () => ({
    Healthy: true,
    FailureTolerance: 0,
    OptimisticFailureTolerance: 0,
    Leader: node.id,
    Voters: [node.id],
    Servers: {
      [node.id]: {
        ...serverHealth(context),
        NodeStatus: 'alive',
        Status: 'leader',
        NodeType: 'voter',
        Meta: {},
        LastTerm: 1,
        LastIndex: store.index,
        StableSince: startedAt,
      },
    },
  }))

  app.get('/v1/coordinate/datacenters', async () => [
    { Datacenter: node.datacenter, AreaID: 'wan', Coordinates: [{ Node: `${node.name}.${node.datacenter}`, Coord: ORIGIN }] },
  ])
  app.get('/v1/coordinate/nodes', (request, reply) =>
    blockingRead(context, request, reply, 'nodes', () => [{ Node: node.name, Segment: '', Coord: ORIGIN }]),
  )
  app.get('/v1/coordinate/node/:node', (request, reply) =>
    blockingRead(context, request, reply, 'nodes', () => {
      if (param(request, 'node').toLowerCase() !== node.name.toLowerCase()) throw new HttpError(404, '')
      return [{ Node: node.name, Segment: '', Coord: ORIGIN }]
    }),
  )
  app.put('/v1/coordinate/update', () =>
    Promise.reject(new HttpError(400, 'coordinates are not kept: there is one server, and nothing to be near to')),
  )
}

function serverHealth({ node }: ApiContext): object {
  return {
    ID: node.id,
    Name: node.name,
    Address: `${node.address}:${SERVER_RPC_PORT}`,
    Version: CONSUL_VERSION,
    LastContact: '0s',
    Healthy: true,
  }
}

async function autopilot({ store }: ApiContext): Promise<AutopilotConfiguration & { CreateIndex: number; ModifyIndex: number }> {
  const record = await store.get('meta', AUTOPILOT)
  return {
    ...DEFAULT_AUTOPILOT,
    ...(record?.value as AutopilotConfiguration | undefined),
    CreateIndex: record?.createIndex ?? 0,
    ModifyIndex: record?.modifyIndex ?? 0,
  }
}

function readAutopilot(request: FastifyRequest): AutopilotConfiguration {
  const errors: ConfigError[] = []
  const fields = new FieldReader(bodyObject(request), '', errors)
  const duration = (name: string, fallback: string): string => {
    const text = fields.string(name, fallback) || fallback
    if (parseDuration(text) === undefined) fields.fail(name, `"${text}" is no duration`)
    return text
  }
  const configuration = {
    CleanupDeadServers: fields.boolean('CleanupDeadServers'),
    LastContactThreshold: duration('LastContactThreshold', DEFAULT_AUTOPILOT.LastContactThreshold),
    MaxTrailingLogs: fields.integer('MaxTrailingLogs', 0, Number.MAX_SAFE_INTEGER, DEFAULT_AUTOPILOT.MaxTrailingLogs),
    MinQuorum: fields.integer('MinQuorum', 0, 1_000, 0),
    ServerStabilizationTime: duration('ServerStabilizationTime', DEFAULT_AUTOPILOT.ServerStabilizationTime),
    RedundancyZoneTag: fields.string('RedundancyZoneTag'),
    DisableUpgradeMigration: fields.boolean('DisableUpgradeMigration'),
    UpgradeVersionTag: fields.string('UpgradeVersionTag'),
  }
  if (errors.length > 0) throw new HttpError(400, `Error parsing autopilot config: ${joinErrors(errors)}`)
  return configuration
}

function usage({ catalog }: ApiContext): object {
  const instances = [...catalog.instances()]
  const ofKind = (kind: string): number => instances.filter(({ Kind }) => Kind === kind).length
  return {
    Nodes: catalog.nodeCount,
    Services: [...catalog.serviceNames()].length + 1,
    ServiceInstances: instances.length + 1,
    ConnectServiceInstances: {
      'connect-native': instances.filter(({ Native }) => Native).length,
      'connect-proxy': ofKind('connect-proxy'),
      'ingress-gateway': ofKind('ingress-gateway'),
      'mesh-gateway': ofKind('mesh-gateway'),
      'terminating-gateway': ofKind('terminating-gateway'),
      'api-gateway': ofKind('api-gateway'),
    },
    BillableServiceInstances: instances.length - ofKind('connect-proxy'),
  }
}

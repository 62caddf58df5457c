// `/v1/operator` and `/v1/coordinate` for the servers that share the state: all of them vote as far as clients are told (the votes are etcd's own
// matter), there are no gossip keys and no distances to others. Shapes as Consul's.
import type { FastifyInstance } from 'fastify'
import { SERVER_RPC_PORT } from '../catalog/server-instance.js'
import type { ApiContext } from './context.js'
import { blockingRead, HttpError, param, query } from './respond.js'

/** Where a node that has measured nothing stands (Vivaldi). */
const ORIGIN = { Vec: [0, 0, 0, 0, 0, 0, 0, 0], Error: 1.5, Adjustment: 0, Height: 1e-5 }
const NO_KEYRING = 'keyring: encryption is not enabled, since a single server has no gossip'

export function operatorRoutes(app: FastifyInstance, context: ApiContext): void {
  const { node, store, replicas } = context

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
  const isAlone = (): boolean => replicas.list().length === 1
  app.post('/v1/operator/raft/transfer-leader', () => {
    throw new HttpError(
      500,
      isAlone() ? 'cannot find peer: this is the only server' : 'who leads follows from leases: end that server instead',
    )
  })
  app.delete('/v1/operator/raft/peer', async request => {
    const id = query(request, 'id') ?? ''
    const peer = query(request, 'address') ?? ''
    if (id === '' && peer === '')
      throw new HttpError(400, "Must specify either ?id with the server's ID or ?address with IP:port of peer to remove")
    if (id !== '' && peer !== '') throw new HttpError(400, 'Must specify only one of ?id or ?address')
    if (replicas.list().some(replica => id === replica.id || peer === `${replica.address}:${SERVER_RPC_PORT}`))
      throw new HttpError(
        500,
        isAlone() ? 'this is the only server: it cannot be removed' : 'it serves: end it, and it leaves the list within seconds',
      )
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

// `hashicorp.consul.serverdiscovery.ServerDiscoveryService`: the servers that a client may use, first all of them, then whenever they change.
// Called by `ControlPlane` when it opens the gRPC port. A control plane with a store of its own is one server, so its stream has one answer
// and stays open; of those that share one, each tells of all, those near the caller first where it says who it is.
import { create, toBinary } from '@bufbuild/protobuf'
import { ServerSchema, WatchServersRequestSchema, WatchServersResponseSchema } from '../../xds/gen/hashicorp/serverdiscovery_pb.js'
import { distanceField } from '../../xds/server-distance.js'
import type { CatalogIndex } from '../catalog/catalog-index.js'
import { distance, type Locality } from '../catalog/locality.js'
import type { CallerAccess } from './caller-access.js'
import { placeOfCaller } from './caller-place.js'
import type { GrpcServer } from './grpc-server.js'
import { decodeOrEnd, endWith } from './unary-method.js'

export interface KnownServer {
  readonly id: string
  /** Without the port: clients know that. */
  readonly address: string
  readonly version: string
  readonly locality?: Locality
}

export interface ServerDiscoverySources {
  servers(): readonly KnownServer[]
  /** Returns the way out. */
  onServersChange(listener: () => void): () => void
  readonly access: CallerAccess
  readonly catalog: CatalogIndex
  readonly onProblem: (reason: string) => void
}

export function addServerDiscovery(
  server: GrpcServer,
  { servers, onServersChange, access, catalog, onProblem }: ServerDiscoverySources,
): void {
  server.add('/hashicorp.consul.serverdiscovery.ServerDiscoveryService/WatchServers', call => {
    let told = ''
    let end: (() => void) | undefined
    const tell = (): void => {
      const from = placeOfCaller(catalog, call)
      const list = servers()
        .map(({ locality, ...server }) => ({ server, away: from === undefined ? (0 as const) : distance(from, locality) }))
        .sort((a, b) => a.away - b.away)
      const text = JSON.stringify(list)
      if (text === told) return
      told = text
      const message = create(WatchServersResponseSchema, {
        servers: list.map(({ server, away }) => Object.assign(create(ServerSchema, server), distanceField(away))),
      })
      call.send(toBinary(WatchServersResponseSchema, message))
    }
    call.events = {
      onMessage(message) {
        if (decodeOrEnd(call, WatchServersRequestSchema, message) === undefined) return
        try {
          access.known(call)
          tell()
          end ??= onServersChange(tell)
        } catch (error) {
          endWith(call, error, onProblem)
        }
      },
      onHalfClose() {},
      onClosed() {
        end?.()
      },
    }
  })
}

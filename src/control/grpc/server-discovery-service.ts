// `hashicorp.consul.serverdiscovery.ServerDiscoveryService`: the servers that a client may use, first all of them, then whenever they change.
// Called by `ControlPlane` when it opens the gRPC port. A control plane with the embedded store is one server, so its stream has one answer
// and stays open.
import { create, toBinary } from '@bufbuild/protobuf'
import { WatchServersRequestSchema, WatchServersResponseSchema } from '../../xds/gen/hashicorp/serverdiscovery_pb.js'
import type { CallerAccess } from './caller-access.js'
import type { GrpcServer } from './grpc-server.js'
import { decodeOrEnd, endWith } from './unary-method.js'

export interface KnownServer {
  readonly id: string
  /** Without the port: clients know that. */
  readonly address: string
  readonly version: string
}

export interface ServerDiscoverySources {
  servers(): readonly KnownServer[]
  readonly access: CallerAccess
  readonly onProblem: (reason: string) => void
}

export function addServerDiscovery(server: GrpcServer, { servers, access, onProblem }: ServerDiscoverySources): void {
  server.add('/hashicorp.consul.serverdiscovery.ServerDiscoveryService/WatchServers', call => {
    call.events = {
      onMessage(message) {
        if (decodeOrEnd(call, WatchServersRequestSchema, message) === undefined) return
        try {
          access.known(call)
          call.send(toBinary(WatchServersResponseSchema, create(WatchServersResponseSchema, { servers: [...servers()] })))
        } catch (error) {
          endWith(call, error, onProblem)
        }
      },
      onHalfClose() {},
      onClosed() {},
    }
  })
}

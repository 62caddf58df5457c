// `hashicorp.consul.serverdiscovery.ServerDiscoveryService`: the servers that a client may use, first all of them, then whenever they change.
// Called by `ControlPlane` when it opens the gRPC port. A control plane with a store of its own is one server, so its stream has one answer
// and stays open; of those that share one, each tells of all.
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
  /** Returns the way out. */
  onServersChange(listener: () => void): () => void
  readonly access: CallerAccess
  readonly onProblem: (reason: string) => void
}

export function addServerDiscovery(server: GrpcServer, { servers, onServersChange, access, onProblem }: ServerDiscoverySources): void {
  server.add('/hashicorp.consul.serverdiscovery.ServerDiscoveryService/WatchServers', call => {
    let told = ''
    let end: (() => void) | undefined
    const tell = (): void => {
      const list = [...servers()]
      const text = JSON.stringify(list)
      if (text === told) return
      told = text
      call.send(toBinary(WatchServersResponseSchema, create(WatchServersResponseSchema, { servers: list })))
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

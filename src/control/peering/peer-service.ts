// The side of a peering that is dialled, on the control plane's gRPC port: the exchange of a token's secret, and the streams. Called by
// `ControlPlane` when it opens the port; what is said is between `Peerings` and the peer.
// Invariant: who comes has no token of ours: it is known by the peering's ID and secret alone.
import type { GrpcCall } from '../grpc/grpc-call.js'
import type { GrpcServer } from '../grpc/grpc-server.js'
import { GrpcStatus } from '../grpc/grpc-status.js'
import { endWith, GrpcError } from '../grpc/unary-method.js'
import { EXCHANGE_METHOD, MAX_MESSAGE_BYTES, MAX_OPENING_BYTES, readExchangeRequest, readOpening, STREAM_METHOD } from './peer-messages.js'
import type { PeerSession } from './peer-session.js'
import { type Peerings, RefusedPeer } from './peerings.js'

export function addPeerStreams(server: GrpcServer, peerings: Peerings, onProblem: (reason: string) => void): void {
  server.add(EXCHANGE_METHOD, call => {
    call.events = {
      onMessage: message =>
        void answer(call, async () => {
          const request = understood(() => readExchangeRequest(parse(message, MAX_OPENING_BYTES)))
          send(call, await peerings.exchange(request))
          call.end(GrpcStatus.OK)
        }),
      onHalfClose() {},
      onClosed() {},
    }
  })

  server.add(STREAM_METHOD, call => {
    let session: PeerSession | undefined
    call.events = {
      onMessage: message =>
        void answer(call, async () => {
          const json = understood(() => parse(message, session === undefined ? MAX_OPENING_BYTES : MAX_MESSAGE_BYTES))
          if (session !== undefined) return session.receive(json, message.length)
          const opening = understood(() => readOpening(json))
          session = peerings.accept(opening, {
            send: said => send(call, said),
            end: reason => call.end(reason === '' ? GrpcStatus.OK : GrpcStatus.ABORTED, reason),
          })
          call.allow(server.known)
        }),
      onHalfClose: () => call.end(GrpcStatus.OK),
      onClosed: () => session && peerings.left(session),
    }
  })

  async function answer(call: GrpcCall, serve: () => Promise<void>): Promise<void> {
    try {
      await serve()
    } catch (error) {
      endWith(call, error instanceof RefusedPeer ? new GrpcError(error.status, error.message) : error, onProblem)
    }
  }
}

function send(call: GrpcCall, message: object): void {
  call.send(Buffer.from(JSON.stringify(message)))
}

function parse(message: Buffer, maxBytes: number): unknown {
  if (message.length > maxBytes) throw new Error(`a message of ${message.length} bytes, the limit is ${maxBytes}`)
  return JSON.parse(message.toString('utf8'))
}

function understood<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw new GrpcError(GrpcStatus.INVALID_ARGUMENT, (error as Error).message)
  }
}

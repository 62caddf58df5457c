// A method with one request and one answer, from a function over decoded messages. Used by the services of this folder: what it throws as a
// `GrpcError` is the call's status, an `AclError` becomes the status that Consul gives it, anything else is INTERNAL and reported.
import { create, type DescMessage, fromBinary, type MessageInitShape, type MessageShape, toBinary } from '@bufbuild/protobuf'
import { AclError } from '../acl/acl-error.js'
import type { GrpcCall } from './grpc-call.js'
import type { GrpcMethod } from './grpc-server.js'
import { GrpcStatus } from './grpc-status.js'

export class GrpcError extends Error {
  constructor(
    readonly status: GrpcStatus,
    message: string,
  ) {
    super(message)
  }
}

/** The first message of the call, decoded; ends the call when it can't be. */
export function decodeOrEnd<Q extends DescMessage>(call: GrpcCall, schema: Q, message: Uint8Array): MessageShape<Q> | undefined {
  try {
    return fromBinary(schema, message)
  } catch {
    call.end(GrpcStatus.INVALID_ARGUMENT, `the message is no ${schema.typeName}`)
    return undefined
  }
}

/** Ends the call with the status that an error of ours stands for. */
export function endWith(call: GrpcCall, error: unknown, onProblem: (reason: string) => void): void {
  if (error instanceof GrpcError) call.end(error.status, error.message)
  else if (error instanceof AclError) call.end(statusOf(error), error.message)
  else {
    onProblem(`${call.path}: ${(error as Error).message}`)
    call.end(GrpcStatus.INTERNAL, 'internal error')
  }
}

export function unary<Q extends DescMessage, A extends DescMessage>(
  request: Q,
  answer: A,
  onProblem: (reason: string) => void,
  serve: (message: MessageShape<Q>, call: GrpcCall) => MessageInitShape<A> | Promise<MessageInitShape<A>>,
): GrpcMethod {
  return call => {
    let asked = false
    const run = async (message: Buffer): Promise<void> => {
      const decoded = decodeOrEnd(call, request, message)
      if (decoded === undefined) return
      try {
        call.send(toBinary(answer, create(answer, await serve(decoded, call))))
        call.end(GrpcStatus.OK)
      } catch (error) {
        endWith(call, error, onProblem)
      }
    }
    call.events = {
      onMessage(message) {
        if (asked) return call.end(GrpcStatus.INVALID_ARGUMENT, 'more than one message')
        asked = true
        void run(message)
      },
      onHalfClose() {
        if (!asked) call.end(GrpcStatus.INVALID_ARGUMENT, 'no message')
      },
      onClosed() {},
    }
  }
}

function statusOf({ statusCode, message }: AclError): GrpcStatus {
  if (message.startsWith('ACL not found')) return GrpcStatus.UNAUTHENTICATED
  switch (statusCode) {
    case 400:
      return GrpcStatus.INVALID_ARGUMENT
    case 401:
      return GrpcStatus.FAILED_PRECONDITION
    case 403:
      return GrpcStatus.PERMISSION_DENIED
    case 404:
      return GrpcStatus.NOT_FOUND
    case 429:
      return GrpcStatus.RESOURCE_EXHAUSTED
    case 500:
      return GrpcStatus.INTERNAL
  }
}

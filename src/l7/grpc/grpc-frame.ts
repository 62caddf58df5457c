// Messages of unary gRPC calls in their frames: one byte of flags, four of length, the message (gRPC over HTTP/2, "Length-Prefixed-Message").
// Used by the calls of the proxy itself (async-client, health checks). A message that is compressed or not alone is refused.

export const GRPC_FRAME_HEADER_BYTES = 5

export function grpcFrame(message: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(GRPC_FRAME_HEADER_BYTES + message.length)
  frame[0] = 0
  frame.writeUInt32BE(message.length, 1)
  message.copy(frame, GRPC_FRAME_HEADER_BYTES)
  return frame
}

/** The one message of a body; null where there is none, another one, or one that is compressed. */
export function grpcMessageOf(body: Buffer): Buffer | null {
  if (body.length < GRPC_FRAME_HEADER_BYTES || body[0] !== 0) return null
  return body.readUInt32BE(1) === body.length - GRPC_FRAME_HEADER_BYTES ? body.subarray(GRPC_FRAME_HEADER_BYTES) : null
}

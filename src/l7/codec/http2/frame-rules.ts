// What the nine octets of a frame header alone can get wrong (RFC 9113 §6): stream 0 or not, and fixed lengths. Called by connection.ts
// before a frame's payload is read or kept.

import { ErrorCode, FrameType } from './frames.js'

/** A connection error, or null. */
export interface FrameProblem {
  readonly code: number
  readonly reason: string
}

const ON_STREAM_ZERO: FrameProblem = { code: ErrorCode.PROTOCOL_ERROR, reason: 'a stream frame on stream 0' }
const ON_A_STREAM: FrameProblem = { code: ErrorCode.PROTOCOL_ERROR, reason: 'a connection frame on a stream' }
const WRONG_LENGTH: FrameProblem = { code: ErrorCode.FRAME_SIZE_ERROR, reason: 'a frame of fixed length has another' }

/** HOT: every frame in. PRIORITY's length is left to connection.ts: it costs the stream only. */
export function frameProblem(type: number, length: number, streamId: number): FrameProblem | null {
  switch (type) {
    case FrameType.DATA:
    case FrameType.HEADERS:
    case FrameType.PRIORITY:
    case FrameType.CONTINUATION:
      return streamId === 0 ? ON_STREAM_ZERO : null
    case FrameType.RST_STREAM:
      return streamId === 0 ? ON_STREAM_ZERO : length !== 4 ? WRONG_LENGTH : null
    case FrameType.WINDOW_UPDATE:
      return length !== 4 ? WRONG_LENGTH : null
    case FrameType.SETTINGS:
      return streamId !== 0 ? ON_A_STREAM : length % 6 !== 0 ? WRONG_LENGTH : null
    case FrameType.PING:
      return streamId !== 0 ? ON_A_STREAM : length !== 8 ? WRONG_LENGTH : null
    case FrameType.GOAWAY:
      return streamId !== 0 ? ON_A_STREAM : length < 8 ? WRONG_LENGTH : null
    default:
      return null
  }
}

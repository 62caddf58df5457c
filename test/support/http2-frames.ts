// Hand-made HTTP/2 for tests: frames by bytes, header blocks of plain literals (so that anything illegal can be said too), and probes
// that put a codec between such bytes and a record of what it did.

import type {
  BodyEvents,
  ClientEvents,
  ClientStream,
  CodecError,
  RequestHead,
  ResponseHead,
  ServerStream,
} from '../../src/l7/codec/codec.js'
import { HeaderList } from '../../src/l7/codec/header-list.js'
import { Http2ClientCodec, type Http2ClientStream } from '../../src/l7/codec/http2/client-codec.js'
import { ErrorCode, Flag, FrameType, PREFACE } from '../../src/l7/codec/http2/frames.js'
import { HpackDecoder } from '../../src/l7/codec/http2/hpack-decoder.js'
import { HUFFMAN_CODES, HUFFMAN_LENGTHS } from '../../src/l7/codec/http2/huffman.js'
import { Http2ServerCodec, type Http2ServerStream } from '../../src/l7/codec/http2/server-codec.js'
import { http2Options, MemoryTransport } from './http2-pair.js'

export type Fields = readonly (readonly [string, string])[]

/** Every stream of these codecs is HTTP/2's, which has an id. */
export const http2StreamId = (stream: ClientStream | ServerStream) => (stream as Http2ClientStream | Http2ServerStream).id

export function frame(type: number, flags: number, streamId: number, payload: Buffer | string = ''): Buffer {
  const body = typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload
  const header = Buffer.alloc(9)
  header.writeUIntBE(body.length, 0, 3)
  header[3] = type
  header[4] = flags
  header.writeUInt32BE(streamId, 5)
  return Buffer.concat([header, body])
}

/** Prefixed integer (RFC 7541 §5.1). */
export function integer(prefix: number, mask: number, value: number): Buffer {
  if (value < mask) return Buffer.from([prefix | value])
  const bytes = [prefix | mask]
  let rest = value - mask
  while (rest >= 128) {
    bytes.push((rest % 128) | 128)
    rest = Math.floor(rest / 128)
  }
  bytes.push(rest)
  return Buffer.from(bytes)
}

export function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1')
  return Buffer.concat([integer(0, 0x7f, bytes.length), bytes])
}

/** A string literal in Huffman code. */
export function huffmanText(value: string): Buffer {
  let bits = ''
  for (const byte of Buffer.from(value, 'latin1')) bits += HUFFMAN_CODES[byte]!.toString(2).padStart(HUFFMAN_LENGTHS[byte]!, '0')
  while (bits.length % 8 !== 0) bits += '1'
  const bytes = Buffer.alloc(bits.length / 8)
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(bits.slice(i * 8, i * 8 + 8), 2)
  return Buffer.concat([integer(0x80, 0x7f, bytes.length), bytes])
}

/** Literals without indexing and with literal names. */
export function block(fields: Fields): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]))
}

export function headers(streamId: number, fields: Fields | Buffer, flags: number = Flag.END_HEADERS): Buffer {
  return frame(FrameType.HEADERS, flags, streamId, Buffer.isBuffer(fields) ? fields : block(fields))
}

export function data(streamId: number, payload: Buffer | string, flags = 0): Buffer {
  return frame(FrameType.DATA, flags, streamId, payload)
}

export function uint32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4)
  for (let i = 0; i < values.length; i++) bytes.writeUInt32BE(values[i]! >>> 0, i * 4)
  return bytes
}

export function settings(...pairs: readonly (readonly [number, number])[]): Buffer {
  return frame(
    FrameType.SETTINGS,
    0,
    0,
    Buffer.concat(pairs.map(([id, value]) => Buffer.concat([Buffer.from([id >> 8, id & 255]), uint32(value)]))),
  )
}

export const SETTINGS_ACK = frame(FrameType.SETTINGS, Flag.ACK, 0)
export const windowUpdate = (streamId: number, increment: number): Buffer => frame(FrameType.WINDOW_UPDATE, 0, streamId, uint32(increment))
export const rstStream = (streamId: number, code: number = ErrorCode.CANCEL): Buffer =>
  frame(FrameType.RST_STREAM, 0, streamId, uint32(code))
export const ping = (payload = '12345678', flags = 0): Buffer => frame(FrameType.PING, flags, 0, payload)
export const goaway = (lastId: number, code: number = ErrorCode.NO_ERROR): Buffer => frame(FrameType.GOAWAY, 0, 0, uint32(lastId, code))

/** The head of a request for a path. */
export const requestFields = (path: string, method = 'GET'): Fields => [
  [':method', method],
  [':scheme', 'http'],
  [':authority', 'a.example'],
  [':path', path],
]
export const GET = requestFields('/')
export const POST = requestFields('/', 'POST')
export const END = Flag.END_STREAM | Flag.END_HEADERS

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly streamId: number
  readonly payload: Buffer
}

export function parseFrames(bytes: Buffer): Frame[] {
  const frames: Frame[] = []
  let at = 0
  while (at < bytes.length) {
    const length = bytes.readUIntBE(at, 3)
    if (at + 9 + length > bytes.length) throw new Error('a frame is cut off')
    frames.push({
      type: bytes[at + 3]!,
      flags: bytes[at + 4]!,
      streamId: bytes.readUInt32BE(at + 5),
      payload: bytes.subarray(at + 9, at + 9 + length),
    })
    at += 9 + length
  }
  return frames
}

const TYPE_NAMES = Object.entries(FrameType)
const CODE_NAMES = Object.entries(ErrorCode)

export function codeName(code: number): string {
  return CODE_NAMES.find(entry => entry[1] === code)?.[0] ?? String(code)
}

/** Frames as short lines, e.g. `RST_STREAM 1 CANCEL`, `DATA 1 5 END`, `HEADERS 1 :status=200 END`. */
export function describeFrames(frames: readonly Frame[], decoder: HpackDecoder): string[] {
  return frames.map(one => {
    const name = TYPE_NAMES.find(entry => entry[1] === one.type)?.[0] ?? `type ${one.type}`
    const end = (one.flags & Flag.END_STREAM) !== 0 ? ' END' : ''
    switch (one.type) {
      case FrameType.DATA:
        return `DATA ${one.streamId} ${one.payload.length}${end}`
      case FrameType.HEADERS: {
        if (!decoder.decode(one.payload, 0, one.payload.length)) throw new Error('our own header block does not decode')
        const decoded = decoder.block
        const fields = decoded.names.slice(0, decoded.count).map((field, i) => `${field.name}=${decoded.values[i]}`)
        return `HEADERS ${one.streamId} ${fields.join(' ')}${end}`
      }
      case FrameType.RST_STREAM:
        return `RST_STREAM ${one.streamId} ${codeName(one.payload.readUInt32BE(0))}`
      case FrameType.GOAWAY:
        return `GOAWAY ${one.payload.readUInt32BE(0)} ${codeName(one.payload.readUInt32BE(4))}`
      case FrameType.WINDOW_UPDATE:
        return `WINDOW_UPDATE ${one.streamId} ${one.payload.readUInt32BE(0)}`
      case FrameType.SETTINGS:
      case FrameType.PING:
        return `${name}${(one.flags & Flag.ACK) !== 0 ? ' ACK' : ''}`
      default:
        return `${name} ${one.streamId} ${one.payload.length}`
    }
  })
}

/** Records body events as lines: `data 1 hello`, `data 1 x END`, `trailers 1 a=b`, `reset 1 remote-reset CANCEL`, `drain 1`. */
export function recordBody(log: string[], id: () => number): BodyEvents {
  return {
    onData(chunk, end) {
      log.push(`data ${id()} ${chunk.toString('latin1')}${end ? ' END' : ''}`)
    },
    onTrailers(trailers) {
      log.push(`trailers ${id()} ${describeHeaders(trailers)}`)
    },
    onReset(reset) {
      log.push(`reset ${id()} ${reset.code}${reset.h2Code === undefined ? '' : ` ${codeName(reset.h2Code)}`}`)
    },
    onDrain() {
      log.push(`drain ${id()}`)
    },
  }
}

export function describeHeaders(list: HeaderList): string {
  return list.lower.map((name, i) => `${name}=${list.values[i]}`).join(' ')
}

/** A server codec that was given the client's preface and SETTINGS, and a record of its events and frames. */
export class ServerProbe {
  readonly transport = new MemoryTransport()
  readonly log: string[] = []
  readonly heads: RequestHead[] = []
  readonly streams = new Map<number, ServerStream>()
  readonly errors: CodecError[] = []
  /** Details of heads that got no answer. */
  readonly refused: string[] = []
  readonly options
  readonly codec: Http2ServerCodec
  readonly decoder = new HpackDecoder(1000, 1 << 20)
  /** Called at the end of onRequest. */
  onStream: (stream: ServerStream, head: RequestHead, end: boolean) => void = () => {}

  constructor(options: Partial<ReturnType<typeof http2Options>> & { preface?: boolean } = {}) {
    this.options = { ...http2Options(), ...options }
    this.codec = new Http2ServerCodec(
      this.transport,
      {
        onRequest: (stream, head, end) => {
          this.log.push(`request ${http2StreamId(stream)} ${head.method} ${head.path}${end ? ' END' : ''}`)
          this.heads.push(head)
          this.streams.set(http2StreamId(stream), stream)
          stream.events = recordBody(this.log, () => http2StreamId(stream))
          this.onStream(stream, head, end)
        },
        onBadRequest: (stream, error) => {
          this.log.push(`bad ${http2StreamId(stream)} ${error.status} ${error.details}`)
          this.errors.push(error)
          this.streams.set(http2StreamId(stream), stream)
          stream.sendHead(response(error.status), true)
        },
        onRefusedHead: error => void this.refused.push(error.details),
        onIdle: () => this.log.push('idle'),
        onHeadPending: pending => this.log.push(`head-pending ${pending}`),
        onConnectionError: error => {
          this.errors.push(error)
          this.log.push(`connection-error ${error.stat === '' ? error.details : error.stat}`)
        },
      },
      this.options,
    )
    if (options.preface === false) return
    this.feed(PREFACE, settings(), SETTINGS_ACK)
    this.frames()
  }

  feed(...parts: Buffer[]): this {
    this.codec.feed(Buffer.concat(parts))
    return this
  }

  /** What the codec wrote since the last call. */
  frames(): string[] {
    this.codec.flush()
    return describeFrames(parseFrames(this.transport.take()), this.decoder)
  }

  /** The events since the last call, without idle and head-pending. */
  events(): string[] {
    return this.log.splice(0).filter(line => line !== 'idle' && !line.startsWith('head-pending'))
  }
}

export function response(status: number, fields: Fields = []): ResponseHead {
  return { status, reason: '', version: 'HTTP/2', headers: HeaderList.of(...fields), contentLength: -1, upgraded: false }
}

export function request(method = 'GET', path = '/', fields: Fields = []): RequestHead {
  return {
    method,
    scheme: 'http',
    authority: 'a.example',
    path,
    version: 'HTTP/2',
    headers: HeaderList.of(...fields),
    upgrade: '',
    contentLength: -1,
    hostName: 'host',
    expectContinue: false,
  }
}

/** A client codec that was given the server's SETTINGS (null: not yet), and a record of its events and frames. */
export class ClientProbe {
  readonly transport = new MemoryTransport()
  readonly log: string[] = []
  readonly heads: ResponseHead[] = []
  readonly options
  readonly codec: Http2ClientCodec
  readonly decoder = new HpackDecoder(1000, 1 << 20)

  constructor(options: Partial<ReturnType<typeof http2Options>> & { settings?: Buffer | null } = {}) {
    this.options = { ...http2Options(), ...options }
    this.codec = new Http2ClientCodec(
      this.transport,
      {
        onStreamFree: () => this.log.push('free'),
        onStreamLimit: () => this.log.push('limit'),
        onDraining: () => this.log.push('draining'),
        onConnectionError: error => this.log.push(`connection-error ${error.stat === '' ? error.details : error.stat}`),
      },
      this.options,
    )
    this.codec.flush()
    const first = this.transport.take()
    if (!first.subarray(0, PREFACE.length).equals(PREFACE)) throw new Error('no preface')
    if (options.settings !== null) this.feed(options.settings ?? settings(), SETTINGS_ACK)
    this.frames()
    this.log.length = 0
  }

  open(): ClientStream | null {
    let id = 0
    const body = recordBody(this.log, () => (stream && http2StreamId(stream)) || id)
    const events: ClientEvents = {
      ...body,
      onInformational: head => {
        this.log.push(`informational ${http2StreamId(stream!)} ${head.status}`)
      },
      onHead: (head, end) => {
        id = http2StreamId(stream!)
        this.heads.push(head)
        const fields = head.headers.length === 0 ? '' : ` ${describeHeaders(head.headers)}`
        this.log.push(`head ${http2StreamId(stream!)} ${head.status}${fields}${end ? ' END' : ''}`)
      },
    }
    const stream = this.codec.newStream(events)
    return stream
  }

  send(head: RequestHead = request(), end = true): ClientStream {
    const stream = this.open()!
    stream.sendHead(head, end)
    return stream
  }

  feed(...parts: Buffer[]): this {
    this.codec.feed(Buffer.concat(parts))
    return this
  }

  frames(): string[] {
    this.codec.flush()
    return describeFrames(parseFrames(this.transport.take()), this.decoder)
  }

  events(): string[] {
    return this.log.splice(0).filter(line => line !== 'free')
  }
}

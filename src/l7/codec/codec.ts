// The contract between the codecs (http1, http2) and the request path: bytes to events and back. A codec knows no routing and
// no policy, and talks to its socket only through Transport, so that it can be tested without one.
//
//   socket ──data──▶ codec.feed() ──▶ StreamEvents (request or response events of one stream)
//   socket ◀─write── Transport    ◀── ServerStream / ClientStream methods
//
// Flow control: `stream.pause()` stops body events of that stream (HTTP/1 pauses the socket, HTTP/2 withholds window);
// `sendData` returns false when the peer is slow, then `onDrain` is called once. All calls and events are synchronous and
// re-entrancy safe: a stream may be reset or finished from inside any of its events.

import type { HeaderList } from './header-list.js'

export type HttpVersion = 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2'

/** A parsed request head. `path` is the origin-form target with its query, `*` for OPTIONS *, '' for CONNECT without one. */
export interface RequestHead {
  method: string
  /** `http` or `https`; '' when the message did not say (HTTP/1 origin form). */
  scheme: string
  /** Host header or :authority; the `host` field itself is not in `headers`. */
  authority: string
  path: string
  version: HttpVersion
  /** Without host, pseudo-headers and connection-specific fields (those went into the fields below). */
  headers: HeaderList
  /** HTTP/1 Upgrade token(s), or HTTP/2 :protocol (RFC 8441), lower case; '' when none. */
  upgrade: string
  /** Declared body length; -1 unknown (chunked or HTTP/2 without content-length); 0 none. */
  contentLength: number
  /** The header field name under which the authority came, so HTTP/1 keeps its case. */
  hostName: string
  /** `Expect: 100-continue` was sent (the field is also still in `headers`). */
  expectContinue: boolean
}

/** An upgrade or CONNECT: its request does not end before it is answered. */
export function asksForTunnel({ upgrade, method }: Pick<RequestHead, 'upgrade' | 'method'>): boolean {
  return upgrade !== '' || method === 'CONNECT'
}

export interface ResponseHead {
  status: number
  /** HTTP/1 reason phrase; '' = the standard one. */
  reason: string
  version: HttpVersion
  /** Without connection-specific fields and without transfer-encoding; content-length stays. */
  headers: HeaderList
  /** -1 unknown. */
  contentLength: number
  /** The 101 or extended-CONNECT 2xx that turns the stream into a tunnel. */
  upgraded: boolean
}

/** Why a stream ended early. `details` is an Envoy response_code_details token or our own in its style. */
export interface StreamReset {
  readonly code:
    | 'connection-closed' // the peer's transport ended or failed
    | 'remote-reset' // RST_STREAM, or HTTP/1 close inside a message
    | 'refused' // REFUSED_STREAM or above GOAWAY's last id: never processed, safe to send again
    | 'protocol-error' // the peer broke the protocol
    | 'overflow' // one of our limits
    | 'idle-timeout'
    | 'local' // we did it
  readonly details: string
  /** HTTP/2 error code when there is one. */
  readonly h2Code?: number
}

/** Body, trailers and the end of one direction. */
export interface BodyEvents {
  /** `chunk` is only valid during the call unless copied. `end`: the message ends with it (chunk may be empty). */
  onData(chunk: Buffer, end: boolean): void
  /** Ends the message. */
  onTrailers(trailers: HeaderList): void
  /** The stream is gone; no further event. */
  onReset(reset: StreamReset): void
  /** The peer can take more after a `sendData` that returned false. */
  onDrain(): void
}

interface StreamBase {
  /** Body events stop until resume(). Idempotent. */
  pause(): void
  resume(): void
  /** False: wait for onDrain before sending more. Empty chunks allowed with `end`. The bytes may be kept until flushed. */
  sendData(chunk: Buffer, end: boolean): boolean
  sendTrailers(trailers: HeaderList): void
  /** Abort both directions. On HTTP/1 this closes the connection. Events stop at once (no onReset is delivered for own resets). */
  reset(code: ResetCode): void
  /** Bytes accepted by sendData and not yet handed to the transport. */
  readonly bufferedBytes: number
}

export type ResetCode = 'cancel' | 'internal-error' | 'refused' | 'protocol-error' | 'no-error' | 'enhance-your-calm' | 'connect-error'

/** One exchange on a downstream connection: we read the request and write the response. */
export interface ServerStream extends StreamBase {
  readonly version: HttpVersion
  /** 100, 103 … never 101. */
  sendInformational(head: ResponseHead): void
  /** The final head (or 101/extended-CONNECT 2xx with head.upgraded). `end`: no body and no trailers follow. */
  sendHead(head: ResponseHead, end: boolean): void
  /** The local end wants the connection closed after this exchange (HTTP/1 Connection: close, HTTP/2 GOAWAY). Before sendHead. */
  closeAfter(): void
  /** Whoever gets the events of the request; set once by ServerHandler.onRequest. */
  events: BodyEvents
}

/** One exchange on an upstream connection: we write the request and read the response. */
export interface ClientStream extends StreamBase {
  /** Called once, first. `end`: no body and no trailers follow. */
  sendHead(head: RequestHead, end: boolean): void
}

export interface ClientEvents extends BodyEvents {
  /** 1xx other than 101. */
  onInformational(head: ResponseHead): void
  onHead(head: ResponseHead, end: boolean): void
}

/** What a server codec tells its connection's owner. */
export interface ServerHandler {
  /** A request head is complete and valid. Set stream.events before returning. `end`: no body follows. */
  onRequest(stream: ServerStream, head: RequestHead, end: boolean): void
  /** The request cannot be parsed or breaks a limit; answer locally (HTTP/1: the codec closes after it). No stream.events needed. */
  onBadRequest(stream: ServerStream, error: CodecError, partial: RequestHead | null): void
  /** HTTP/2: the head is malformed, and its stream was reset; there is nothing to answer. */
  onRefusedHead(error: CodecError): void
  /** Nothing is in flight any more (called on each transition to idle) — for idle timers and drain. */
  onIdle(): void
  /** First byte of a new message after idle (headers timeout starts); `false` after the head is complete. */
  onHeadPending(pending: boolean): void
  /** The codec has broken the connection (after sending GOAWAY or a final response where it could). */
  onConnectionError(error: CodecError): void
}

/** What a client codec tells the pool. */
export interface ClientHandler {
  /** A stream finished and the connection may take another (HTTP/1: reusable; HTTP/2: below the stream limit). */
  onStreamFree(): void
  /** The peer has said how many streams it takes, or changed it (HTTP/2 SETTINGS). */
  onStreamLimit(): void
  /** GOAWAY, Connection: close, or max requests: no new streams; the connection closes when its streams end. */
  onDraining(): void
  /** Broken or closed by the codec. Streams have got their onReset before. */
  onConnectionError(error: CodecError): void
}

/** A protocol violation or a limit that was passed. */
export interface CodecError {
  /** 400, 408, 413, 431, 501, 505, 502: what a server answers; 0 when no answer can be sent. */
  readonly status: number
  /** Envoy's response_code_details where it has one (e.g. `http1.codec_error`), else ours in the same style. */
  readonly details: string
  /** One line for the log and the body: names the limit or the field. */
  readonly message: string
  /** Name of the counter to add to, in Envoy's stat names (e.g. `http2.inbound_empty_frames_flood`); '' none. */
  readonly stat: string
}

/** The socket as a codec sees it. Writes are latin1 for strings. */
export interface Transport {
  /** False: above the high watermark; the owner calls codec.onTransportDrain() later. */
  write(data: Buffer | string): boolean
  /** FIN after what was written. `half`: the peer goes on sending (a tunnel); otherwise it is given a bounded time to close too. */
  end(half?: 'half'): void
  destroy(): void
  pauseRead(): void
  resumeRead(): void
  /** Bytes written and not yet taken by the kernel. */
  readonly writableLength: number
}

/** Either side's codec, as its connection drives it. */
export interface Codec {
  /** Bytes from the peer; the codec may keep slices only of incomplete messages. */
  feed(chunk: Buffer): void
  /** The peer sent FIN. */
  onTransportEnd(): void
  /** The socket is gone: every stream gets onReset. */
  onTransportClose(reason: StreamReset): void
  onTransportDrain(): void
  /** Hand pending output to the transport now. */
  flush(): void
  /** Graceful end: HTTP/1 answers what is in flight with Connection: close; HTTP/2 sends GOAWAY (two-phase). */
  drain(): void
  readonly activeStreams: number
}

export interface ClientCodec extends Codec {
  /** Null when no stream can be opened now. */
  newStream(events: ClientEvents): ClientStream | null
  /** How many streams may be open at once (HTTP/1: 1). */
  readonly maxStreams: number
  /** `maxStreams` is the peer's word; false: an assumption until its SETTINGS come. */
  readonly limitKnown: boolean
  /** False after GOAWAY / Connection: close / error. */
  readonly usable: boolean
  /** The connection has ended before an answer was complete. */
  readonly cutShort: boolean
  /** The peer has said that it closes the connection: GOAWAY, or Connection: close. */
  readonly peerCloses: boolean
}

/** Limits of both codecs, compiled from the connection manager's or the cluster's options. */
export interface HeadLimits {
  /** max_request_headers_kb (60) × 1024, or max_response_headers_kb. */
  readonly maxHeadBytes: number
  /** max_headers_count, default 100. */
  readonly maxHeaders: number
  readonly underscores: 'ALLOW' | 'REJECT_REQUEST' | 'DROP_HEADER'
}

// Where a client keeps the endpoint that its session is at, by the ways of Envoy's stateful_session: a cookie, a header, or an envelope
// around a session header of the upstream's. Made once per config by stateful-session.ts. What a client sends is only a wish: the cluster
// looks it up among its own endpoints.

import type { CookieAttributes, SessionState } from '../../../model/stateful-session.js'
import { toByteString } from '../../codec/byte-string.js'
import type { RequestHead, ResponseHead } from '../../codec/codec.js'
import { ProtobufReader, ProtobufWriter } from '../../grpc/protobuf-writer.js'
import { cookieAttributes, cookieValue } from '../../match/cookie.js'

export interface SessionStore {
  /** The endpoint that the request asks for, '' for none; null: it has no part in sessions. What upstream must not see is taken out. */
  read(head: RequestHead): string | null
  /** `wanted` is what read() gave, `host` the endpoint that was asked last. */
  write(head: ResponseHead, wanted: string, host: string): void
}

/** `wallClock`: milliseconds since the epoch. */
export function sessionStore(state: SessionState, wallClock: () => number): SessionStore {
  switch (state.kind) {
    case 'cookie':
      return new CookieStore(state.name, state, wallClock)
    case 'header':
      return new HeaderStore(state.name)
    case 'envelope':
      return new EnvelopeStore(state.name)
  }
}

/** Fields of the message in the cookie. The end is in seconds since the epoch. */
const ADDRESS = 1
const EXPIRES = 2

class CookieStore implements SessionStore {
  private readonly name: string
  private readonly path: string
  private readonly ttlSeconds: number
  private readonly attributes: string
  private readonly wallClock: () => number

  constructor(name: string, cookie: CookieAttributes, wallClock: () => number) {
    this.name = toByteString(name)
    this.path = toByteString(cookie.path)
    this.ttlSeconds = cookie.ttlSeconds ?? 0
    this.attributes = cookieAttributes(cookie)
    this.wallClock = wallClock
  }

  read(head: RequestHead): string | null {
    if (!this.concerns(head.path)) return null
    const bytes = decodeBase64(cookieValue(head.headers, this.name) ?? '')
    return bytes === null ? '' : this.addressIn(bytes)
  }

  write(head: ResponseHead, wanted: string, host: string): void {
    if (host === wanted) return
    const message = new ProtobufWriter().latin1(ADDRESS, host)
    if (this.ttlSeconds > 0) message.uint(EXPIRES, this.now() + this.ttlSeconds)
    head.headers.append('set-cookie', `${this.name}="${message.finish().toString('base64')}"${this.attributes}`)
  }

  /** By the path of RFC 6265 §5.1.4, which ends at a query too. */
  private concerns(path: string): boolean {
    const own = this.path
    if (own === '' || own === '/') return true
    if (!path.startsWith(own)) return false
    return own.endsWith('/') || path.length === own.length || '/?#'.includes(path[own.length]!)
  }

  /** A message, or, as older Envoys wrote it, the address alone. */
  private addressIn(bytes: Buffer): string {
    const reader = new ProtobufReader(bytes)
    let address = ''
    let expires = 0
    for (let field = reader.next(); field !== 0; field = reader.next()) {
      if (field === ADDRESS && reader.wireType === 2) address = reader.byteString()
      else if (field === EXPIRES && reader.wireType === 0) expires = reader.value
    }
    if (reader.failed) return bytes.toString('latin1')
    return expires !== 0 && this.now() > expires ? '' : address
  }

  private now(): number {
    return Math.floor(this.wallClock() / 1000)
  }
}

class HeaderStore implements SessionStore {
  private readonly name: string

  constructor(name: string) {
    this.name = name
  }

  read({ headers }: RequestHead): string {
    return decodeBase64(headers.get(this.name) ?? '')?.toString('latin1') ?? ''
  }

  write({ headers }: ResponseHead, wanted: string, host: string): void {
    if (host !== wanted) headers.set(this.name, Buffer.from(host, 'latin1').toString('base64'))
  }
}

/** What stands before the upstream's own value, behind the endpoint. */
const UPSTREAM_VALUE = 'UV:'

/** `<endpoint>;UV:<value>`, both in base64. */
class EnvelopeStore implements SessionStore {
  private readonly name: string

  constructor(name: string) {
    this.name = name
  }

  read({ headers }: RequestHead): string {
    const [host, ...parts] = (headers.get(this.name) ?? '').split(';').filter(part => part !== '')
    const value = parts.find(part => part.startsWith(UPSTREAM_VALUE))
    if (host === undefined || value === undefined) return ''
    const own = decodeBase64(value.slice(UPSTREAM_VALUE.length))
    if (own === null || own.length === 0 || own.some(isControl)) return ''
    headers.set(this.name, own.toString('latin1'))
    return decodeBase64(host)?.toString('latin1') ?? ''
  }

  write({ headers }: ResponseHead, _wanted: string, host: string): void {
    const values = headers.getAll(this.name)
    if (values.length !== 1) return
    const [address, value] = [host, values[0]!].map(text => Buffer.from(text, 'latin1').toString('base64'))
    headers.set(this.name, `${address};${UPSTREAM_VALUE}${value}`)
  }
}

/** No part of a header's value. */
function isControl(byte: number): boolean {
  return byte < 0x20 ? byte !== 0x09 : byte === 0x7f
}

/** Null where it is no base64. */
function decodeBase64(text: string): Buffer | null {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text) ? Buffer.from(text, 'base64') : null
}

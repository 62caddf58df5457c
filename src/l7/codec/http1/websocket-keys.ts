// The two WebSocket fields that HTTP/1.1 has and HTTP/2 has not (RFC 6455 §4, RFC 8441 §5): made up where one side of a tunnel
// speaks HTTP/1.1 and the other HTTP/2. Called by both HTTP/1 codecs, only on upgrades.

import { createHash, randomBytes } from 'node:crypto'

const ACCEPT_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** A fresh Sec-WebSocket-Key. */
export function websocketKey(): string {
  return randomBytes(16).toString('base64')
}

/** The Sec-WebSocket-Accept that answers a key. */
export function websocketAccept(key: string): string {
  return createHash('sha1').update(key).update(ACCEPT_GUID).digest('base64')
}

// Makes a response head of a decoded header block, or says why it is malformed (RFC 9113 §8.2, §8.3.2). Called by client-codec.ts.

import type { ResponseHead } from '../codec.js'
import { HeaderList } from '../header-list.js'
import { NameKind } from './header-names.js'
import type { DecodedBlock } from './hpack-decoder.js'
import { copyFields, INVALID_FIELD, type Malformed, MESSAGING_RULE, parseContentLength, printable } from './request-fields.js'

function malformed(details: string, reason: string): Malformed {
  return { details, reason }
}

/** `upgraded` is left false: it depends on the request. */
export function parseResponse(block: DecodedBlock): ResponseHead | Malformed {
  if (block.badValue) return malformed(INVALID_FIELD, 'a field value holds a control character or is surrounded by space')
  const headers = new HeaderList()
  let status = 0
  let contentLength = -1
  let regular = false
  for (let i = 0; i < block.count; i++) {
    const name = block.names[i]!
    const value = block.values[i]!
    switch (name.kind) {
      case NameKind.STATUS:
        if (regular || status !== 0) return malformed(MESSAGING_RULE, ':status is repeated or after a regular field')
        status = parseStatus(value)
        if (status === 0) return malformed(INVALID_FIELD, ':status is not a three-digit number')
        break
      case NameKind.REGULAR:
      case NameKind.COOKIE:
      case NameKind.EXPECT:
      case NameKind.HOST:
        regular = true
        headers.appendParsed(name.name, name.name, value)
        break
      case NameKind.CONTENT_LENGTH:
        regular = true
        if (contentLength !== -1) return malformed(MESSAGING_RULE, 'content-length is repeated')
        contentLength = parseContentLength(value)
        if (contentLength === -1) return malformed(INVALID_FIELD, 'content-length is not a number')
        headers.appendParsed('content-length', 'content-length', value)
        break
      case NameKind.TE:
        // Meaningless in a response; what a request may say is let pass and left out.
        if (value.toLowerCase() !== 'trailers') return malformed(MESSAGING_RULE, 'te is not "trailers"')
        regular = true
        break
      case NameKind.CONNECTION_SPECIFIC:
        return malformed(MESSAGING_RULE, `connection-specific header ${name.name}`)
      case NameKind.INVALID:
        return malformed(INVALID_FIELD, `illegal header name ${printable(name.name)}`)
      default:
        return malformed(MESSAGING_RULE, `pseudo-header ${printable(name.name)} in a response`)
    }
  }
  if (status === 0) return malformed(MESSAGING_RULE, 'no :status')
  // RFC 9113 §8.6.
  if (status === 101) return malformed(MESSAGING_RULE, 'status 101 in HTTP/2')
  // As over HTTP/1, and as Envoy: written there, the next response would be taken for this one's body.
  if (contentLength > 0 && (status < 200 || status === 204)) return malformed(MESSAGING_RULE, `content-length in a ${status} response`)
  return { status, reason: '', version: 'HTTP/2', headers, contentLength, upgraded: false }
}

/** 100 to 999, or 0. */
function parseStatus(value: string): number {
  if (value === '200') return 200
  if (value.length !== 3) return 0
  const status = parseContentLength(value)
  return status >= 100 ? status : 0
}

/** A head of the same content that its owner may change. */
export function copyResponse(head: ResponseHead): ResponseHead {
  return {
    status: head.status,
    reason: '',
    version: 'HTTP/2',
    headers: copyFields(head.headers),
    contentLength: head.contentLength,
    upgraded: false,
  }
}

// How long a head is, as Envoy counts it: names and values, pseudo-headers among them. Used by format commands and gRPC access logs.

import type { RequestHead, ResponseHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'

/** `:status` and its three digits. */
const STATUS_BYTES = 10
/** `:authority`, `:path`, `:method` and `:scheme`, which Envoy keeps, and counts, among the headers. */
const REQUEST_PSEUDO_BYTES = 29

export function requestHeadBytes({ headers, authority, path, method, scheme }: RequestHead): number {
  return headersBytes(headers) + REQUEST_PSEUDO_BYTES + authority.length + path.length + method.length + scheme.length
}

export function responseHeadBytes({ headers }: ResponseHead): number {
  return headersBytes(headers) + STATUS_BYTES
}

function headersBytes(headers: HeaderList): number {
  let bytes = 0
  for (let i = 0; i < headers.length; i++) bytes += headers.raw[i]!.length + headers.values[i]!.length
  return bytes
}

// envoy.service.auth.v3.CheckRequest and CheckResponse in wire format. Used by ext-authz.ts.

import type { HeaderOption } from '../../../model/header-option.js'
import type { ExtAuthzConfig } from '../../../model/http-filter.js'
import type { RequestHead } from '../../codec/codec.js'
import { readStruct, writeStruct } from '../../grpc/protobuf-struct.js'
import { ProtobufReader, ProtobufWriter } from '../../grpc/protobuf-writer.js'
import type { ConnectionInfo } from '../../stream/connection-info.js'
import type { FilterCall } from '../http-filter.js'
import { readHeaderValue } from '../rate-limit/rate-limit-messages.js'
import { type AuthzDecision, type DecidedHeader, MAX_AUTHZ_HEADERS } from './ext-authz-decision.js'

export const CHECK = '/envoy.service.auth.v3.Authorization/Check'

const FORBIDDEN = 403
const APPEND_ACTIONS: readonly HeaderOption['action'][] = [
  // The default of the enum is not the default of this message: without `append` a header is set.
  'OVERWRITE_IF_EXISTS_OR_ADD',
  'ADD_IF_ABSENT',
  'OVERWRITE_IF_EXISTS_OR_ADD',
  'OVERWRITE_IF_EXISTS',
]

export interface CheckInput {
  readonly call: FilterCall
  readonly head: RequestHead
  readonly config: ExtAuthzConfig
  readonly contextExtensions: ReadonlyMap<string, string>
  readonly allowsHeader: (lower: string) => boolean
  /** null: the body was not asked for. */
  readonly body: { readonly bytes: Buffer; readonly partial: boolean } | null
}

export function encodeCheckRequest(input: CheckInput): Buffer {
  return new ProtobufWriter().message(1, attributes => writeAttributes(attributes, input)).finish()
}

/** The question for a whole connection, from the network filter of the same name. */
export function encodeConnectionCheck(
  connection: ConnectionInfo,
  config: { readonly includePeerCertificate: boolean; readonly includeTlsSession: boolean },
): Buffer {
  const sni = config.includeTlsSession ? connection.requestedServerName : ''
  return new ProtobufWriter()
    .message(1, attributes => {
      attributes.message(1, source => {
        writeAddress(source, connection.remoteAddress, connection.remotePort)
        writePeer(source, connection, config.includePeerCertificate)
      })
      attributes.message(2, destination => writeDestination(destination, connection))
      if (sni !== '') attributes.message(12, session => session.string(1, sni))
    })
    .finish()
}

function writePeer(source: ProtobufWriter, { tls }: ConnectionInfo, withCertificate: boolean): void {
  const peer = tls?.peer ?? null
  if (peer === null) return
  source.string(4, peer.uriSans[0] ?? peer.dnsSans[0] ?? peer.subject)
  if (withCertificate) source.string(5, encodeURIComponent(peer.pem))
}

function writeDestination(destination: ProtobufWriter, { tls, localAddress, localPort }: ConnectionInfo): void {
  writeAddress(destination, localAddress, localPort)
  if (tls !== null) destination.string(4, tls.localUriSans[0] ?? tls.localDnsSans[0] ?? tls.localSubject)
}

function writeAttributes(attributes: ProtobufWriter, input: CheckInput): void {
  const { call, head, config } = input
  const { info } = call
  const { connection } = info
  const { tls } = connection
  attributes.message(1, source => {
    writeAddress(source, info.remoteAddress, info.remoteAddress === connection.remoteAddress ? connection.remotePort : 0)
    source.string(2, head.headers.get('x-envoy-downstream-service-cluster') ?? '')
    writePeer(source, connection, config.includePeerCertificate)
  })
  attributes.message(2, destination => writeDestination(destination, connection))
  attributes.message(4, request => {
    request.message(1, time => {
      time.uint(1, Math.floor(info.startTimeMs / 1000))
      time.uint(2, Math.floor(info.startTimeMs % 1000) * 1_000_000)
    })
    request.message(2, http => writeHttp(http, input))
  })
  for (const [key, value] of input.contextExtensions) attributes.mapEntry(10, key, value)
  attributes.message(11, context => {
    for (const namespace of config.metadataContextNamespaces) {
      const struct = info.dynamicMetadata(namespace)
      if (struct !== undefined) context.message(1, entry => entry.string(1, namespace).message(2, value => writeStruct(value, struct)))
    }
  })
  if (tls !== null && tls.sni !== '') attributes.message(12, session => session.string(1, tls.sni))
}

function writeAddress(peer: ProtobufWriter, address: string, port: number): void {
  peer.message(1, outer => {
    if (address.startsWith('/') || address.startsWith('@')) outer.message(2, pipe => pipe.string(1, address))
    else outer.message(1, socket => socket.string(2, address).uint(3, port))
  })
}

function writeHttp(http: ProtobufWriter, input: CheckInput): void {
  const { call, head, body, allowsHeader } = input
  http.string(1, call.info.requestId).string(2, head.method)
  const header = (name: string, value: string) => {
    if (value !== '' && allowsHeader(name)) http.message(3, entry => entry.string(1, name).bytes(2, utf8Of(value)))
  }
  header(':authority', head.authority)
  header(':method', head.method)
  header(':path', head.path)
  header(':scheme', head.scheme)
  const { lower } = head.headers
  for (let i = 0; i < lower.length; i++) {
    const name = lower[i]!
    if (lower.indexOf(name) === i && name !== PARTIAL_BODY) header(name, head.headers.getJoined(name)!)
  }
  if (body !== null) http.message(3, entry => entry.string(1, PARTIAL_BODY).string(2, String(body.partial)))
  http.bytes(4, utf8Of(head.path)).bytes(5, utf8Of(head.authority)).string(6, head.scheme)
  if (body !== null) http.uint(9, body.bytes.length)
  else if (head.contentLength > 0) http.uint(9, head.contentLength)
  http.string(10, head.version)
  if (body !== null) {
    if (input.config.withRequestBody?.packAsBytes === true) http.bytes(12, body.bytes)
    else http.bytes(11, Buffer.from(body.bytes.toString('utf8'), 'utf8'))
  }
}

export const PARTIAL_BODY = 'x-envoy-auth-partial-body'

/** Header bytes as a protobuf string: must be UTF-8, so what is not is replaced byte by byte (Envoy: sanitizeUtf8, by `!`). */
function utf8Of(latin1: string): Buffer {
  if (!/[^\x00-\x7f]/.test(latin1)) return Buffer.from(latin1, 'latin1')
  const bytes = Buffer.from(latin1, 'latin1')
  const text = bytes.toString('utf8')
  return text.includes('�') ? Buffer.from(latin1.replace(/[^\x00-\x7f]/g, '!'), 'latin1') : bytes
}

export function decodeCheckResponse(bytes: Buffer): AuthzDecision {
  const reader = new ProtobufReader(bytes)
  let code = 0
  let denied: { status: number; headers: DecidedHeader[]; body: string } | null = null
  let ok: OkResponse | null = null
  let metadata: ReturnType<typeof readStruct> = null
  let broken = false
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    switch (field) {
      case 1: {
        const status = reader.nested()
        for (let part = status.next(); part !== 0; part = status.next()) if (part === 1) code = status.int32()
        broken ||= status.failed
        break
      }
      case 2:
        denied = readDenied(reader.nested())
        broken ||= denied === null
        break
      case 3:
        ok = readOk(reader.nested())
        broken ||= ok === null
        break
      case 4:
        metadata = readStruct(reader.nested())
        broken ||= metadata === null
    }
  }
  if (broken || reader.failed) return { kind: 'error', message: 'the CheckResponse is malformed' }
  if (code !== 0) {
    return { kind: 'denied', status: denied?.status ?? FORBIDDEN, headers: denied?.headers ?? [], body: denied?.body ?? '', metadata }
  }
  return {
    kind: 'ok',
    requestHeaders: ok?.requestHeaders ?? [],
    removeHeaders: ok?.removeHeaders ?? [],
    responseHeaders: ok?.responseHeaders ?? [],
    setQuery: ok?.setQuery ?? [],
    removeQuery: ok?.removeQuery ?? [],
    metadata: metadata ?? ok?.metadata ?? null,
  }
}

interface OkResponse {
  readonly requestHeaders: DecidedHeader[]
  readonly removeHeaders: string[]
  readonly responseHeaders: DecidedHeader[]
  readonly setQuery: [string, string][]
  readonly removeQuery: string[]
  metadata: ReturnType<typeof readStruct>
}

function readDenied(reader: ProtobufReader): { status: number; headers: DecidedHeader[]; body: string } | null {
  const denied = { status: FORBIDDEN, headers: [] as DecidedHeader[], body: '' }
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) {
      const status = reader.nested()
      for (let part = status.next(); part !== 0; part = status.next()) if (part === 1) denied.status = validStatus(status.value)
      if (status.failed) return null
    } else if (field === 2) {
      if (!readOption(reader.nested(), denied.headers, 'APPEND_IF_EXISTS_OR_ADD')) return null
    } else if (field === 3) denied.body = reader.byteString()
  }
  return reader.failed ? null : denied
}

function validStatus(status: number): number {
  return status >= 200 && status < 600 ? status : FORBIDDEN
}

function readOk(reader: ProtobufReader): OkResponse | null {
  const ok: OkResponse = { requestHeaders: [], removeHeaders: [], responseHeaders: [], setQuery: [], removeQuery: [], metadata: null }
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    switch (field) {
      case 2:
        if (!readOption(reader.nested(), ok.requestHeaders, 'append-existing')) return null
        break
      case 3:
        ok.metadata = readStruct(reader.nested())
        if (ok.metadata === null) return null
        break
      case 5:
        if (ok.removeHeaders.length < MAX_AUTHZ_HEADERS) ok.removeHeaders.push(reader.text().toLowerCase())
        break
      case 6:
        if (!readOption(reader.nested(), ok.responseHeaders, 'APPEND_IF_EXISTS_OR_ADD')) return null
        break
      case 7: {
        const pair = readHeaderValue(reader.nested())
        if (pair === null) return null
        if (ok.setQuery.length < MAX_AUTHZ_HEADERS) ok.setQuery.push(pair)
        break
      }
      case 8:
        if (ok.removeQuery.length < MAX_AUTHZ_HEADERS) ok.removeQuery.push(reader.text())
    }
  }
  return reader.failed ? null : ok
}

/** HeaderValueOption {header, append (BoolValue, default false here), append_action}. False when malformed. */
function readOption(reader: ProtobufReader, out: DecidedHeader[], appending: DecidedHeader['action']): boolean {
  let header: [string, string] | null = null
  let append: boolean | null = null
  let action = 0
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) {
      header = readHeaderValue(reader.nested())
      if (header === null) return false
    } else if (field === 2) {
      const wrapper = reader.nested()
      append = false
      for (let part = wrapper.next(); part !== 0; part = wrapper.next()) if (part === 1) append = wrapper.value !== 0
      if (wrapper.failed) return false
    } else if (field === 3) action = reader.value
  }
  if (reader.failed) return false
  if (header !== null && out.length < MAX_AUTHZ_HEADERS) {
    out.push({
      name: header[0],
      value: header[1],
      action:
        append === true
          ? appending
          : append === false
            ? 'OVERWRITE_IF_EXISTS_OR_ADD'
            : (APPEND_ACTIONS[action] ?? 'OVERWRITE_IF_EXISTS_OR_ADD'),
    })
  }
  return true
}

// Reads a TLS ClientHello from the first bytes of a connection without consuming them. Called by the listener's tls_inspector and by
// DownstreamTlsContext (ALPN without overlap). Depends on nothing. Invariant: nothing here throws, whatever the bytes are, and no more
// than MAX_CLIENT_HELLO_BYTES are kept. Source: RFC 8446 sections 4.1.2, 4.2 and 5.1; RFC 6066 section 3; RFC 7301.

/** Longest ClientHello (all its records together) that is looked at; Envoy's tls_inspector has the same 64 KiB. */
export const MAX_CLIENT_HELLO_BYTES = 65_536
/** A record's payload (RFC 8446 section 5.1). */
const MAX_RECORD_BYTES = 16_384
/** Protocol names kept; further ones are ignored. */
const MAX_ALPN_NAMES = 64
/** Records of a ClientHello; a flood of one-byte records ends here. */
const MAX_RECORDS = 256
const MAX_SNI_BYTES = 255

export interface ClientHello {
  readonly kind: 'hello'
  /** Lower case; '' when absent or when it is no host name (empty, NUL, spaces, over 255 bytes). */
  readonly sni: string
  /** In the client's order. */
  readonly alpn: readonly string[]
  /** Wire versions offered, e.g. 0x0304; from supported_versions, else legacy_version alone. */
  readonly versions: readonly number[]
  /** SignatureScheme, NamedGroup and cipher suite values as on the wire (for `wordsOf`); empty where the client did not say. */
  readonly signatures: Buffer
  readonly groups: Buffer
  readonly suites: Buffer
  /** The client asks for an OCSP response (RFC 6066 section 8). */
  readonly wantsStaple: boolean
}

export type ClientHelloResult =
  | ClientHello
  | { readonly kind: 'more' }
  | { readonly kind: 'notTls' }
  | { readonly kind: 'error'; readonly reason: string }

const MORE: ClientHelloResult = { kind: 'more' }
const NOT_TLS: ClientHelloResult = { kind: 'notTls' }
const NONE = Buffer.alloc(0)

/** Feed it bytes in order until the result is not `more`; afterwards the result stays. */
export class ClientHelloParser {
  private pending: Buffer = NONE
  private message: Buffer = NONE
  private records = 0
  private result: ClientHelloResult = MORE

  feed(chunk: Buffer): ClientHelloResult {
    if (this.result.kind !== 'more') return this.result
    this.pending = this.pending.length === 0 ? chunk : Buffer.concat([this.pending, chunk])
    this.result = this.advance()
    if (this.result.kind !== 'more') {
      this.pending = NONE
      this.message = NONE
    }
    return this.result
  }

  private advance(): ClientHelloResult {
    for (;;) {
      const { pending } = this
      const first = this.records === 0
      if (pending.length > 0 && pending[0] !== 22) return first ? NOT_TLS : failure('a record inside the ClientHello is no handshake')
      if (pending.length > 1 && pending[1] !== 3) return first ? NOT_TLS : failure('a record has no TLS version')
      if (pending.length < 5) return MORE
      const length = pending.readUInt16BE(3)
      if (length === 0 || length > MAX_RECORD_BYTES) return failure(`a record of ${length} bytes`)
      if (first && pending.length > 5 && pending[5] !== 1) return failure('the first handshake message is no ClientHello')
      if (this.message.length + length > MAX_CLIENT_HELLO_BYTES) return tooLarge()
      if (pending.length < 5 + length) return MORE
      if (++this.records > MAX_RECORDS) return failure(`the ClientHello has more than ${MAX_RECORDS} records`)
      const payload = pending.subarray(5, 5 + length)
      this.message = this.message.length === 0 ? payload : Buffer.concat([this.message, payload])
      this.pending = pending.subarray(5 + length)
      if (this.message.length < 4) continue
      const size = this.message.readUIntBE(1, 3)
      if (size + 4 > MAX_CLIENT_HELLO_BYTES) return tooLarge()
      if (this.message.length >= 4 + size) return parseHello(this.message.subarray(4, 4 + size))
    }
  }
}

/** Parses a ClientHello that is there at once (the bytes that tls_inspector has read). */
export function readClientHello(bytes: Buffer): ClientHelloResult {
  return new ClientHelloParser().feed(bytes)
}

function failure(reason: string): ClientHelloResult {
  return { kind: 'error', reason }
}

function tooLarge(): ClientHelloResult {
  return failure(`the ClientHello is over the limit of ${MAX_CLIENT_HELLO_BYTES} bytes`)
}

/** A position in bytes; `bad` is set by the first read beyond the end and stays, every further read gives nothing. */
class Cursor {
  bad = false
  private at = 0
  constructor(private readonly bytes: Buffer) {}

  get left(): number {
    return this.bad ? 0 : this.bytes.length - this.at
  }

  uint(size: number): number {
    if (this.left < size) {
      this.bad = true
      return 0
    }
    this.at += size
    return this.bytes.readUIntBE(this.at - size, size)
  }

  take(length: number): Buffer {
    if (this.left < length) {
      this.bad = true
      return NONE
    }
    this.at += length
    return this.bytes.subarray(this.at - length, this.at)
  }

  /** A vector with a length of `size` bytes in front. */
  vector(size: number): Buffer {
    return this.take(this.uint(size))
  }
}

function parseHello(body: Buffer): ClientHelloResult {
  const cursor = new Cursor(body)
  const legacyVersion = cursor.uint(2)
  cursor.take(32)
  cursor.vector(1)
  const suites = cursor.vector(2)
  cursor.vector(1)
  if (cursor.bad) return failure('the ClientHello is cut off')
  let sni = ''
  let alpn: string[] = []
  let versions = [legacyVersion]
  let signatures: Buffer = NONE
  let groups: Buffer = NONE
  let wantsStaple = false
  if (cursor.left > 0) {
    const extensions = new Cursor(cursor.vector(2))
    if (cursor.bad || cursor.left > 0) return failure('the extensions do not fill the ClientHello')
    const seen = new Set<number>()
    while (extensions.left > 0) {
      const type = extensions.uint(2)
      const content = extensions.vector(2)
      if (extensions.bad) return failure('an extension is cut off')
      if (seen.has(type)) return failure(`extension ${type} stands twice`)
      seen.add(type)
      if (type === 0) sni = readServerName(content)
      else if (type === 16) alpn = readAlpn(content)
      else if (type === 43) versions = readVersions(content)
      else if (type === 13) signatures = new Cursor(content).vector(2)
      else if (type === 5) wantsStaple = content[0] === 1
      else if (type === 10) groups = new Cursor(content).vector(2)
    }
  }
  return { kind: 'hello', sni, alpn, versions, signatures, groups, suites, wantsStaple }
}

function readServerName(content: Buffer): string {
  const list = new Cursor(new Cursor(content).vector(2))
  while (list.left > 0) {
    const type = list.uint(1)
    const name = list.vector(2)
    if (list.bad) return ''
    if (type === 0) return hostName(name)
  }
  return ''
}

/** ASCII letters are folded here once, so that a chain is found whatever the client's case (CVE-2026-48928). */
function hostName(bytes: Buffer): string {
  if (bytes.length === 0 || bytes.length > MAX_SNI_BYTES) return ''
  for (const byte of bytes) if (byte <= 0x20 || byte >= 0x7f) return ''
  return bytes.toString('latin1').toLowerCase()
}

function readAlpn(content: Buffer): string[] {
  const list = new Cursor(new Cursor(content).vector(2))
  const names: string[] = []
  while (list.left > 0 && names.length < MAX_ALPN_NAMES) {
    const name = list.vector(1)
    if (list.bad) break
    if (name.length > 0) names.push(name.toString('latin1'))
  }
  return names
}

function readVersions(content: Buffer): number[] {
  return wordsOf(new Cursor(content).vector(1))
}

/** Numbers of two bytes each; an odd byte at the end is left out. */
export function wordsOf(bytes: Buffer): number[] {
  const list = new Cursor(bytes)
  const values: number[] = []
  while (list.left >= 2) values.push(list.uint(2))
  return values
}

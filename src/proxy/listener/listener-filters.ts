// The listener filters of a connection, each an inspector of its first bytes that notes what it finds in the input of the filter chain
// match: proxy_protocol (who the client is), tls_inspector (SNI, ALPN), http_inspector (which HTTP, in clear text). Called by Connection.

import type { ListenerFilterStats } from '../../metrics/stat-names.js'
import type { Listener } from '../../model/listener.js'
import { ClientHelloParser, type ClientHelloResult } from '../../mtls/tls/client-hello.js'
import type { ChainMatchInput } from './chain-match-input.js'
import type { FilterChainMatcher } from './filter-chain-match.js'
import { type Inspection, type Inspector, MORE, SEEN } from './first-bytes.js'
import { readHttpHello } from './http-hello.js'
import { parseProxyHeader } from './proxy-protocol.js'

export type FoundOnConnection = { -readonly [K in keyof ChainMatchInput]: ChainMatchInput[K] }

/** Those that this listener needs, in Envoy's usual order: the load balancer's header stands before all else. */
export function listenerFilters(
  model: Listener,
  matcher: Pick<FilterChainMatcher<unknown>, 'needsClientHello' | 'needsHttpHello'>,
  found: FoundOnConnection,
  stats: ListenerFilterStats,
): Inspector[] {
  const inspectors: Inspector[] = []
  if (model.proxyProtocol !== null) inspectors.push(new ProxyProtocolInspector(model.proxyProtocol.allowWithout, found, stats))
  if (matcher.needsClientHello) inspectors.push(new TlsInspector(found, stats))
  if (matcher.needsHttpHello) inspectors.push(new HttpInspector(found, stats))
  return inspectors
}

/** Without a header the connection is refused, unless the config lets it pass. */
class ProxyProtocolInspector implements Inspector {
  private readonly allowWithout: boolean
  private readonly found: FoundOnConnection
  private readonly stats: ListenerFilterStats

  constructor(allowWithout: boolean, found: FoundOnConnection, stats: ListenerFilterStats) {
    this.allowWithout = allowWithout
    this.found = found
    this.stats = stats
  }

  look(bytes: Buffer): Inspection {
    const header = parseProxyHeader(bytes)
    switch (header.kind) {
      case 'more':
        return MORE
      case 'bad':
        this.countVersion(bytes).error.value++
        this.stats.proxyProtocol.error.value++
        return { kind: 'refused', reason: `no PROXY protocol header: ${header.reason}` }
      case 'none': {
        const { main } = this.stats.proxyProtocol
        if (this.allowWithout) {
          main.not_found_allowed.value++
          return SEEN
        }
        main.not_found_disallowed.value++
        return { kind: 'refused', reason: 'no PROXY protocol header: other bytes' }
      }
      case 'found': {
        const { addresses } = header
        this.countVersion(bytes).found.value++
        if (addresses !== null) {
          this.found.sourceAddress = addresses.sourceAddress
          this.found.sourcePort = addresses.sourcePort
          this.found.localAddress = addresses.destinationAddress
          this.found.localPort = addresses.destinationPort
        }
        return { kind: 'done', consumed: header.length }
      }
    }
  }

  /** Version 2 begins with a line end, version 1 with a word. */
  private countVersion(bytes: Buffer) {
    return bytes[0] === 0x0d ? this.stats.proxyProtocol.v2 : this.stats.proxyProtocol.v1
  }
}

/** Reads the ClientHello, whole, and leaves it where it is. */
export class HelloInspector implements Inspector {
  private readonly parser = new ClientHelloParser()
  private fed = 0

  look(bytes: Buffer): Inspection {
    const result = this.parser.feed(bytes.subarray(this.fed))
    this.fed = bytes.length
    if (result.kind === 'more') return MORE
    this.onHello(result, bytes.length)
    return SEEN
  }

  protected onHello(_hello: Exclude<ClientHelloResult, { kind: 'more' }>, _bytes: number): void {}
}

/** An alert, or what is no TLS at all, is OpenSSL's to refuse. */
const HANDSHAKE_RECORD = 22
const RECORD_HEADER_BYTES = 5
const MAX_RECORD_BYTES = 16_384

/** Waits for the first record, so that a client who sends nothing, or half of it, costs its socket and nothing of TLS. */
export class FirstRecordInspector implements Inspector {
  look(bytes: Buffer): Inspection {
    if (bytes[0] !== HANDSHAKE_RECORD) return SEEN
    if (bytes.length < RECORD_HEADER_BYTES) return MORE
    const length = bytes.readUInt16BE(3)
    return length > MAX_RECORD_BYTES || bytes.length >= RECORD_HEADER_BYTES + length ? SEEN : MORE
  }
}

class TlsInspector extends HelloInspector {
  private readonly found: FoundOnConnection
  private readonly stats: ListenerFilterStats

  constructor(found: FoundOnConnection, stats: ListenerFilterStats) {
    super()
    this.found = found
    this.stats = stats
  }

  protected override onHello(hello: Exclude<ClientHelloResult, { kind: 'more' }>, bytes: number): void {
    const { found } = this
    const counts = this.stats.tlsInspector
    counts.bytes_processed.record(bytes)
    if (hello.kind !== 'hello') {
      found.transportProtocol = 'raw_buffer'
      counts.tls_not_found.value++
      return
    }
    found.transportProtocol = 'tls'
    found.serverName = hello.sni
    found.applicationProtocols = hello.alpn
    counts.tls_found.value++
    if (hello.sni === '') counts.sni_not_found.value++
    else counts.sni_found.value++
    if (hello.alpn.length === 0) counts.alpn_not_found.value++
    else counts.alpn_found.value++
  }
}

class HttpInspector implements Inspector {
  private readonly found: FoundOnConnection
  private readonly stats: ListenerFilterStats

  constructor(found: FoundOnConnection, stats: ListenerFilterStats) {
    this.found = found
    this.stats = stats
  }

  look(bytes: Buffer): Inspection {
    const { found } = this
    if (found.transportProtocol === 'tls') return SEEN
    const hello = readHttpHello(bytes)
    const counts = this.stats.httpInspector
    switch (hello) {
      case 'more':
        return MORE
      case 'none':
        counts.http_not_found.value++
        return SEEN
      case 'http/1.0':
        counts.http10_found.value++
        break
      case 'http/1.1':
        counts.http11_found.value++
        break
      case 'h2c':
        counts.http2_found.value++
    }
    found.applicationProtocols = [hello]
    return SEEN
  }
}

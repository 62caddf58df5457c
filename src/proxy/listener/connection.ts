// One accepted connection from accept to its terminal filter: listener filters (ClientHello) -> filter chain -> TLS -> identity ->
// network filters -> terminal. Made by ActiveListener; afterwards it keeps the live connection in step with config changes.

import type { Socket } from 'node:net'
import type { AsyncCall } from '../../l7/client/async-client.js'
import { type OpenAccessLog, writeAccessLogs } from '../../l7/log/access-log-sink.js'
import { DownstreamConnection } from '../../l7/server/downstream-connection.js'
import type { ConnectionInfo, TlsInfo } from '../../l7/stream/connection-info.js'
import { ResponseFlag } from '../../l7/stream/response-flags.js'
import { StreamInfo } from '../../l7/stream/stream-info.js'
import type { ListenerStats } from '../../metrics/stat-names.js'
import { type Metadata, OUTRIGGER_METADATA } from '../../model/metadata.js'
import { ClientHelloParser, type ClientHelloResult } from '../../mtls/tls/client-hello.js'
import type { Denial, FilterState } from '../network/network-filter.js'
import { TcpProxySession } from '../tcp/tcp-proxy.js'
import type { ChainRuntime } from './chain-runtime.js'
import type { ChainMatchInput, FilterChainMatcher } from './filter-chain-match.js'
import { parseProxyHeader } from './proxy-protocol.js'

/** A TLS handshake may take this long when the chain sets no transport_socket_connect_timeout. */
const DEFAULT_HANDSHAKE_TIMEOUT_MS = 15_000

const NO_BYTES = Buffer.alloc(0)

let nextConnectionId = 1

/** The version of a listener that a connection was accepted under. */
export interface ListenerVersion {
  readonly name: string
  readonly model: import('../../model/listener.js').Listener
  readonly matcher: FilterChainMatcher<ChainRuntime>
  readonly stats: ListenerStats
  /** The server wants this listener's HTTP clients to leave: POST /healthcheck/fail, a graceful drain. */
  readonly drainClose: () => boolean
  /** The listener's own: one line a connection, where those of its filters have one a request. */
  readonly accessLogs: readonly OpenAccessLog[]
  readonly log: (level: 'debug' | 'info' | 'warn', message: string, fields?: Record<string, unknown>) => void
}

const NO_METADATA: Metadata = new Map()

export class Connection {
  readonly id = nextConnectionId++
  private readonly socket: Socket
  private version: ListenerVersion
  /** The version at accept: its stats are the ones that this connection counts in to the end. */
  private readonly accepted: ListenerVersion
  private readonly drainClose: () => boolean
  private readonly onGone: (connection: Connection) => void
  private readonly matchInput: {
    -readonly [K in keyof ChainMatchInput]: ChainMatchInput[K]
  }
  private chain: ChainRuntime | null = null
  private info: ConnectionInfo | null = null
  private secured: Socket
  private http: DownstreamConnection | null = null
  private tcp: TcpProxySession | null = null
  private timer: NodeJS.Timeout | null = null
  private readonly state: FilterState = { cluster: '', releases: [] }
  private inspecting = false
  /** Read behind a PROXY protocol header, for whoever reads next. */
  private pushedBack: Buffer | null = null
  private gone = false
  private denial: Denial | null = null
  private asking: AsyncCall | null = null
  private unmatched = false
  /** The TCP proxy's logs, among them the listener's, have this connection. */
  private logged = false
  private readonly startedAt = performance.now()

  constructor(socket: Socket, version: ListenerVersion, drainClose: () => boolean, onGone: (connection: Connection) => void) {
    this.socket = socket
    this.secured = socket
    this.version = version
    this.accepted = version
    this.drainClose = drainClose
    this.onGone = onGone
    const main = version.stats.main
    main.downstream_cx_total.value++
    main.downstream_cx_active.value++
    version.stats.worker.downstream_cx_total.value++
    version.stats.worker.downstream_cx_active.value++
    this.matchInput = {
      localAddress: unmapped(socket.localAddress ?? ''),
      localPort: socket.localPort ?? 0,
      serverName: '',
      transportProtocol: '',
      applicationProtocols: [],
      directSourceAddress: unmapped(socket.remoteAddress ?? ''),
      sourceAddress: unmapped(socket.remoteAddress ?? ''),
      sourcePort: socket.remotePort ?? 0,
    }
    socket.on('error', () => {})
    socket.once('close', () => this.onClose())
    if (version.model.proxyProtocol === null) this.lookFurther()
    else this.readProxyHeader(version.model.proxyProtocol.allowWithout)
  }

  private get main(): ListenerStats['main'] {
    return this.accepted.stats.main
  }

  // ---- listener filters -------------------------------------------------------------------------------------------------------

  /**
   * proxy_protocol: the load balancer in front says who the client is. Bytes behind the header are kept for whoever reads next.
   * Without a header the connection is closed, unless the config lets it pass.
   */
  private readProxyHeader(allowWithout: boolean): void {
    const { model } = this.version
    let read: Buffer | null = null
    const refuse = (reason: unknown): void => {
      stop()
      this.version.log('debug', `listener ${this.version.name}: no PROXY protocol header: ${reason ?? 'the client left'}`, {
        remote: this.remoteText,
      })
      this.socket.destroy()
    }
    const goOn = (rest: Buffer): void => {
      stop()
      this.pushedBack = rest.length === 0 ? null : rest
      this.lookFurther()
    }
    const onData = (chunk: Buffer): void => {
      read = read === null ? chunk : Buffer.concat([read, chunk])
      const header = parseProxyHeader(read)
      switch (header.kind) {
        case 'more':
          return
        case 'bad':
          refuse(header.reason)
          return
        case 'none':
          if (allowWithout) goOn(read)
          else refuse('other bytes')
          return
        case 'found': {
          const { addresses } = header
          if (addresses !== null) {
            this.matchInput.sourceAddress = addresses.sourceAddress
            this.matchInput.sourcePort = addresses.sourcePort
            this.matchInput.localAddress = addresses.destinationAddress
            this.matchInput.localPort = addresses.destinationPort
          }
          goOn(read.subarray(header.length))
        }
      }
    }
    const stop = this.readFirst(onData, refuse, model.listenerFiltersTimeoutMs, () => {
      this.main.downstream_pre_cx_timeout.value++
      if (model.continueOnListenerFiltersTimeout) goOn(read ?? NO_BYTES)
      else refuse('it did not come in time')
    })
  }

  /** The first bytes of the client as they come, until the returned function stops it and pauses the socket. `timeoutMs` 0 = no limit. */
  private readFirst(
    onData: (chunk: Buffer) => void,
    onEnd: (reason: unknown) => void,
    timeoutMs: number,
    onTimeout: () => void,
  ): () => void {
    const { socket } = this
    if (timeoutMs > 0) this.timer = setTimeout(onTimeout, timeoutMs)
    socket.on('data', onData)
    socket.once('end', onEnd)
    socket.resume()
    return () => {
      this.clearTimer()
      socket.off('data', onData)
      socket.off('end', onEnd)
      socket.pause()
    }
  }

  private lookFurther(): void {
    if (this.version.matcher.needsClientHello) this.inspect()
    else this.chooseChain(null)
  }

  private takePushedBack(): Buffer | null {
    const bytes = this.pushedBack
    this.pushedBack = null
    return bytes
  }

  /** tls_inspector: the chain depends on what the ClientHello says. */
  private inspect(): void {
    const { model } = this.version
    const { main } = this
    main.downstream_pre_cx_active.value++
    this.inspecting = true
    this.readHello(
      (hello, early) => {
        this.endInspection()
        this.matchInput.transportProtocol = hello === null ? '' : hello.kind === 'hello' ? 'tls' : 'raw_buffer'
        if (hello?.kind === 'hello') {
          this.matchInput.serverName = hello.sni
          this.matchInput.applicationProtocols = hello.alpn
        }
        this.chooseChain(early)
      },
      () => {
        main.downstream_listener_filter_remote_close.value++
        this.socket.destroy()
      },
      model.listenerFiltersTimeoutMs,
      () => {
        main.downstream_pre_cx_timeout.value++
        return model.continueOnListenerFiltersTimeout
      },
    )
  }

  private endInspection(): void {
    if (this.inspecting) this.main.downstream_pre_cx_active.value--
    this.inspecting = false
  }

  /**
   * Reads until the ClientHello is whole or it is clear that none comes, and pauses the socket again; what was read goes on with the
   * connection. `onTimeout` says whether to go on without one; `timeoutMs` 0 = no limit.
   */
  private readHello(
    onHello: (hello: Exclude<ClientHelloResult, { kind: 'more' }> | null, early: Buffer | null) => void,
    onEnd: () => void,
    timeoutMs: number,
    onTimeout: () => boolean,
  ): void {
    const parser = new ClientHelloParser()
    const chunks: Buffer[] = []
    let ended = false
    let stop = (): void => {}
    const done = (hello: Exclude<ClientHelloResult, { kind: 'more' }> | null): void => {
      ended = true
      stop()
      onHello(hello, chunks.length === 0 ? null : chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks))
    }
    const onData = (chunk: Buffer): void => {
      chunks.push(chunk)
      const result = parser.feed(chunk)
      if (result.kind !== 'more') done(result)
    }
    const first = this.takePushedBack()
    if (first !== null) onData(first)
    if (ended) return
    stop = this.readFirst(onData, onEnd, timeoutMs, () => {
      if (onTimeout()) done(null)
      else this.socket.destroy()
    })
  }

  private clearTimer(): void {
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
  }

  // ---- filter chain and TLS ---------------------------------------------------------------------------------------------------

  private chooseChain(early: Buffer | null): void {
    const chain = this.version.matcher.find(this.matchInput)
    if (chain === null) {
      this.version.stats.main.no_filter_chain_match.value++
      this.unmatched = true
      this.version.log('debug', `listener ${this.version.name}: no filter chain matches`, {
        sni: this.matchInput.serverName,
        remote: this.remoteText,
      })
      this.socket.destroy()
      return
    }
    this.chain = chain
    if (chain.tls === null) {
      this.identify(null, early ?? this.takePushedBack())
      return
    }
    this.handshake(chain, early)
  }

  private handshake(chain: ChainRuntime, early: Buffer | null): void {
    const tls = chain.tls!
    if (!tls.ready) {
      // Envoy's NotReadySslSocket: the listener serves, this chain's secrets are not there yet.
      this.accepted.stats.tls.socketFactory.downstream_context_secrets_not_ready.value++
      this.socket.destroy()
      return
    }
    const limit = chain.model.transportSocketConnectTimeoutMs
    const timeoutMs = limit > 0 ? limit : DEFAULT_HANDSHAKE_TIMEOUT_MS
    const onTimeout = (): boolean => {
      this.main.downstream_cx_transport_socket_connect_timeout.value++
      return false
    }
    // ALPN without overlap must not end the handshake, and Node can only be told before it starts.
    if (tls.wantsClientHello && early === null) {
      this.readHello(
        (_hello, read) => this.handshake(chain, read),
        () => this.socket.destroy(),
        timeoutMs,
        onTimeout,
      )
      return
    }
    this.timer = setTimeout(() => {
      onTimeout()
      this.socket.destroy()
    }, timeoutMs)
    const secured = tls.accept(this.socket, early ?? this.takePushedBack())
    this.secured = secured
    secured.once('error', error => {
      tls.onHandshakeError(error, this.remoteText)
      this.socket.destroy()
    })
    // A FIN in the middle of a handshake is the end of it; half-open would wait for the timer.
    const onEnd = (): void => {
      this.socket.destroy()
    }
    secured.once('end', onEnd)
    secured.once('secure', () => {
      this.clearTimer()
      secured.off('end', onEnd)
      secured.removeAllListeners('error')
      secured.on('error', () => {})
      const verdict = tls.verify(secured, this.remoteText)
      if (!verdict.ok) {
        // The handshake is over before Node lets us judge it: no alert (but for no certificate), and not one byte of the client was looked at.
        secured.destroy()
        return
      }
      if (verdict.info.sni !== '') this.matchInput.serverName = verdict.info.sni
      if (this.version !== this.accepted && !this.takeNewestChain()) {
        secured.destroy()
        return
      }
      this.identify(verdict.info, null)
    })
  }

  /** The listener changed during the handshake: the newest rules decide. False: this connection has no place in them. */
  private takeNewestChain(): boolean {
    const chain = this.version.matcher.find(this.matchInput)
    if (chain === null || chain.tls === null) return false
    this.chain = chain
    return true
  }

  // ---- identity -> network filters -> terminal ----------------------------------------------------------------------------------

  private identify(tls: TlsInfo | null, early: Buffer | null): void {
    const { chain } = this
    this.info = this.describe(tls)
    this.runPreFilters(chain!, 0, early)
  }

  /** From the filter `from` on; one that asks elsewhere goes on from where it stands when the answer is there. */
  private runPreFilters(chain: ChainRuntime, from: number, early: Buffer | null): void {
    const { preFilters } = chain
    for (let i = from; i < preFilters.length; i++) {
      const filter = preFilters[i]!
      if (filter.ask !== undefined) {
        this.asking = filter.ask(this.info!, denial => {
          this.asking = null
          if (denial !== null) this.refuse(denial)
          else this.runPreFilters(chain, i + 1, early)
        })
        return
      }
      const denial = filter.check(this.info!, this.state)
      if (denial !== null) {
        this.refuse(denial)
        return
      }
    }
    // Not `chain`: the listener may have changed while a filter asked.
    this.startTerminal(this.chain!, early)
  }

  private refuse(denial: Denial): void {
    const { terminal } = this.chain!
    this.denial = denial
    this.logDenial(denial)
    if (terminal.kind === 'tcp') {
      writeAccessLogs(terminal.runtime.accessLogs, this.streamInfo())
      this.logged = true
    }
    this.secured.destroy()
  }

  private describe(tls: TlsInfo | null): ConnectionInfo {
    const { matchInput, version, chain } = this
    const { model } = version
    return {
      id: this.id,
      listenerName: version.name,
      listenerMetadata: model.metadata,
      filterChainName: chain?.model.name ?? '',
      filterChainMetadata: chain?.model.metadata ?? NO_METADATA,
      trafficDirection: model.trafficDirection,
      localAddress: matchInput.localAddress || (model.address.kind === 'pipe' ? model.address.path : ''),
      localPort: matchInput.localPort,
      remoteAddress: matchInput.sourceAddress,
      remotePort: matchInput.sourcePort,
      directRemoteAddress: matchInput.directSourceAddress,
      directRemotePort: this.socket.remotePort ?? 0,
      requestedServerName: matchInput.serverName,
      tls,
    }
  }

  /** The connection as a whole, for its log line. */
  private streamInfo(): StreamInfo {
    const now = performance.now()
    const stream = new StreamInfo(this.info ?? this.describe(null), Date.now() - (now - this.startedAt), this.startedAt)
    if (this.denial !== null) noteDenial(stream, this.denial)
    stream.endedAt = now
    return stream
  }

  private logDenial(denial: Denial): void {
    this.version.log('info', `connection refused: ${denial.reason}`, {
      listener: this.version.name,
      filter: denial.filter,
      source: this.info?.tls?.peer?.uriSans[0] ?? this.remoteText,
    })
  }

  private startTerminal(chain: ChainRuntime, early: Buffer | null): void {
    const { terminal } = chain
    const socket = this.secured
    switch (terminal.kind) {
      case 'http':
        this.http = new DownstreamConnection(socket, this.info!, terminal.runtime, early, () => {}, this.drainClose)
        return
      case 'tcp':
        this.logged = true
        this.tcp = new TcpProxySession(socket, this.info!, terminal.runtime, this.state.cluster, early)
        return
      case 'directResponse':
        socket.end(terminal.body)
        socket.resume()
        return
      case 'echo':
        if (early !== null) socket.write(early)
        socket.pipe(socket)
    }
  }

  // ---- live changes -------------------------------------------------------------------------------------------------------------

  /** A new version of the listener: rules apply at once, open streams go on under the config they started with. */
  update(version: ListenerVersion): void {
    this.version = version
    if (this.info === null || this.chain === null) return
    const chain = version.matcher.find(this.matchInput)
    if (chain === null || chain.terminal.kind !== this.chain.terminal.kind || (chain.tls === null) !== (this.chain.tls === null)) {
      this.drain()
      return
    }
    this.chain = chain
    for (const filter of chain.preFilters) {
      const denial = filter.recheck?.(this.info) ?? null
      if (denial !== null) {
        this.logDenial(denial)
        if (this.tcp !== null) noteDenial(this.tcp.info, denial)
        this.destroy()
        return
      }
    }
    if (chain.terminal.kind === 'http' && this.http !== null) this.http.runtime = chain.terminal.runtime
  }

  /** Graceful: HTTP finishes what is in progress; TCP goes on until it ends or the drain time is over. */
  drain(): void {
    this.http?.drain()
  }

  announceDrain(): void {
    this.http?.announceDrain()
  }

  destroy(): void {
    if (this.http !== null) this.http.destroy()
    else if (this.tcp !== null) this.tcp.close()
    else this.secured.destroy()
    this.socket.destroy()
  }

  private get remoteText(): string {
    return `${this.matchInput.sourceAddress}:${this.matchInput.sourcePort}`
  }

  private onClose(): void {
    if (this.gone) return
    this.gone = true
    this.clearTimer()
    this.endInspection()
    this.asking?.cancel()
    this.asking = null
    for (const release of this.state.releases) release()
    this.logConnection()
    const { main, worker } = this.accepted.stats
    main.downstream_cx_active.value--
    main.downstream_cx_destroy.value++
    main.downstream_cx_length_ms.record(performance.now() - this.startedAt)
    worker.downstream_cx_active.value--
    this.onGone(this)
  }

  /** Envoy's listener access log: also for connections that no filter chain took or whose handshake failed. */
  private logConnection(): void {
    const { accessLogs } = this.accepted
    if (accessLogs.length === 0 || this.logged) return
    const stream = this.streamInfo()
    if (this.unmatched) {
      stream.responseFlags |= ResponseFlag.NoRouteFound
      stream.responseCodeDetails = 'filter_chain_not_found'
    }
    if (this.info !== null) {
      stream.bytesReceived = this.secured.bytesRead
      stream.bytesSent = this.secured.bytesWritten
    }
    writeAccessLogs(accessLogs, stream)
  }
}

/** For the access log: why the connection was closed. */
function noteDenial(stream: StreamInfo, denial: Denial): void {
  stream.connectionTerminationDetails = denial.details
  stream.responseFlags |= denial.responseFlag ?? 0
  stream.responseCodeDetails = denial.responseCodeDetails ?? ''
  stream.deniedBy = denial.reason
  stream.setDynamicMetadata(OUTRIGGER_METADATA, 'denied_by', denial.decider)
  stream.setDynamicMetadata(OUTRIGGER_METADATA, 'denied_reason', denial.reason)
}

/** `::ffff:1.2.3.4` -> `1.2.3.4`: one spelling per address for rules and logs. */
function unmapped(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
}

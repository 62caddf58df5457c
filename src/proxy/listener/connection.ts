// One accepted connection from accept to its terminal filter: listener filters -> filter chain -> TLS -> identity ->
// network filters -> terminal. Made by ActiveListener; afterwards it keeps the live connection in step with config changes.

import type { Socket } from 'node:net'
import { heldClock, type Timer } from '../../io/clock.js'
import { guardSocket } from '../../io/socket-guard.js'
import { type SocketDestination, unmapped } from '../../io/socket-options.js'
import type { AsyncCall } from '../../l7/client/async-client.js'
import { writeAccessLogs, writeListenerLogs } from '../../l7/log/open-access-log.js'
import { DownstreamConnection } from '../../l7/server/downstream-connection.js'
import type { ConnectionInfo, TlsInfo } from '../../l7/stream/connection-info.js'
import { ResponseFlag } from '../../l7/stream/response-flags.js'
import { StreamInfo } from '../../l7/stream/stream-info.js'
import type { ListenerStats } from '../../metrics/stat-names.js'
import { type Metadata, OUTRIGGER_METADATA } from '../../model/metadata.js'
import type { DownstreamTlsContext } from '../../mtls/tls/downstream-tls.js'
import type { Denial, FilterState } from '../network/network-filter.js'
import type { HeldStream } from '../overload/overload-actions.js'
import { TcpProxySession } from '../tcp/tcp-proxy.js'
import type { ChainRuntime } from './chain-runtime.js'
import { FirstBytes, type Inspector } from './first-bytes.js'
import { FirstRecordInspector, type FoundOnConnection, HelloInspector, listenerFilters } from './listener-filters.js'
import type { ListenerVersion } from './listener-version.js'

/** A TLS handshake may take this long when the chain sets no transport_socket_connect_timeout. */
const DEFAULT_HANDSHAKE_TIMEOUT_MS = 15_000

/** Unique in the process, as in Envoy: two sidecars in one share the log that the ids are looked for in. */
let nextConnectionId = 1

/** Of a worker process: ids begin here. */
export function startConnectionIds(first: number): void {
  nextConnectionId = first
}

const NO_METADATA: Metadata = new Map()

export class Connection {
  readonly id = nextConnectionId++
  private readonly socket: Socket
  private version: ListenerVersion
  /** The version at accept: its stats are the ones that this connection counts in to the end. */
  private readonly accepted: ListenerVersion
  private readonly redirected: boolean
  private readonly drainClose: () => boolean
  private readonly onGone: (connection: Connection) => void
  private readonly matchInput: FoundOnConnection
  private chain: ChainRuntime | null = null
  private info: ConnectionInfo | null = null
  private secured: Socket
  private http: DownstreamConnection | null = null
  private tcp: TcpProxySession | null = null
  private timer: Timer | null = null
  private readonly state: FilterState = { cluster: '', metadata: [], releases: [] }
  private inspecting = false
  /** When the TLS handshake began; 0: it has not. */
  private handshakeSince = 0
  /** The ClientHello is whole among the bytes that the listener filters read. */
  private helloRead = false
  private first: FirstBytes | null = null
  private gone = false
  private denial: Denial | null = null
  private asking: AsyncCall | null = null
  private unmatched = false
  /** The TCP proxy's logs, among them the listener's, have this connection. */
  private logged = false
  private readonly startedAt = performance.now()

  /** `destination`: where the kernel says the client wanted to go, where that is another address than the socket's. */
  constructor(
    socket: Socket,
    version: ListenerVersion,
    destination: SocketDestination | null,
    drainClose: () => boolean,
    onGone: (connection: Connection) => void,
  ) {
    this.socket = socket
    this.secured = socket
    this.version = version
    this.accepted = version
    this.redirected = destination !== null
    this.drainClose = drainClose
    this.onGone = onGone
    const main = version.stats.main
    main.downstream_cx_total.value++
    main.downstream_cx_active.value++
    version.stats.worker.downstream_cx_total.value++
    version.stats.worker.downstream_cx_active.value++
    this.matchInput = {
      localAddress: destination?.host ?? unmapped(socket.localAddress ?? ''),
      localPort: destination?.port ?? socket.localPort ?? 0,
      serverName: '',
      transportProtocol: '',
      applicationProtocols: [],
      directSourceAddress: unmapped(socket.remoteAddress ?? ''),
      sourceAddress: unmapped(socket.remoteAddress ?? ''),
      sourcePort: socket.remotePort ?? 0,
    }
    socket.on('error', () => {
      if (this.inspecting) this.main.downstream_listener_filter_error.value++
    })
    socket.once('close', () => this.onClose())
    this.inspect()
  }

  private get main(): ListenerStats['main'] {
    return this.accepted.stats.main
  }

  // ---- listener filters -------------------------------------------------------------------------------------------------------

  /** What the listener wants to see of the client before its filter chain is chosen. */
  private inspect(): void {
    const { version, main } = this
    const { model, matcher } = version
    if (version.missingFilter !== null) {
      version.stats.extensions.extension_config_missing.value++
      this.refuseUnconfigured(version.missingFilter)
      return
    }
    const inspectors = listenerFilters(model, matcher, this.matchInput, version.filterStats)
    if (inspectors.length === 0) {
      this.chooseChain(null)
      return
    }
    main.downstream_pre_cx_active.value++
    this.inspecting = true
    if (model.listenerFiltersTimeoutMs > 0) this.timer = heldClock.after(model.listenerFiltersTimeoutMs, () => this.onInspectionTimeout())
    this.helloRead = matcher.needsClientHello
    this.readFirst(null, inspectors, early => {
      this.clearTimer()
      this.endInspection()
      this.chooseChain(early)
    })
  }

  private onInspectionTimeout(): void {
    this.main.downstream_pre_cx_timeout.value++
    this.helloRead = false
    if (this.version.model.continueOnListenerFiltersTimeout) this.first?.giveUp()
    else this.endFirst('the listener filters did not see enough in time')
  }

  private readFirst(early: Buffer | null, inspectors: readonly Inspector[], onInspected: (early: Buffer | null) => void): void {
    this.first = new FirstBytes(this.socket, early, inspectors, {
      onInspected: read => {
        this.first = null
        onInspected(read)
      },
      onRefused: reason => this.endFirst(reason),
      onLeft: () => {
        if (this.inspecting) this.main.downstream_listener_filter_remote_close.value++
        this.endFirst('the client left')
      },
    })
    this.first.start()
  }

  private endFirst(reason: string): void {
    this.first?.stop()
    this.first = null
    this.version.log('debug', `listener ${this.version.name}: ${reason}`, { remote: this.remoteText })
    this.socket.destroy()
  }

  private endInspection(): void {
    if (this.inspecting) this.main.downstream_pre_cx_active.value--
    this.inspecting = false
  }

  private clearTimer(): void {
    this.timer?.cancel()
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
    if (chain.missingFilter !== null) {
      this.version.stats.extensions.network_extension_config_missing.value++
      this.refuseUnconfigured(chain.missingFilter)
      return
    }
    if (chain.tls === null) this.identify(null, early)
    else this.handshake(chain, early)
  }

  private refuseUnconfigured(filter: string): void {
    this.version.log('debug', `listener ${this.version.name}: no configuration of the filter ${filter} has come`, {
      remote: this.remoteText,
    })
    this.socket.destroy()
  }

  private handshake(chain: ChainRuntime, early: Buffer | null): void {
    const tls = chain.tls!
    if (!tls.ready) {
      // Envoy's NotReadySslSocket: the listener serves, this chain's secrets are not there yet.
      this.accepted.stats.tls.socketFactory.downstream_context_secrets_not_ready.value++
      this.socket.destroy()
      return
    }
    this.timer = heldClock.after(this.handshakeTimeoutMs(chain), () => this.onHandshakeTimeout())
    this.handshakeSince = performance.now()
    if (this.helloRead) {
      this.secure(tls, early)
      return
    }
    // ALPN without overlap must not end the handshake, and Node can only be told before it starts.
    const inspector = tls.wantsClientHello ? new HelloInspector() : new FirstRecordInspector()
    this.readFirst(early, [inspector], read => this.secure(tls, read))
  }

  private handshakeTimeoutMs({ model }: ChainRuntime): number {
    const ms = model.transportSocketConnectTimeoutMs > 0 ? model.transportSocketConnectTimeoutMs : DEFAULT_HANDSHAKE_TIMEOUT_MS
    const { overload } = this.version
    return overload === null ? ms : overload.timeoutMs('handshake', ms)
  }

  private onHandshakeTimeout(): void {
    this.main.downstream_cx_transport_socket_connect_timeout.value++
    this.socket.destroy()
  }

  private secure(tls: DownstreamTlsContext, early: Buffer | null): void {
    const secured = tls.accept(this.socket, early)
    guardSocket(secured)
    this.secured = secured
    const onError = (error: Error): void => {
      tls.onHandshakeError(error, this.remoteText)
      this.socket.destroy()
    }
    secured.once('error', onError)
    // A FIN in the middle of a handshake is the end of it; half-open would wait for the timer.
    const onEnd = (): void => {
      this.socket.destroy()
    }
    secured.once('end', onEnd)
    secured.once('secure', () => {
      this.clearTimer()
      secured.off('end', onEnd)
      // The context's own listener stays: it ends the connection over a record that is broken.
      secured.off('error', onError)
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
      const { stats, accessLogs, listenerLogs } = terminal.runtime
      stats.downstream_cx_total.value++
      const stream = this.streamInfo()
      writeListenerLogs(listenerLogs, stream)
      writeAccessLogs(accessLogs, stream)
      this.logged = true
    } else if (terminal.kind === 'http') {
      const { stats } = terminal.runtime
      stats.downstream_cx_total.value++
      stats.downstream_cx_destroy.value++
      stats.downstream_cx_destroy_local.value++
    }
    const close = (): unknown => this.secured.destroy()
    if (denial.delayMs) setTimeout(close, denial.delayMs).unref()
    else close()
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
      localAddressRestored: this.redirected,
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
    for (const { namespace, key, value } of this.state.metadata) stream.setDynamicMetadata(namespace, key, value)
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
        this.tcp = new TcpProxySession(socket, this.info!, terminal.runtime, this.state, early)
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

  /** Overload shortens timeouts more, or less, than it did. */
  rescaleTimeouts(): void {
    if (this.http !== null) this.http.rescaleTimeouts()
    else if (this.info === null && this.timer !== null && this.handshakeSince > 0) {
      this.timer.cancel()
      const leftMs = this.handshakeSince + this.handshakeTimeoutMs(this.chain!) - performance.now()
      this.timer = heldClock.after(leftMs, () => this.onHandshakeTimeout())
    }
  }

  /** HTTP requests in progress. */
  get streams(): Iterable<HeldStream> {
    return this.http === null ? [] : this.http.streams
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
      if (this.denial === null && this.chain?.terminal.kind === 'directResponse') stream.responseCodeDetails = 'direct_response'
    }
    writeListenerLogs(accessLogs, stream)
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

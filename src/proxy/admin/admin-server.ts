// Envoy's admin API over HTTP: who may ask (admin-guard.ts), which path (admin-routes.ts), what is counted of it under `http.admin.` and
// `listener.admin.` and written to `admin.access_log`. Made by the sidecar; its socket is AdminListener's. Only POSTs change anything.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import type { Socket } from 'node:net'
import { type OpenAccessLog, openAccessLog, writeAccessLogs } from '../../l7/log/open-access-log.js'
import { adminListenerStats, type HcmStats, hcmStats, type ListenerHttpHandles, type ListenerStats } from '../../metrics/stat-names.js'
import { type Address, formatAddress } from '../../model/address.js'
import type { OfferedSocket } from '../predecessor.js'
import { answer } from './admin-answer.js'
import { adminRefusal } from './admin-guard.js'
import { AdminListener, type AdminListenerHost } from './admin-listener.js'
import type { AdminOptions } from './admin-options.js'
import { normalizeAdminTarget, parseAdminQuery } from './admin-query.js'
import { type AdminRoute, helpText } from './admin-route.js'
import { adminRoutes } from './admin-routes.js'
import { adminStream } from './admin-stream.js'

type Request = IncomingMessage | Http2ServerRequest
type Response = ServerResponse | Http2ServerResponse

/** Parameters in the body of a POST. */
const MAX_FORM_BYTES = 64 * 1024
const FORM_TYPE = 'application/x-www-form-urlencoded'

export class AdminServer implements AdminListenerHost {
  private readonly options: AdminOptions
  private readonly listener: AdminListener
  private readonly routes: ReadonlyMap<string, AdminRoute>
  /** `http.admin.` */
  private readonly counted: HcmStats
  /** `listener.admin.` */
  private readonly listenerStats: ListenerStats
  private readonly listenerHttp: ListenerHttpHandles
  private readonly accessLogs: readonly OpenAccessLog[]
  address: Address = { kind: 'socket', host: '', port: 0 }
  private configured: Address | null = null

  constructor(options: AdminOptions) {
    this.options = options
    const { server, store } = options
    this.counted = hcmStats(store, 'admin')
    this.listenerStats = adminListenerStats(store)
    this.listenerHttp = this.listenerStats.http('admin')
    const logging = { runtime: server.runtime, random: server.options.random }
    this.accessLogs = (server.options.bootstrap.admin?.accessLogs ?? []).map(model => openAccessLog(model, server, logging))
    this.routes = adminRoutes(options)
    this.listener = new AdminListener(this)
  }

  async listen(address: Address): Promise<void> {
    this.configured = address
    this.address = await this.listener.listen(address, this.options.server.predecessor?.take(address) ?? null)
  }

  /** For the process that is to serve after this one. */
  offeredSockets(): OfferedSocket[] {
    const { handle } = this.listener
    return handle === null || this.configured?.kind !== 'socket' ? [] : [{ address: formatAddress(this.configured), handle }]
  }

  handOver(): void {
    this.listener.leave()
  }

  close(): Promise<void> {
    return this.listener.close()
  }

  onConnection(socket: Socket): void {
    const { main } = this.counted
    const { main: own, worker } = this.listenerStats
    for (const counter of [main.downstream_cx_total, own.downstream_cx_total, worker.downstream_cx_total]) counter.value++
    const active = [main.downstream_cx_active, own.downstream_cx_active, worker.downstream_cx_active]
    for (const gauge of active) gauge.value++
    const since = performance.now()
    socket.once('close', () => {
      const byPeer = socket.readableEnded && !socket.writableFinished
      for (const counter of [main.downstream_cx_destroy, own.downstream_cx_destroy]) counter.value++
      if (byPeer) main.downstream_cx_destroy_remote.value++
      else main.downstream_cx_destroy_local.value++
      for (const histogram of [main.downstream_cx_length_ms, own.downstream_cx_length_ms]) histogram.record(performance.now() - since)
      for (const gauge of active) gauge.value--
      main.downstream_cx_rx_bytes_total.value += socket.bytesRead
      main.downstream_cx_tx_bytes_total.value += socket.bytesWritten
    })
  }

  onProtocol(socket: Socket, http2: boolean): void {
    const { main } = this.counted
    const total = http2 ? main.downstream_cx_http2_total : main.downstream_cx_http1_total
    const active = http2 ? main.downstream_cx_http2_active : main.downstream_cx_http1_active
    total.value++
    active.value++
    socket.once('close', () => active.value--)
  }

  onRequest(request: Request, response: Response): void {
    this.countRequest(request, response)
    const target = normalizeAdminTarget(request.url ?? '/')
    const { ':authority': authority, host, origin } = request.headers as Readonly<Record<string, string | undefined>>
    const refusal = adminRefusal(this.options.rules, target, authority ?? host, origin)
    const mark = target.indexOf('?')
    const path = mark === -1 ? target : target.slice(0, mark)
    const route = this.routes.get(path)
    if (target.includes('#')) response.writeHead(400).end()
    else if (refusal !== null) answer(response, 403, refusal)
    else if (route === undefined) answer(response, 404, `invalid path. admin commands are:\n${helpText(this.routes.values())}`)
    else if (route.post && request.method !== 'POST') answer(response, 405, `Method ${request.method} not allowed, POST required.`)
    else {
      const query = mark === -1 ? '' : target.slice(mark + 1)
      if (route.post && request.headers['content-type']?.startsWith(FORM_TYPE)) this.readForm(request, response, route, query)
      else this.run(route, request, response, query)
    }
    request.resume()
  }

  /** The parameters of a form come after those of the query. */
  private readForm(request: Request, response: Response, route: AdminRoute, query: string): void {
    let form = ''
    request.setEncoding('utf8')
    request.on('data', (chunk: string) => {
      if (form.length <= MAX_FORM_BYTES) form += chunk
    })
    request.on('end', () => {
      if (form.length > MAX_FORM_BYTES) answer(response, 413, `the form is longer than ${MAX_FORM_BYTES} bytes\n`)
      else this.run(route, request, response, `${query}&${form.trim()}`)
    })
  }

  private run(route: AdminRoute, request: Request, response: Response, query: string): void {
    const accept = request.headers.accept ?? ''
    try {
      route.handle({ path: route.path, query: parseAdminQuery(query), accept, response })
    } catch (error) {
      if (response.headersSent) request.socket.destroy()
      else answer(response, 500, `${(error as Error).message}\n`)
    }
  }

  private countRequest(request: Request, response: Response): void {
    const startedMs = Date.now()
    const startedAt = performance.now()
    const { main } = this.counted
    main.downstream_rq_total.value++
    if (request.httpVersionMajor === 2) main.downstream_rq_http2_total.value++
    else main.downstream_rq_http1_total.value++
    main.downstream_rq_active.value++
    response.once('close', () => {
      main.downstream_rq_active.value--
      main.downstream_rq_time.record(performance.now() - startedAt)
      this.counted.completed(response.statusCode, this.listenerHttp)
      if (this.accessLogs.length > 0) writeAccessLogs(this.accessLogs, adminStream(request, response, startedMs, startedAt))
    })
  }
}

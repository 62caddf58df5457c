// The beginning and the end of the proxy as a pod sees them: `/graceful_startup` answers once the proxy is ready (or the grace period is over),
// `/graceful_shutdown` and SIGTERM begin the end: the configuration printed and the inbound listeners drained where that is wanted, the grace
// period waited for, the proxy ended. Invariant: the end begins once, whoever asks for it how often.
import { createServer, type Server } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LifecycleSettings } from '../settings/settings.js'
import type { AdminClient } from './admin-client.js'
import { listenOn } from './listen-on.js'
import { requestTarget } from './request-target.js'

export interface LifecycleOptions {
  readonly settings: LifecycleSettings
  readonly admin: AdminClient
  /** Ends the proxy: what runs may finish. */
  readonly end: () => void
  readonly print: (text: string) => void
  readonly log: (level: 'info' | 'warn', message: string) => void
}

const READY_EVERY_MS = 50
const DRAIN = '/drain_listeners?inboundonly&graceful&skip_exit'
const CONFIG = '/config_dump?include_eds'

export class Lifecycle {
  private readonly options: LifecycleOptions
  private readonly server: Server
  private ending = false

  constructor(options: LifecycleOptions) {
    const { startupPath, shutdownPath } = options.settings
    this.options = options
    this.server = createServer((request, response) => {
      const pathname = requestTarget(request)?.pathname
      if (pathname === shutdownPath) {
        void this.shutDown()
        response.end()
      } else if (pathname === startupPath) void this.ready().then(() => response.end())
      else response.writeHead(404).end()
    })
  }

  /** Rejects where the port can't be had. */
  listen(): Promise<void> {
    const { host, port } = this.options.settings
    return listenOn(this.server, host, port, '-graceful-port')
  }

  close(): void {
    this.server.close()
    this.server.closeAllConnections()
  }

  async shutDown(): Promise<void> {
    if (this.ending) return
    this.ending = true
    const { settings, admin, print, log, end } = this.options
    const { shutdownGraceMs, drainListeners, dumpConfig } = settings
    const attempt = (what: string, done: Promise<unknown>): Promise<unknown> =>
      done.catch((error: Error) => log('warn', `${what}: ${error.message}`))
    log('info', `the end begins: the proxy ends in ${shutdownGraceMs / 1000} s`)
    const over = sleep(shutdownGraceMs)
    if (dumpConfig) await attempt('config dump', admin.get(CONFIG).then(print))
    if (drainListeners) await attempt('drain', admin.post(DRAIN))
    await over
    end()
  }

  private async ready(): Promise<void> {
    const { settings, admin, log } = this.options
    const until = performance.now() + settings.startupGraceMs
    while (performance.now() < until) {
      if (
        await admin.get('/ready').then(
          () => true,
          () => false,
        )
      )
        return
      await sleep(READY_EVERY_MS)
    }
    if (settings.startupGraceMs > 0) log('warn', 'the startup grace period is over, and the proxy is not ready')
  }
}

// consul-dataplane's job in the process of the proxy: a Consul server found and entered, the proxy's bootstrap asked for, DNS, merged metrics, and
// the beginning and end of the whole. Made by `outrigger sidecar` (cli/commands/sidecar/sidecar.ts), which runs the proxy by what prepare() says.
//
//   prepare(): servers ──▶ bootstrap parameters ──▶ DNS proxy      (the proxy starts)      serve(): merged metrics, lifecycle pages
//   shutDown(): grace period ──▶ the proxy ends ──▶ close(): logout
//
// Invariant: nothing here touches the process; what cannot be had (a port, a proxy that the server does not know) is one line.
import { resolveSinks } from '../control/http-api/bootstrap-config.js'
import { DnsProxy } from './dns-proxy.js'
import { MergedMetrics } from './metrics/merged-metrics.js'
import { OwnMetrics } from './metrics/own-metrics.js'
import { AdminClient } from './proxy/admin-client.js'
import { BOOTSTRAP_PARAMS, bootstrapRequest, dataplaneBootstrap, servesMetrics } from './proxy/dataplane-bootstrap.js'
import { Lifecycle } from './proxy/lifecycle.js'
import { ConsulServers } from './servers/consul-servers.js'
import type { DataplaneSettings } from './settings/settings.js'

export { CONSUL_TARGET } from './proxy/dataplane-bootstrap.js'
export { SettingsError } from './settings/flag-values.js'
export { type DataplaneSettings, readAdmin, readSettings, type SettingsSources } from './settings/settings.js'

export interface DataplaneOptions {
  readonly settings: DataplaneSettings
  readonly log: (level: 'debug' | 'info' | 'warn', message: string) => void
  readonly env: (name: string) => string | undefined
  readonly random: () => number
  /** -dump-envoy-config-on-exit. */
  readonly print: (text: string) => void
}

export class Dataplane {
  readonly servers: ConsulServers
  private readonly options: DataplaneOptions
  private readonly metrics: OwnMetrics
  private readonly admin: AdminClient
  private dns: DnsProxy | null = null
  private merged: MergedMetrics | null = null
  private lifecycle: Lifecycle | null = null
  private mergesMetrics = false
  private isProxyConnected: () => boolean = () => false

  constructor(options: DataplaneOptions) {
    const { settings, log, random } = options
    this.options = options
    this.metrics = new OwnMetrics(settings.telemetry.retentionMs, () => this.isProxyConnected())
    this.servers = new ConsulServers({ settings: settings.servers, proxy: settings.proxy, metrics: this.metrics, log, random })
    this.admin = new AdminClient(settings.envoy.adminHost, settings.envoy.adminPort)
  }

  /** Resolves with the proxy's bootstrap once a server has told it; null in mode dns-proxy. Rejects with one line. */
  async prepare(): Promise<Record<string, unknown> | null> {
    const { settings, env } = this.options
    const { proxy } = settings
    await this.servers.start()
    if (settings.mode === 'dns-proxy') {
      await this.startDns(proxy.namespace, proxy.partition)
      return null
    }
    const params = await this.servers.call(BOOTSTRAP_PARAMS, bootstrapRequest(proxy)).catch((error: Error) => {
      throw new Error(`no bootstrap parameters of proxy ${proxy.id}: ${error.message}`)
    })
    await this.startDns(params.namespace, params.partition)
    const bootstrap = dataplaneBootstrap(params, settings)
    const problem = resolveSinks(bootstrap, env)
    if (problem !== undefined) throw new Error(problem)
    this.mergesMetrics = servesMetrics(bootstrap)
    return bootstrap
  }

  /** The proxy runs; `end` ends it. Rejects where a port can't be had. */
  async serve(isProxyConnected: () => boolean, end: () => void): Promise<void> {
    const { settings, log, print } = this.options
    const { admin } = this
    this.isProxyConnected = isProxyConnected
    if (this.mergesMetrics) {
      const { telemetry, envoy } = settings
      this.merged = new MergedMetrics({ telemetry, host: envoy.adminHost, own: () => this.metrics.text(), admin, log })
      await this.merged.listen()
    }
    this.lifecycle = new Lifecycle({ settings: settings.lifecycle, admin, end, print, log })
    await this.lifecycle.listen()
  }

  /** What SIGTERM asks for. */
  shutDown(): void {
    void this.lifecycle?.shutDown()
  }

  /** Gives back what a login was given. */
  async close(): Promise<void> {
    this.merged?.close()
    this.lifecycle?.close()
    await this.dns?.close()
    await this.servers.close()
  }

  private async startDns(namespace: string, partition: string): Promise<void> {
    const { settings, log } = this.options
    if (settings.dns === null) return
    const { host, port } = settings.dns
    this.dns = new DnsProxy({ servers: this.servers, namespace, partition, log })
    log('info', `DNS on ${host}:${await this.dns.listen(host, port)}`)
  }
}

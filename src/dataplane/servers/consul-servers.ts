// The connection to Consul: one of its servers at a time, found, entered and followed as consul-dataplane does it, and left for another when it
// ends, is too busy, or does not know our token. Made by dataplane.ts; the proxy's xDS stream goes where this says (AdsTargetSource).
//
//   DISCOVER (nobody untried is known) ──▶ ENTER (login, features) ──▶ USE (WatchServers, or a question a minute)
//        ▲                                    │ fails                     │ ends, RESOURCE_EXHAUSTED, UNAUTHENTICATED
//        └────────────── WAIT (backoff) ◀─────┴───────────────────────────┘
//
// Invariants: what is known of the servers is the last list that one of them told; there is one current server or none; whoever follows it is
// told at once of the next one.
import { isIPv6 } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { create, type DescMessage, type MessageShape } from '@bufbuild/protobuf'
import { fullJitterMs } from '../../io/backoff.js'
import type { AdsTarget, AdsTargetSource } from '../../xds/client/client-options.js'
import { GRPC_STATUS } from '../../xds/client/client-status.js'
import {
  DataplaneFeatures,
  GetSupportedDataplaneFeaturesRequestSchema,
  GetSupportedDataplaneFeaturesResponseSchema,
} from '../../xds/gen/hashicorp/dataplane_pb.js'
import { WatchServersRequestSchema, WatchServersResponseSchema } from '../../xds/gen/hashicorp/serverdiscovery_pb.js'
import { distanceOf } from '../../xds/server-distance.js'
import type { OwnMetrics } from '../metrics/own-metrics.js'
import type { ProxySettings, ServerSettings } from '../settings/settings.js'
import { AclToken } from './acl-token.js'
import { discoverServers } from './discover-servers.js'
import { CallError, type CallMetadata, KEEPALIVE, type Method, ServerChannel } from './server-channel.js'
import { ServerCredentials } from './server-credentials.js'
import { ServerSet } from './server-set.js'

export interface ConsulServersOptions {
  readonly settings: ServerSettings
  /** Who asks: servers of this product then say which of them are near. */
  readonly proxy?: Pick<ProxySettings, 'id' | 'nodeName' | 'nodeId'>
  readonly metrics: OwnMetrics
  readonly log: (level: 'debug' | 'info' | 'warn', message: string) => void
  readonly random: () => number
}

const FEATURES: Method<typeof GetSupportedDataplaneFeaturesRequestSchema, typeof GetSupportedDataplaneFeaturesResponseSchema> = {
  path: '/hashicorp.consul.dataplane.DataplaneService/GetSupportedDataplaneFeatures',
  request: GetSupportedDataplaneFeaturesRequestSchema,
  answer: GetSupportedDataplaneFeaturesResponseSchema,
}
const WATCH: Method<typeof WatchServersRequestSchema, typeof WatchServersResponseSchema> = {
  path: '/hashicorp.consul.serverdiscovery.ServerDiscoveryService/WatchServers',
  request: WatchServersRequestSchema,
  answer: WatchServersResponseSchema,
}
const BACKOFF_BASE_MS = 500
const BACKOFF_MAX_MS = 60_000
/** Whoever was served so long starts over with short waits. */
const BACKOFF_RESET_MS = 180_000
/** Where there is no list to follow, the server is asked whether it is there. */
const ASK_EVERY_MS = 60_000

export class ConsulServers implements AdsTargetSource {
  private readonly options: ConsulServersOptions
  private readonly credentials: ServerCredentials | null
  private readonly token: AclToken
  private readonly known: ServerSet
  private readonly listeners = new Set<() => void>()
  /** The one that is tried, before it is the current one. */
  private tried: ServerChannel | null = null
  private channel: ServerChannel | null = null
  private target: AdsTarget | null = null
  /** Of the server that is tried or used. */
  private address = ''
  private cameNearer = false
  /** Ends the use of the current server. */
  private leaveServer: (reason: string) => void = () => {}
  private readonly stopping = new AbortController()

  constructor(options: ConsulServersOptions) {
    const { settings, metrics, log } = options
    this.options = options
    this.credentials = settings.tls === null ? null : new ServerCredentials(settings.tls)
    this.known = new ServerSet(options.random)
    this.token = new AclToken(settings.credentials, tookMs => {
      metrics.loginDuration(tookMs)
      log('info', 'logged in')
    })
  }

  /** Resolves when a server is found, however long that takes. */
  start(): Promise<void> {
    const first = new Promise<void>(resolve => {
      const unsubscribe = this.subscribe(() => {
        unsubscribe()
        resolve()
      })
    })
    void this.run()
    return first
  }

  /** Of the server that is used; rejects with `CallError` where there is none. */
  call<Q extends DescMessage, A extends DescMessage>(
    method: Method<Q, A>,
    message: MessageShape<Q>,
    metadata: CallMetadata = [],
  ): Promise<MessageShape<A>> {
    if (this.channel === null) return Promise.reject(new CallError(GRPC_STATUS.UNAVAILABLE, 'no server is reached'))
    return this.channel.call(method, message, [...this.token.metadata, ...metadata])
  }

  /** Gives the login's token back. */
  async close(): Promise<void> {
    const channel = this.channel ?? this.tried
    if (channel !== null)
      await this.token.leave(channel).catch((error: Error) => this.options.log('warn', `the logout failed: ${error.message}`))
    this.stopping.abort()
    this.leaveServer('the end')
  }

  // ---- AdsTargetSource ----------------------------------------------------------------------------------------------------------

  current(): AdsTarget {
    if (this.target === null) throw new Error('no server has been found yet')
    return this.target
  }

  failed(target: AdsTarget, code: number): void {
    if (target !== this.target || this.channel === null) return
    this.options.metrics.connectionError(code)
    if (code === GRPC_STATUS.RESOURCE_EXHAUSTED) this.leaveServer('it has too many streams')
    else if (code === GRPC_STATUS.UNAUTHENTICATED && this.token.refused()) this.leaveServer('it does not know the token of our login')
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  // ---- the loop -----------------------------------------------------------------------------------------------------------------

  private async run(): Promise<void> {
    const { log, metrics, random } = this.options
    const { signal } = this.stopping
    for (let attempt = 0; !signal.aborted; attempt++) {
      const startedAt = performance.now()
      await this.useNext(startedAt).catch((error: Error) => {
        metrics.connected(false)
        if (error instanceof CallError) metrics.connectionError(error.code)
        if (!signal.aborted) log('warn', `Consul server: ${error.message}`)
      })
      if (performance.now() - startedAt > BACKOFF_RESET_MS) attempt = 0
      await sleep(fullJitterMs(attempt, BACKOFF_BASE_MS, BACKOFF_MAX_MS, random), undefined, { signal }).catch(() => {})
    }
  }

  /** Rejects when the server is not, or no longer, to be used. */
  private async useNext(startedAt: number): Promise<never> {
    const { settings, log, metrics } = this.options
    if (this.known.exhausted) {
      const discoverAt = performance.now()
      this.known.replace((await discoverServers(settings.addresses)).map(address => ({ address, distance: 0 })))
      metrics.discoverDuration(performance.now() - discoverAt)
      log('debug', `servers: ${this.known.addresses.join(', ')}`)
    }
    const address = this.known.next()
    if (address === undefined) throw new Error('no address is known')
    this.address = address
    const target = isIPv6(address) ? `ipv6:[${address}]:${settings.grpcPort}` : `ipv4:${address}:${settings.grpcPort}`
    const channel = new ServerChannel(target, this.credentials)
    this.tried = channel
    try {
      return await this.use(channel, startedAt)
    } catch (error) {
      if (error instanceof CallError && error.code === GRPC_STATUS.UNAUTHENTICATED) this.token.refused()
      throw error instanceof CallError
        ? new CallError(error.code, `${target}: ${error.message}`)
        : new Error(`${target}: ${(error as Error).message}`)
    } finally {
      if (this.channel === channel) this.channel = null
      this.tried = null
      channel.close()
    }
  }

  private async use(channel: ServerChannel, startedAt: number): Promise<never> {
    const { log, metrics, settings } = this.options
    await this.token.enter(channel)
    // The end came while the login was on its way.
    if (this.stopping.signal.aborted) await this.token.leave(channel)
    const features = await this.features(channel)
    if (!features.has(DataplaneFeatures.ENVOY_BOOTSTRAP_CONFIGURATION)) throw new Error('it gives no bootstrap parameters')
    metrics.connectDuration(performance.now() - startedAt)
    metrics.connected(true)
    log('info', `Consul server ${channel.target} is used`)
    this.channel = channel
    this.target = this.targetOf(channel)
    for (const listener of [...this.listeners]) listener()
    const left = new Promise<never>((_resolve, reject) => {
      this.leaveServer = reason => reject(new Error(`left: ${reason}`))
    })
    return settings.watchDisabled || !features.has(DataplaneFeatures.WATCH_SERVERS)
      ? await this.ask(channel, left)
      : await this.watch(channel, left)
  }

  private async features(channel: ServerChannel): Promise<ReadonlySet<DataplaneFeatures>> {
    const answer = await channel.call(FEATURES, create(GetSupportedDataplaneFeaturesRequestSchema), this.token.metadata)
    return new Set(answer.supportedDataplaneFeatures.filter(({ supported }) => supported).map(({ featureName }) => featureName))
  }

  private async watch(channel: ServerChannel, left: Promise<never>): Promise<never> {
    const metadata = [...this.token.metadata, ...this.introduction()]
    const { over, stop } = channel.watch(WATCH, create(WatchServersRequestSchema), metadata, ({ servers }) => {
      this.known.replace(servers.map(server => ({ address: server.address, distance: distanceOf(server) })))
      this.options.log('debug', `servers: ${this.known.addresses.join(', ')}`)
      // Once: one that is near and has too many streams would send us back.
      if (this.cameNearer || !this.known.hasNearer(this.address)) return
      this.cameNearer = true
      this.leaveServer('another is nearer')
    })
    try {
      return await Promise.race([over, left])
    } finally {
      over.catch(() => {})
      stop()
    }
  }

  private introduction(): CallMetadata {
    const { proxy } = this.options
    if (proxy === undefined) return []
    const said = [
      ['outrigger-proxy-id', proxy.id],
      ['outrigger-node-name', proxy.nodeName],
      ['outrigger-node-id', proxy.nodeId],
    ] as const
    // Metadata has ASCII alone.
    return said.flatMap(([key, value]) => (value === '' ? [] : [[key, encodeURIComponent(value)]]))
  }

  private async ask(channel: ServerChannel, left: Promise<never>): Promise<never> {
    const stop = new AbortController()
    try {
      for (;;) {
        await Promise.race([sleep(ASK_EVERY_MS, undefined, { signal: stop.signal }), left])
        await Promise.race([this.features(channel), left])
      }
    } finally {
      stop.abort()
    }
  }

  private targetOf({ target: address }: ServerChannel): AdsTarget {
    const { credentials } = this
    return {
      address,
      channelOptions: KEEPALIVE,
      metadata: () => this.token.metadata,
      ...(credentials === null ? {} : { credentials: async () => credentials }),
    }
  }
}

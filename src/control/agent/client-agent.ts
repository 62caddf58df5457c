// The agent of a machine that has no control plane of its own, as one object: local services and their checks, the lease of the node, the HTTP
// API, DNS and gRPC, wired. Made by `outrigger agent -retry-join` and by tests.
//
//   local API, definitions -> Catalog <- HealthChecks            Catalog -> StateSync -> control plane <- LeaseKeeper
//   HTTP /v1/agent -> Catalog     the rest of HTTP, DNS, gRPC -> control plane (kept answers while it is away)
//
// Invariant: everything about this machine is answered and goes on, whether or not a server can be reached.
import { hostname, networkInterfaces } from 'node:os'
import { AgentTokens } from '../acl/agent-tokens.js'
import { type AgentDefinitions, applyAgentDefinitions } from '../agent-definitions.js'
import { Catalog } from '../catalog/catalog.js'
import { type CatalogInstance, OWN_NODE } from '../catalog/catalog-types.js'
import { ExposedChecks } from '../catalog/exposed-checks.js'
import { HealthChecks } from '../catalog/health-checks.js'
import type { Locality } from '../catalog/locality.js'
import { type PortRanges, portRanges } from '../catalog/port-ranges.js'
import { ConfigEntryTable } from '../config-entry-table.js'
import { CONSUL_VERSION } from '../consul-version.js'
import type { ApplyReport, DeclaredTargets } from '../declared-items.js'
import { DnsServer } from '../dns/dns-server.js'
import { Recursors } from '../dns/recursors.js'
import { BlockingQueries } from '../http-api/blocking-queries.js'
import type { NodeInfo } from '../http-api/context.js'
import {
  areLoopback,
  bindReason,
  formatAddress,
  type HostPort,
  isLoopback,
  parseAddress,
  parseHttpAddress,
} from '../http-api/listen-addresses.js'
import { listenHttp } from '../http-api/listen-http.js'
import { joinErrors } from '../http-api/respond.js'
import { ownNode } from '../http-api/shapes.js'
import { type ControlLogger, LogFeed } from '../log-feed.js'
import { type ServerTls as PortTls, type SecureOptions, secureOptions } from '../port-tls.js'
import { JournalStore } from '../store/journal/journal-store.js'
import { MemoryStore } from '../store/memory-store.js'
import type { Store } from '../store/store.js'
import { serviceTopic, TopicIndexes } from '../store/topic-indexes.js'
import { buildAgentApi } from './agent-api.js'
import { agentIdentity } from './agent-identity.js'
import { ForwardedDns } from './forwarded-dns.js'
import { ForwardedReads } from './forwarded-reads.js'
import { GrpcRelay, type GrpcTarget } from './grpc-relay.js'
import { type AgentIdentity, LeaseKeeper } from './lease-keeper.js'
import { type DownPolicy, RemoteRules } from './remote-rules.js'
import { ServerLink, type ServerTls } from './server-link.js'
import { type MergedProxy, StateSync } from './state-sync.js'

export interface ClientAgentOptions extends Partial<PortRanges> {
  /** HTTP addresses of the control plane, the first one asked first. */
  readonly servers: readonly HostPort[]
  readonly serverTls?: ServerTls
  /** Of the control plane's gRPC port, where that has TLS. Default: `serverTls`. */
  readonly grpcTls?: ServerTls
  /** `host:port`; port 0 picks a free one. Default 127.0.0.1:8500. */
  readonly httpAddr?: string
  /** Undefined: no gRPC is served. */
  readonly grpcAddr?: HostPort
  /** Undefined: no DNS is served. */
  readonly dns?: {
    readonly address: HostPort
    readonly recursors?: readonly HostPort[]
    /** The address is only the default: when it is taken the agent serves without DNS. */
    readonly isDefault?: boolean
  }
  /** The HTTP API over TLS, with the operator's certificate. */
  readonly httpsAddr?: string | undefined
  readonly httpsTls?: PortTls | undefined
  readonly nodeName?: string
  /** Where this machine is reached. Default: its first address. */
  readonly nodeAddress?: string
  readonly nodeMeta?: Readonly<Record<string, string>>
  readonly locality?: Locality
  /** '' or undefined: that of the control plane. */
  readonly datacenter?: string
  /** Where services, checks and the identity live; without it in memory only. */
  readonly dataDir?: string
  /** `acl.tokens`, by Consul's names. */
  readonly tokens?: Readonly<Record<string, string>>
  /** Those that the API sets outlive a restart. */
  readonly keepTokens?: boolean
  /** `acl.enabled`. */
  readonly aclEnabled?: boolean
  readonly downPolicy?: DownPolicy
  /** What configuration files define: registered before anything is served. */
  readonly definitions?: AgentDefinitions
  /** Their script checks run. */
  readonly scripts?: boolean
  readonly retryMs?: number
  /** Attempts to reach the control plane for the first time; 0 = without end. */
  readonly retryMax?: number
  readonly onGivenUp?: (reason: string) => void
  readonly version?: string
  readonly log?: ControlLogger
  readonly reload?: () => Promise<string | undefined>
  /** Called when a client asks the agent to leave, once it has left. */
  readonly onLeave?: () => void
}

const DEFAULT_HTTP_ADDR = '127.0.0.1:8500'
const DEFAULT_RETRY_MS = 1_000
const silent: ControlLogger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

export class ClientAgent {
  private readonly options: ClientAgentOptions
  private readonly log: LogFeed
  private readonly cleanups: (() => Promise<void> | void)[] = []
  private lease: LeaseKeeper | undefined
  private sync: StateSync | undefined
  private declared: DeclaredTargets | undefined
  readonly tokens: AgentTokens
  private grpcTarget: GrpcTarget | undefined
  private httpListening: HostPort | undefined
  private httpsListening: HostPort | undefined
  private replaceCertificate: (secure: SecureOptions) => void = () => {}
  private grpcListening: HostPort | undefined
  private dnsListening: HostPort | undefined

  constructor(options: ClientAgentOptions) {
    this.options = options
    this.log = new LogFeed(options.log ?? silent)
    this.tokens = new AgentTokens(options.tokens)
  }

  get httpAddress(): string {
    return formatAddress(this.httpListening)
  }

  /** '' where none is served. */
  get httpsAddress(): string {
    return formatAddress(this.httpsListening)
  }

  /** New connections over TLS get this certificate. Throws one line when it can't be used; nothing has changed then. */
  useCertificate(tls: PortTls): void {
    if (this.httpsListening !== undefined) this.replaceCertificate(secureOptions(tls, undefined, 'https'))
  }

  /** '' where none is served. */
  get grpcAddress(): string {
    return formatAddress(this.grpcListening)
  }

  get dnsAddress(): string {
    return formatAddress(this.dnsListening)
  }

  /** What configuration files define: what has left them since the last time is taken out. Only after `start`. */
  async applyDefinitions(definitions: AgentDefinitions): Promise<ApplyReport> {
    return applyAgentDefinitions(definitions, this.declared!)
  }

  /** Serves once it resolves, whether or not a server was reached. Rejects with one line; nothing is left running then. */
  async start(): Promise<void> {
    try {
      await this.open()
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  /** Gives the node up, with all that is on it. Rejects when no server has taken it. */
  async leave(): Promise<void> {
    // What is said of the node after it is gone would make it anew.
    await this.sync?.stop()
    await this.lease?.leave()
  }

  /** Without leaving: the node is lost when its lease is over, and comes back with the next start. */
  async stop(): Promise<void> {
    for (const cleanup of this.cleanups.splice(0).reverse()) await cleanup()
  }

  private async open(): Promise<void> {
    const { options, log, tokens } = this
    const http = options.httpAddr === 'off' ? undefined : parseHttpAddress(options.httpAddr ?? DEFAULT_HTTP_ADDR, '-client, -http-port')
    const https = options.httpsAddr === undefined ? undefined : parseAddress(options.httpsAddr, '-https-port')
    const secure = options.httpsTls === undefined ? undefined : secureOptions(options.httpsTls, undefined, 'https')
    const store = await this.openStore()
    this.cleanups.push(() => store.close())
    if (options.keepTokens === true) await tokens.keepIn(store)
    const { id, secret } = await agentIdentity(store)
    const name = options.nodeName ?? hostname()
    const address = options.nodeAddress ?? firstAddress()
    const version = options.version ?? '0.0.0'
    const identity: AgentIdentity = {
      name,
      id,
      secret,
      address,
      version,
      datacenter: options.datacenter ?? '',
      locality: options.locality,
      meta: { ...options.nodeMeta, 'consul-network-segment': '', 'consul-version': CONSUL_VERSION },
    }
    // The datacenter is the control plane's, which says it when the lease is taken.
    const node: { -readonly [K in keyof NodeInfo]: NodeInfo[K] } = {
      ...{ id, name, address, datacenter: options.datacenter ?? 'dc1' },
      locality: options.locality,
    }
    const ranges = portRanges(options)
    const catalog = await Catalog.open(store, {
      node: ownNode(node),
      ...ranges,
      defaultSidecarChecks: true,
    })
    // Config entries are the control plane's: an agent has none.
    const entries = await ConfigEntryTable.open(store, { datacenter: node.datacenter, trustDomain: 'agent' })
    this.declared = { store, catalog, entries, scripts: options.scripts === true }
    if (options.definitions !== undefined) {
      const { errors } = await this.applyDefinitions(options.definitions)
      if (errors.length > 0) throw new Error(joinErrors(errors))
    }
    const healthChecks = new HealthChecks(catalog, {
      onDeregister: (service, check) => log.warn({ service, check }, 'deregistered: critical for too long'),
      onProblem: (check, reason) => log.error({ check }, `check: ${reason}`),
    })
    const indexes = new TopicIndexes(store.index)
    catalog.onChange(({ services }) => {
      for (const service of services) indexes.bump(serviceTopic(service), store.index)
    })
    // Config entries are the control plane's: what of a sidecar they say, it tells. Until it does, those expose checks that did before.
    const before = catalog.checksOn(OWN_NODE).flatMap(({ exposed }) => exposed ?? [])
    let byEntries: ReadonlyMap<string, MergedProxy> = new Map(
      before.map(({ Proxy: id, Address }) => [id, { Config: { bind_address: Address }, Expose: { Checks: true } }]),
    )
    const exposedChecks = new ExposedChecks(catalog, {
      ...ranges,
      merged: instance => withMerged(instance, byEntries.get(instance.ID)),
      onProblem: reason => log.warn({}, reason),
    })
    exposedChecks.start()
    this.cleanups.push(() => exposedChecks.stop())
    healthChecks.start()
    this.cleanups.push(() => healthChecks.stop())

    const link = new ServerLink({ servers: options.servers, ...(options.serverTls === undefined ? {} : { tls: options.serverTls }) })
    this.cleanups.push(() => link.close())
    const agentToken = (): string | undefined => tokens.get('agent')
    const sync = new StateSync({
      link,
      catalog,
      identity,
      token: () => agentToken(),
      isHeld: () => this.lease?.state === 'held',
      onProblem: (what, reason) => log.error({ what }, `agent: not synced: ${reason}`),
      onMerged: sidecars => {
        byEntries = sidecars
        exposedChecks.everythingChanged()
      },
      onSynced: what => log.debug({ what }, 'agent: Synced'),
    })
    const lease = this.keepLease(link, identity, agentToken, sync, node)
    const reads = new ForwardedReads(link)
    const rules = new RemoteRules({
      link,
      downPolicy: options.downPolicy ?? 'extend-cache',
      enabled: options.aclEnabled === true,
      defaultToken: () => tokens.get('default'),
    })
    const blocking = new BlockingQueries()
    const api = buildAgentApi({
      catalog,
      node,
      store,
      indexes,
      blocking,
      healthChecks,
      logs: log,
      metrics: { refusedWrites: { inc: () => {} } },
      version,
      reload: options.reload ?? (async () => undefined),
      leave:
        options.onLeave === undefined
          ? undefined
          : () =>
              void this.leave()
                .catch((error: Error) => log.error({}, `agent: cannot leave: ${error.message}`))
                .then(options.onLeave),
      link,
      reads,
      rules,
      tokens,
      loopbackOnly: areLoopback([http, https]),
      leaseState: () => lease.state,
      grpcPort: () => this.grpcListening?.port ?? -1,
      dnsAddress: () => this.dnsListening,
    })
    this.cleanups.push(async () => {
      blocking.close()
      reads.stop()
      await api.close()
    })
    await this.serveGrpc()
    await this.serveDns(link, tokens)
    const listeners = await listenHttp(api, { http, https, secure })
    this.httpListening = listeners.http
    this.httpsListening = listeners.https
    this.replaceCertificate = listeners.replaceCertificate
    this.sync = sync
    sync.start()
    this.cleanups.push(() => sync.stop())
    await lease.start()
    this.cleanups.push(() => lease.stop())
    log.info({ http: this.httpAddress, https: this.httpsAddress, grpc: this.grpcAddress, dns: this.dnsAddress, node: name }, 'agent ready')
  }

  private keepLease(
    link: ServerLink,
    identity: AgentIdentity,
    token: () => string | undefined,
    sync: StateSync,
    node: { datacenter: string },
  ): LeaseKeeper {
    const { retryMs = DEFAULT_RETRY_MS, retryMax = 0, onGivenUp } = this.options
    let wasHeld = false
    const lease = new LeaseKeeper({
      link,
      identity,
      token,
      retryMs,
      onTaken: ({ datacenter, grpc }, isNew) => {
        wasHeld = true
        node.datacenter = datacenter
        // A control plane that listens on every address, or on its own loopback as we do, is reached where its HTTP API is.
        this.grpcTarget = { ...grpc, host: isLoopback(grpc.host) ? link.server.host : grpc.host }
        if (isNew) sync.everything()
      },
      onAway: (attempts, reason) => {
        if (!wasHeld && retryMax > 0 && attempts >= retryMax) onGivenUp?.(`no server was reached in ${attempts} attempts: ${reason}`)
      },
      onState: (state, reason) => {
        if (state === 'held') this.log.info({ node: identity.name }, 'agent: joined the control plane')
        else if (state === 'refused') this.log.error({ node: identity.name }, `agent: the control plane refuses this node: ${reason}`)
        else this.log.warn({ node: identity.name }, `agent: no server: ${reason}`)
      },
    })
    this.lease = lease
    return lease
  }

  private async serveGrpc(): Promise<void> {
    const { grpcAddr, grpcTls, serverTls } = this.options
    if (grpcAddr === undefined) return
    const relay = new GrpcRelay({
      target: () => this.grpcTarget,
      tls: grpcTls ?? serverTls,
      onProblem: reason => this.log.warn({}, `grpc: ${reason}`),
    })
    this.cleanups.push(() => relay.close())
    this.grpcListening = await relay.listen(grpcAddr).catch((error: Error) => {
      throw new Error(`-grpc-port ${formatAddress(grpcAddr)}: ${bindReason(error)}`)
    })
  }

  private async serveDns(link: ServerLink, tokens: AgentTokens): Promise<void> {
    const { dns } = this.options
    if (dns === undefined) return
    const server = new DnsServer({
      // Every name is the control plane's.
      answers: { answer: () => undefined, soa: name => ({ type: 6, name, ttl: 0, mname: '', rname: '', serial: 0, minimum: 0 }) },
      recursors: new ForwardedDns(link, new Recursors(dns.recursors ?? []), () => tokens.get('dns')),
      rights: () => undefined,
      onProblem: reason => this.log.warn({}, `dns: ${reason}`),
    })
    this.cleanups.push(() => server.close())
    this.dnsListening = await server.listen(dns.address).catch(async (error: Error) => {
      const reason = `-dns-port ${formatAddress(dns.address)}: ${bindReason(error)}`
      if (dns.isDefault !== true) throw new Error(reason)
      await server.close()
      this.log.warn({}, `${reason}; DNS is not served`)
      return undefined
    })
  }

  private async openStore(): Promise<Store> {
    const { dataDir } = this.options
    if (dataDir === undefined) return new MemoryStore()
    return JournalStore.open(dataDir, {
      acceptLoss: false,
      onNotice: text => this.log.warn({ dataDir }, text),
      onProblem: reason => this.log.error({ dataDir }, reason),
    })
  }
}

/** What is registered here goes over what the control plane has merged of it. */
function withMerged(instance: CatalogInstance, merged: MergedProxy | undefined): CatalogInstance {
  const { Proxy: proxy } = instance
  if (proxy === undefined || merged === undefined) return instance
  const Paths = proxy.Expose?.Paths?.length ? proxy.Expose.Paths : merged.Expose?.Paths
  const Checks = proxy.Expose?.Checks === true || merged.Expose?.Checks === true
  return { ...instance, Proxy: { ...proxy, Config: { ...merged.Config, ...proxy.Config }, Expose: { Checks, ...(Paths && { Paths }) } } }
}

/** The first address of this machine that others may reach. */
function firstAddress(): string {
  for (const addresses of Object.values(networkInterfaces()))
    for (const { family, internal, address } of addresses ?? []) if (family === 'IPv4' && !internal) return address
  return '127.0.0.1'
}

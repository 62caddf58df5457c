// The control plane as one object: store, CA, catalog, config entries, health checks, snapshots, ADS server and HTTP API, wired.
// Made by the command line and by tests. Who tells whom:
//
//   HTTP API, mesh file, health checks -> Catalog, ConfigEntryTable -> SnapshotPublisher -> AdsServer -> sidecars
//   CertificateAuthority -> LeafCertificates -> SnapshotPublisher          all changes -> TopicIndexes -> blocking queries
//
// Invariant: an address other than loopback is served only with a token (gRPC: or TLS), because whoever names a proxy there receives
// its private key.
import { hostname } from 'node:os'
import { decodeCaConfig } from '../mtls/ca/config.js'
import { StateSeal } from '../mtls/ca/store.js'
import { Access } from './acl/access.js'
import { AclSystem } from './acl/acl-system.js'
import { type Authorizer, SharedTokens } from './acl/authorizer.js'
import { AgentLeases } from './agents/agent-leases.js'
import { AuditLog, type AuditOutcome } from './audit/audit-log.js'
import { openBackups } from './backup/open-backups.js'
import { Catalog } from './catalog/catalog.js'
import { exposeByEntries } from './catalog/exposed-checks.js'
import { HealthChecks } from './catalog/health-checks.js'
import { portRanges } from './catalog/port-ranges.js'
import { BundleSettling } from './certificates/bundle-settling.js'
import { LeafCertificates } from './certificates/leaf-certificates.js'
import { openAuthority } from './certificates/open-authority.js'
import { followChanges } from './change-topics.js'
import type { IntentionAction } from './config-entries/types.js'
import { ConfigEntryTable } from './config-entry-table.js'
import { CONSUL_VERSION } from './consul-version.js'
import { ControlMetrics } from './control-metrics.js'
import type { Configured, ControlPlaneOptions } from './control-plane-options.js'
import { openCoordination } from './coordination.js'
import { type ApplyReport, applyOnce } from './declared-items.js'
import { isHttpLike, serviceProtocol } from './discovery-chain/service-protocol.js'
import { dnsDomains } from './dns/dns-domains.js'
import { queryInstances } from './dns/query-instances.js'
import { type RunningDns, startDns } from './dns/start-dns.js'
import { EntryLinks, ingressDnsSans } from './gateways/gateway-links.js'
import type { ResolveDns } from './grpc/dns-service.js'
import { type GrpcPort, openGrpcPort } from './grpc/grpc-port.js'
import { BlockingQueries } from './http-api/blocking-queries.js'
import type { NodeInfo } from './http-api/context.js'
import { areLoopback, formatAddress, hostForOthers, type ListenOptions, planListeners, reachableHost } from './http-api/listen-addresses.js'
import { type HttpListeners, listenHttp } from './http-api/listen-http.js'
import { buildHttpApi } from './http-api/server.js'
import { ownNode } from './http-api/shapes.js'
import { LocalFiles } from './local-files.js'
import { type ControlLogger, LogFeed } from './log-feed.js'
import { openStore } from './open-store.js'
import { ExportedServices } from './peering/exported-services.js'
import { PeeringTable } from './peering/peering-table.js'
import { peeringServerName } from './peering/peering-token.js'
import { wirePeerings } from './peering/wire-peerings.js'
import { PortTls, type PortTlsSettings, type TlsPort } from './port-tls.js'
import { type ProxyServing, serveProxies } from './proxy-serving.js'
import { Replicas } from './replicas/replicas.js'
import { openRollouts } from './rollouts/open-rollouts.js'
import { GatewayCertificates } from './secrets/gateway-certificates.js'
import { openVault, readKey } from './secrets/open-vault.js'
import { serverNode } from './server-node.js'
import { WriteCheck } from './snapshot/check-write.js'
import { PROXY_KINDS } from './snapshot/kinds/proxy-kinds.js'
import { ResourceErrors } from './snapshot/resource-errors.js'
import { FederationTable } from './spiffe/federation-table.js'
import { Federations } from './spiffe/federations.js'
import { openBundleEndpoint } from './spiffe/open-bundle-endpoint.js'
import { type BundleEndpoint, OwnBundle } from './spiffe/own-bundle.js'
import { TopicIndexes } from './store/topic-indexes.js'
import { ObservedTraffic } from './traffic/observed-traffic.js'
import { PrometheusHistory } from './traffic/prometheus-history.js'

export type { Configured, ControlPlaneOptions }
/** For a launcher that reads the CA's settings from a file: the option `ca`. */
export { decodeCaConfig }

const silent: ControlLogger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

export class ControlPlane {
  private readonly options: ControlPlaneOptions
  private readonly log: LogFeed
  private files: LocalFiles | undefined
  private readonly cleanups: (() => Promise<void> | void)[] = []
  private readonly authorizer: Authorizer
  private readonly audit = new AuditLog()
  private defaultPolicy: IntentionAction
  private settling: BundleSettling | undefined
  private httpListening: HttpListeners | undefined
  private grpcListening: GrpcPort | undefined
  private portTls: PortTls | undefined
  private warmUpChecks: (() => Promise<void>) | undefined
  private applyItems: ((items: Parameters<typeof applyOnce>[0]) => Promise<ApplyReport>) | undefined
  private dns: RunningDns | undefined
  private bundleEndpoint: BundleEndpoint | undefined

  constructor(options: ControlPlaneOptions) {
    this.options = options
    this.log = new LogFeed(options.log ?? silent)
    this.authorizer = new SharedTokens({ http: options.httpToken, xds: options.grpcToken })
    this.defaultPolicy = options.defaultIntentionPolicy ?? 'deny'
  }

  /** `host:port` as bound; only after `start`. */
  get httpAddress(): string {
    return formatAddress(this.httpListening?.http)
  }

  /** '' when the API is not served over TLS. */
  get httpsAddress(): string {
    return formatAddress(this.httpListening?.https)
  }

  /** Where there is no address in clear text, the one over TLS. */
  get grpcAddress(): string {
    return formatAddress(this.grpcListening?.plain ?? this.grpcListening?.tls)
  }

  /** '' when gRPC is not served over TLS. */
  get grpcTlsAddress(): string {
    return formatAddress(this.grpcListening?.tls)
  }

  /** '' when the bundle has no endpoint of its own. */
  get spiffeBundleAddress(): string {
    return formatAddress(this.bundleEndpoint?.address)
  }

  /** '' when no DNS is served. */
  get dnsAddress(): string {
    return formatAddress(this.dns?.address)
  }

  /** Serves once it resolves. Rejects with one line that names the option, file or address at fault; nothing is left running then. */
  async start(): Promise<void> {
    try {
      await this.open()
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  private async open(): Promise<void> {
    const options = this.options
    const configured = options.configured?.() ?? {}
    const tlsSettings = (from: Configured): PortTlsSettings => from.tls ?? { https: {}, grpc: options.grpcTls ?? {} }
    const listen: ListenOptions = {
      ...options,
      httpsVerifiesClients: tlsSettings(configured).https.clientCaPem !== undefined,
      grpcVerifiesClients: tlsSettings(configured).grpc.clientCaPem !== undefined,
    }
    const plan = planListeners(listen)
    const vault = options.vault && openVault(options.vault, reason => this.log.warn({}, reason))
    this.cleanups.push(() => vault?.session.close())
    const seal =
      options.encryptionKey === undefined
        ? undefined
        : new StateSeal(await readKey(options.encryptionKey, 'the encryption key', vault?.session))
    const store = await openStore(options, vault?.session, this.log)
    this.cleanups.push(() => store.close())
    const datacenter = options.datacenter ?? 'dc1'
    const acl =
      options.acl &&
      (await AclSystem.start(store, { ...options.acl, dataDir: options.dataDir }, datacenter, reason => this.log.warn({}, reason)))
    this.cleanups.push(() => acl?.stop())
    const own = { name: options.nodeName ?? hostname(), address: options.nodeAddress ?? '127.0.0.1', locality: options.locality }
    const node: NodeInfo = { ...(await serverNode(store, own)), datacenter }
    const catalog = await Catalog.open(store, {
      node: ownNode(node),
      ...portRanges(options),
      defaultSidecarChecks: options.sidecarChecks === true,
      checkProxy: (proxy, planned) => writeCheck.ofProxy(proxy, planned ?? entries),
    })
    const { ca, stop: stopCa } = await openAuthority({
      ...{ store, seal, datacenter },
      ...(options.ca === undefined ? {} : { config: options.ca }),
      inert: options.inert === true,
      onChange: ({ kind, activeRootId }) => {
        if (kind === 'roots') this.note('ca', 'rotate', `active root ${activeRootId}`, 'certificate authority')
      },
      bundleSettled: async (_root, crossSigned) => this.settling?.settled(crossSigned),
      onProblem: reason => this.log.warn({}, reason),
    })
    this.cleanups.push(stopCa)
    const mesh = { datacenter, trustDomain: ca.trustDomain, ownDomains: dnsDomains(options.dns), defaultPolicy: () => this.defaultPolicy }
    const writeCheck: WriteCheck = new WriteCheck({ mesh, kinds: PROXY_KINDS, errors: new ResourceErrors() })
    const entries: ConfigEntryTable = await ConfigEntryTable.open(store, {
      ...mesh,
      check: (entry, before) => [...certificates.check(entry), ...writeCheck.ofEntry(entry, before)],
    })
    const certificates: GatewayCertificates = new GatewayCertificates({
      ...{ entries, store, seal, vault },
      onChange: name => publisher.entryChanged('inline-certificate', name),
      onProblem: reason => this.log.warn({}, reason),
    })
    entries.onChange(({ kind }) => {
      if (kind === 'inline-certificate') certificates.entriesChanged()
    })
    entries.onChange(() => writeCheck.entriesChanged())
    this.warmUpChecks = () => writeCheck.warmUp(entries)
    const links = new EntryLinks(entries, catalog)
    catalog.linkGateways(links)
    const indexes = new TopicIndexes(store.index)
    const replicas = new Replicas(store, {
      id: store.isShared ? store.notes.replica : node.id,
      name: own.name,
      address: own.address,
      grpcAddress: hostForOthers((plan.grpcTls ?? plan.grpc)?.host ?? '', own.address),
      version: CONSUL_VERSION,
      ...(options.locality && { locality: options.locality }),
    })
    const leaves = new LeafCertificates({
      ca,
      store,
      seal,
      datacenter,
      replicas,
      isWanted: service =>
        catalog.instancesOf(service).length + catalog.connectInstancesOf(service).length > 0 ||
        publisher.needsLeaf(service) ||
        indexes.isWatched(`leaf:${service}`),
      dnsSans: service => ingressDnsSans(entries.get('ingress-gateway', service), datacenter, mesh.ownDomains),
      onEnd: service => indexes.remove(`leaf:${service}`, store.index),
      onLeaf: leaf => {
        metrics.leavesIssued.inc()
        indexes.bump(`leaf:${leaf.service}`, leaf.modifyIndex)
        publisher.leafChanged(leaf.service)
      },
      onProblem: (service, reason) => this.log.warn({ service }, `leaf certificate: ${reason}`),
    })
    await leaves.start()
    this.cleanups.push(() => leaves.stop())
    const metrics: ControlMetrics = new ControlMetrics({
      instances: () => catalog.size,
      proxies: () => catalog.proxyCount,
      connectedProxies: () => ads.counts().connected,
      syncedProxies: () => ads.counts().synced,
      configEntries: () => entries.size,
      activeRollouts: () => rollouts.table.active,
      storeIndex: () => store.index,
      firstLeafExpirySeconds: () => leaves.firstExpirySeconds(),
      rootExpirySeconds: () => (ca.expiries().rootMs - Date.now()) / 1_000,
      intermediateExpirySeconds: () => (ca.expiries().intermediateMs - Date.now()) / 1_000,
    })
    const peeringTable = await PeeringTable.open(store, catalog.virtualIps)
    const federationTable = await FederationTable.open(store)
    const exports = new ExportedServices({ catalog, entries, datacenter, trustDomain: ca.trustDomain })
    const { ads, accept, publisher, planned, balance }: ProxyServing = serveProxies({
      ...{ catalog, certificates, leaves, ca, store, peeringTable, federationTable, replicas, metrics, acl, datacenter },
      authorizer: this.authorizer,
      defaultPolicy: () => this.defaultPolicy,
      peeringAddress: () => {
        const tls = plan.grpcTls && (this.grpcListening?.tls ?? plan.grpcTls)
        return tls && { host: hostForOthers(tls.host, own.address), port: tls.port }
      },
      onSynced: nodeKey => healthChecks.proxySynced(nodeKey),
      log: this.log,
    })
    const federations = new Federations({
      table: federationTable,
      leases: store.leases,
      trustDomain: ca.trustDomain,
      peers: () => peeringTable.list().map(({ Name, bundle }) => ({ name: Name, trustDomain: bundle?.trustDomain })),
      onProblem: (federation, reason) => this.log.warn({ federation }, `federation: ${reason}`),
      onNotice: (federation, what) => this.log.info({ federation }, `federation: ${what}`),
    })
    const healthChecks: HealthChecks = new HealthChecks(catalog, {
      store,
      onDeregister: (service, check) => {
        this.log.warn({ service, check }, 'deregistered: critical for too long')
        this.note('services', 'remove', `${service}: ${check} was critical for too long`, 'health checks')
      },
      onProblem: (check, reason) => this.log.error({ check }, `check: ${reason}`),
    })
    const peerings = wirePeerings({
      ...{
        table: peeringTable,
        exports,
        catalog,
        entries,
        ca,
        seal,
        datacenter,
        address: own.address,
        leases: store.leases,
        notes: store.notes,
      },
      grpcTls: () => this.grpcListening?.tls,
      refusesPeers: () => this.portTls?.refusesPeers === true,
      federations: federationTable,
      log: this.log,
    })
    followChanges({ catalog, entries, links, ca, leaves, indexes, publisher, store, peeringTable, peerings, exports, federationTable })

    const targets = { store, catalog, entries }
    this.applyItems = items => applyOnce(items, targets)
    const files = new LocalFiles({
      targets: { ...targets, scripts: options.localScriptChecks === true },
      meshFile: options.meshFile,
      configured: options.configured,
      ca,
      acl,
      portTls: () => this.portTls,
      defaultPolicy: () => this.defaultPolicy,
      setDefaultPolicy: policy => {
        if (policy === this.defaultPolicy) return
        this.defaultPolicy = policy
        publisher.allChanged()
      },
      note: (subject, outcome) => this.note('config', 'reload', subject, 'mesh file', outcome),
      onMeshFileErrors: count => metrics.meshFileErrors.inc(count),
      log: this.log,
    })
    this.files = files
    this.cleanups.push(() => files.close())
    await files.open(configured.definitions)
    acl?.table.onChange(() => ads.reauthorize())
    // A stream is served under the node that it names once that is registered.
    catalog.onChange(({ nodes }) => ads.reauthorize(nodes))
    await certificates.start()
    this.cleanups.push(() => certificates.stop())
    publisher.start()
    this.cleanups.push(() => publisher.stop())
    const exposedChecks = exposeByEntries(catalog, entries, { ...portRanges(options), onProblem: reason => this.log.warn({}, reason) })
    this.cleanups.push(() => exposedChecks.stop())
    if (options.inert !== true) for (const checks of [exposedChecks, healthChecks]) checks.start()
    this.cleanups.push(() => healthChecks.stop())

    const resolveDns: ResolveDns = async (message, tcp, rights) => this.dns?.resolve(message, tcp, rights)
    const servedOverTls: TlsPort[] = [...(plan.https ? (['https'] as const) : []), ...(plan.grpcTls ? (['grpc'] as const) : [])]
    const portTls = await PortTls.open({
      ports: servedOverTls,
      read: () => tlsSettings(options.configured?.() ?? {}),
      ca,
      datacenter,
      domain: options.dns?.domain ?? 'consul',
      nodeName: own.name,
      peeringName: peeringServerName(datacenter, ca.trustDomain),
      addresses: [own.address, ...[plan.https, plan.grpcTls].map(address => address?.host ?? '')],
      onProblem: reason => this.log.warn({}, reason),
    })
    this.portTls = portTls
    this.cleanups.push(() => portTls.stop())
    const traffic = new ObservedTraffic({
      ...(options.loadReportIntervalMs === undefined ? {} : { intervalMs: options.loadReportIntervalMs }),
      onFull: () => this.log.warn({}, 'observed traffic: no more edges and instances are kept than there are'),
    })
    balance.start()
    this.cleanups.push(() => balance.stop())
    const grpcSecure = plan.grpcTls && portTls.secureOptions('grpc')
    const grpcPort = await openGrpcPort(
      { plain: plan.grpc, tls: plan.grpcTls, secure: grpcSecure },
      {
        ads,
        acl,
        authorizer: this.authorizer,
        catalog,
        entries,
        datacenter,
        servers: () => replicas.servers(),
        onServersChange: listener => replicas.onChange(listener),
        resolveDns,
        peerings,
        loadReports: {
          traffic,
          trustDomain: ca.trustDomain,
          accept,
          proxy: key => catalog.instanceByKey(key),
          isTcp: service => !isHttpLike(serviceProtocol(entries, service)),
        },
        onProblem: reason => this.log.warn({}, `grpc: ${reason}`),
      },
    )
    this.grpcListening = grpcPort
    replicas.start({ grpcPort: grpcPort.plain?.port ?? -1, grpcTlsPort: grpcPort.tls?.port ?? -1 })
    this.cleanups.push(() => replicas.stop())
    if (options.inert !== true) {
      federations.start()
      await peerings.start()
    }
    this.cleanups.push(() => federations.stop())
    this.cleanups.push(() => peerings.stop())
    portTls.onChange('grpc', secure => grpcPort.replaceCertificate(secure))
    this.cleanups.push(() => grpcPort.close())
    const coordination = await openCoordination({ store, catalog, onProblem: reason => this.log.error({}, reason) })
    this.cleanups.push(() => coordination.sessions.stop())
    const agents = await AgentLeases.open({
      store,
      catalog,
      ...options.agents,
      onProblem: reason => this.log.error({}, `agents: ${reason}`),
      onNotice: (agent, what) => {
        this.log.info({ agent }, `agent of another machine: ${what}`)
        this.note('services', 'agent', `${agent}: ${what}`, 'agent leases')
      },
    })
    this.cleanups.push(() => agents.stop())
    if (options.inert === true) {
      agents.stop()
      coordination.sessions.stop()
    }
    const rollouts = await openRollouts({
      store,
      catalog,
      entries,
      publisher,
      ads,
      traffic,
      metrics,
      webhookSecretFile: options.webhookSecretFile,
      vault: vault?.session,
      onProblem: reason => this.log.error({}, reason),
    })
    if (options.inert !== true) rollouts.engine.start()
    this.cleanups.push(() => rollouts.engine.stop())
    const backups =
      options.backups &&
      (await openBackups(options.backups, vault?.session, {
        store,
        datacenter,
        trustDomain: ca.trustDomain,
        log: this.log,
        onMade: () => metrics.backupsMade.inc(),
        onFailure: () => metrics.backupFailures.inc(),
      }))
    if (backups !== undefined) {
      metrics.followBackups(() => backups.status)
      backups.start()
      this.cleanups.push(() => backups.stop())
    }
    const blocking = new BlockingQueries()
    const ownBundle = new OwnBundle(ca, store)
    if (options.spiffeBundleAddr !== undefined && options.inert !== true) {
      const endpoint = await openBundleEndpoint(options.spiffeBundleAddr, ownBundle, {
        ca,
        datacenter,
        domain: options.dns?.domain ?? 'consul',
        nodeName: node.name,
        addresses: [node.address],
        onProblem: reason => this.log.warn({}, reason),
      })
      this.bundleEndpoint = endpoint
      this.cleanups.push(() => endpoint.close())
    }
    const api = buildHttpApi({
      store,
      catalog,
      entries,
      resolvedEntries: certificates.index,
      ca,
      leaves,
      publisher,
      plannedChanges: planned,
      ads,
      traffic,
      healthChecks,
      indexes,
      blocking,
      ...coordination,
      peerings,
      peeringTable,
      federations,
      federationTable,
      ownBundle,
      exports,
      logs: this.log,
      httpConfig: options.httpConfig ?? {},
      scriptsByApi: options.scriptChecksByApi === true && options.acl?.defaultPolicy === 'deny',
      reload: () => this.reload(),
      leave: options.onLeave,
      caFilesByApi: options.caFilesByApi ?? false,
      metrics,
      node,
      version: options.version ?? '0.0.0',
      authorizer: this.authorizer,
      acl,
      agents,
      rollouts,
      backups,
      replicas,
      audit: this.audit,
      consoleFolder: options.consoleFolder,
      history: options.prometheus === undefined ? undefined : new PrometheusHistory(options.prometheus, Date.now),
      resolveDns,
      dnsAddress: () => this.dns?.address,
      tokenRequired: options.httpToken !== undefined || options.acl?.defaultPolicy === 'deny',
      loopbackOnly: areLoopback([plan.http, plan.https]),
      defaultPolicy: () => this.defaultPolicy,
      grpc: () => {
        const address = grpcPort.tls ?? grpcPort.plain
        return {
          host: reachableHost(address?.host ?? ''),
          port: address?.port ?? -1,
          others: replicas.reachable(grpcPort.tls !== undefined),
          plainPort: grpcPort.plain?.port ?? -1,
          tlsPort: grpcPort.tls?.port ?? -1,
          caPem: grpcPort.tls === undefined ? undefined : portTls.caPem('grpc'),
          // Whoever asks has shown the token of the HTTP API; without one there, anybody may ask.
          sidecarToken: options.httpToken === undefined ? undefined : options.grpcToken,
          token: options.grpcToken,
        }
      },
    })
    this.cleanups.push(async () => {
      blocking.close()
      await api.close()
    })
    const settling = new BundleSettling(catalog, publisher, ads)
    this.settling = settling
    if (options.dns !== undefined) {
      this.dns = await startDns(options.dns, {
        catalog,
        datacenter,
        executeQuery: (name, directory) => queryInstances({ queries: coordination.queries, catalog, peers: peeringTable }, name, directory),
        peers: peeringTable,
        virtualIp: (service, peer) => (peer === undefined ? catalog.virtualIps.of(service) : peeringTable.virtualIp(peer, service)),
        rights: () => {
          if (acl === undefined) return undefined
          const token = acl.resolve(acl.agentTokens.get('dns'))
          return token === undefined ? 'refused' : new Access(token)
        },
        onProblem: reason => this.log.warn({}, `dns: ${reason}`),
      })
      this.cleanups.push(() => this.dns?.close())
    }
    const httpsSecure = plan.https && portTls.secureOptions('https')
    const listening = await listenHttp(api, { http: plan.http, https: plan.https, secure: httpsSecure })
    portTls.onChange('https', secure => listening.replaceCertificate(secure))
    this.httpListening = listening
    this.log.info({ http: this.httpAddress, grpc: this.grpcAddress, trustDomain: ca.trustDomain }, 'control plane ready')
  }

  /** What a process that goes on for long does once it serves, so that its first client does not wait for it; only after `start`. */
  async warmUp(): Promise<void> {
    await this.warmUpChecks!()
  }

  /** Stops serving and closes the store; safe to call more than once. */
  async stop(): Promise<void> {
    this.settling?.stop()
    for (const cleanup of this.cleanups.splice(0).reverse()) await cleanup()
  }

  /** Services and config entries as one change, whole or not at all; only after `start`. */
  apply(items: Parameters<typeof applyOnce>[0]): Promise<ApplyReport> {
    return this.applyItems!(items)
  }

  /** `LocalFiles.reload`. */
  async reload(): Promise<string | undefined> {
    return this.files?.reload()
  }

  /** What nobody asked for by the API. */
  private note(area: string, action: string, subject: string, by: string, outcome: AuditOutcome = 'done'): void {
    this.audit.add({ area, action, subject, outcome, by, byName: '', from: '' })
  }
}

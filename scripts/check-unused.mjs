// Written and never called: members of classes, and exports, that nothing in src/ reads. Tests are no readers: what only they use is dead
// weight that looks alive. Part of `npm test`; prints each and exits 1. A member is also read by way of a base class or an interface that
// its class fits, ours or the runtime's.
import { SyntaxKind } from 'typescript/unstable/ast'
import { MEMBERS, sourceGraph } from './source-graph.mjs'

/** Today's offenders; the list may only shrink. One that is read by now, or gone, fails too: take its line out. */
const STILL_UNUSED = new Set([
  'xds/server/server.ts: AdsServer.attach',
  'xds/server/server.ts: adsServerChannelOptions',
  'control/grpc/grpc-call.ts: GrpcCall.closed',
  'upstream/dns/dns-resolver.ts: DnsResolver.close',
  'control/acl/rule-index.ts: RuleIndex.allowsAny',
  'control/discovery-chain/names.ts: gatewaySni',
  'control/discovery-chain/names.ts: peeredClusterName',
  'control/discovery-chain/names.ts: peeredServiceSni',
  'control/discovery-chain/names.ts: querySni',
  'control/snapshot/snapshot-publisher.ts: SnapshotPublisher.size',
  'l7/codec/http1/client-stream.ts: Http1ClientStream.id',
  'l7/codec/http1/server-stream.ts: Http1ServerStream.id',
  'l7/codec/http2/hpack-decoder.ts: HpackDecoder.tableSize',
  'l7/codec/http2/hpack-encoder.ts: HpackEncoder.tableSize',
  'l7/codec/tunnel-client-codec.ts: TunnelClientCodec.id',
  'l7/log/access-log-sink.ts: AccessLogSink.written',
  'l7/log/access-log-sink.ts: LogSinks.dropped',
  'l7/server/downstream-connection.ts: DownstreamConnection.activeRequests',
  'l7/stream/stream-info.ts: StreamInfo.originalPath',
  'metrics/prometheus.ts: PrometheusExposition.merged',
  'metrics/prometheus.ts: PrometheusExposition.text',
  'metrics/prometheus.ts: registerSelfMetrics',
  'metrics/stat-names.ts: ClusterStats.canaryCodes',
  'metrics/stat-names.ts: ClusterStats.rqCode',
  'metrics/stats-store.ts: StatsStore.gauge',
  'metrics/stats-store.ts: StatsStore.group',
  'metrics/stats-store.ts: StatsStore.histogram',
  'metrics/stats-store.ts: StatsStore.textReadout',
  'mtls/ca/authority.ts: CertificateAuthority.checkFiles',
  'mtls/ca/file-store.ts: FileCaStore',
  'mtls/ca/store.ts: MemoryCaStore',
  'mtls/spiffe.ts: meshGatewaySpiffeId',
  'mtls/tls/session-cache.ts: SessionCache.size',
  'upstream/balance/edf-scheduler.ts: EdfScheduler.size',
  'upstream/balance/hash-load-balancer.ts: HashLoadBalancer.finish',
  'upstream/cluster/cluster-registry.ts: ClusterRegistry.onHealthChange',
  'upstream/cluster/cluster.ts: UpstreamCluster.warm',
  'upstream/health/health-check-transport.ts: plainHealthCheckDial',
  'upstream/host/outlier-monitor.ts: SuccessRate.shown',
  'xds/client/client.ts: AdsClient.stats',
  'xds/client/client.ts: AdsClient.versions',
  'xds/server/delta-type-state.ts: DeltaTypeState.lastNonce',
  'xds/server/server.ts: AdsServer.disconnect',
])

/** What is read from outside of src/: by bin/, by a script, or by the test that compares the table of fields with the descriptors. */
const READ_ELSEWHERE = new Set([
  'cli/outrigger-main.ts: outriggerMain',
  'cli/proxy-main.ts: proxyMain',
  'xds/resources/field-support.ts: renderCompatibilityPages',
  'xds/resources/field-support.ts: supportTable',
  'xds/resources/message-check.ts: reachableMessages',
  'xds/resources/schemas.ts: knownSchemas',
])

const { api, checker, sources, directReads, readsOf } = sourceGraph()

const isStatic = node => node.modifiers?.some(modifier => modifier.kind === SyntaxKind.StaticKeyword) === true

/** Called by the runtime: a base class or interface that is not ours has it. */
function isForeign({ parent, name }) {
  const bases = parent.heritageClauses?.flatMap(clause => clause.types.map(type => checker.getTypeAtLocation(type))) ?? []
  return bases.some(
    base => base !== undefined && checker.getPropertyOfType(base, name.text)?.declarations.some(at => at.path.includes('/node_modules/')),
  )
}

const offenders = new Set()
for (const { file, source } of sources) {
  const visit = node => {
    if (MEMBERS.has(node.kind) && node.parent.kind === SyntaxKind.ClassDeclaration) {
      const used = isStatic(node) ? directReads(node) : readsOf(node)
      if (used.length === 0 && !isForeign(node)) offenders.add(`${file}: ${node.parent.name.text}.${node.name.text}`)
    }
    node.forEachChild(visit)
  }
  visit(source)
}
for (const { file, source } of sources) {
  source.forEachChild(node => {
    if (!node.modifiers?.some(modifier => modifier.kind === SyntaxKind.ExportKeyword)) return
    const declared = node.kind === SyntaxKind.VariableStatement ? node.declarationList.declarations : [node]
    for (const one of declared) if (directReads(one).length === 0) offenders.add(`${file}: ${one.name.text}`)
  })
}
api.close()

let bad = 0
for (const offender of offenders) {
  if (READ_ELSEWHERE.has(offender) || STILL_UNUSED.has(offender)) continue
  bad++
  console.error(`src/${offender} is read by nothing in src/`)
}
for (const line of STILL_UNUSED) {
  if (offenders.has(line)) continue
  bad++
  console.error(`scripts/check-unused.mjs: mended, take it out of STILL_UNUSED: ${line}`)
}
if (bad > 0) process.exit(1)
console.log('unused members and exports: none')

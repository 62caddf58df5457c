// The control plane's metrics as a Consul agent shows them: under Consul's names, so that its dashboards find them, beside our own.
// Called by `/v1/agent/metrics` and its stream.
import type { ApiContext } from './context.js'

interface MetricsSummary {
  readonly Timestamp: string
  readonly Gauges: readonly { readonly Name: string; readonly Value: number; readonly Labels: Readonly<Record<string, string>> }[]
  readonly Points: readonly never[]
  readonly Counters: readonly object[]
  readonly Samples: readonly object[]
}

/** Consul's gauges that have a meaning here: name, help, value. */
function consulGauges(context: ApiContext): readonly (readonly [string, string, number])[] {
  const { catalog, kv, sessions, queries, entries, node } = context
  void node
  return [
    ['consul.server.isLeader', 'Whether this server leads', 1],
    ['consul.autopilot.healthy', 'Whether all servers are well', 1],
    ['consul.autopilot.failure_tolerance', 'Servers that may be lost', 0],
    ['consul.members.servers', 'Servers', 1],
    ['consul.members.clients', 'Client agents', 0],
    ['consul.state.nodes', 'Nodes in the catalog', catalog.nodeCount],
    ['consul.state.services', 'Service names in the catalog', [...catalog.serviceNames()].length],
    ['consul.state.service_instances', 'Service instances in the catalog', catalog.size],
    ['consul.state.kv_entries', 'Pairs in the key/value store', kv.size],
    ['consul.state.config_entries', 'Config entries', entries.size],
    ['consul.state.connect_instances', 'Sidecars in the catalog', catalog.proxyCount],
    ['consul.session_ttl.active', 'Sessions', sessions.size],
    ['consul.prepared_queries', 'Prepared queries', queries.list().length],
    ['consul.xds.server.streams', 'Open xDS streams', context.ads.counts().connected],
    ['consul.mesh.active-root-ca.expiry', 'Seconds until the root ends', (context.ca.expiries().rootMs - Date.now()) / 1_000],
    [
      'consul.mesh.active-signing-ca.expiry',
      'Seconds until the intermediate ends',
      (context.ca.expiries().intermediateMs - Date.now()) / 1_000,
    ],
    ['consul.rpc.queries_blocking', 'Blocking queries that wait', context.blocking.waiting],
    ['consul.runtime.alloc_bytes', 'Heap in use', process.memoryUsage().heapUsed],
    ['consul.runtime.sys_bytes', 'Memory of the process', process.memoryUsage().rss],
  ]
}

interface LabelledGauge {
  readonly name: string
  readonly help: string
  readonly value: number
  readonly labels: Readonly<Record<string, string>>
}

/** One of each for every peering. A peering is healthy while its stream is open. */
function peeringGauges({ peerings, exports }: ApiContext): LabelledGauge[] {
  const all = peerings.list().map(({ peering: { Name, ID }, state, session }) => ({
    labels: { peer_name: Name, peer_id: ID },
    exported: (session === undefined ? exports.names(Name) : session.exported).length,
    healthy: state === 'ACTIVE' ? 1 : 0,
  }))
  const gauge = (name: string, help: string, value: 'exported' | 'healthy'): LabelledGauge[] =>
    all.map(each => ({ name, help, value: each[value], labels: each.labels }))
  return [
    ...gauge('consul.peering.exported_services', 'Services that are exported to the peer', 'exported'),
    ...gauge('consul.peering.healthy', 'Whether the stream of the peering is open (1) or not (0)', 'healthy'),
  ]
}

export async function agentMetrics(context: ApiContext): Promise<MetricsSummary> {
  const own = await context.metrics.registry.getMetricsAsJSON()
  const values = own.flatMap(metric =>
    metric.values.slice(0, 1).map(({ value }) => ({ Name: metric.name, Value: Number(value), Labels: {} })),
  )
  return {
    Timestamp: `${new Date().toISOString().slice(0, 19).replace('T', ' ')} +0000 UTC`,
    Gauges: [
      ...consulGauges(context).map(([Name, , Value]) => ({ Name, Value, Labels: {} })),
      ...peeringGauges(context).map(({ name, value, labels }) => ({ Name: name, Value: value, Labels: labels })),
      ...values,
    ],
    Points: [],
    Counters: [],
    Samples: [],
  }
}

export async function agentMetricsText(context: ApiContext): Promise<string> {
  const consul = consulGauges(context).map(([name, help, value]) => `${head(name, help)}${promName(name)} ${value}\n`)
  const told = new Set<string>()
  const ofPeerings = peeringGauges(context).map(({ name, help, value, labels }) => {
    const pairs = Object.entries(labels).map(([label, text]) => `${label}=${JSON.stringify(text)}`)
    const line = `${promName(name)}{${pairs.join(',')}} ${value}\n`
    if (told.has(name)) return line
    told.add(name)
    return head(name, help) + line
  })
  return `${await context.metrics.registry.metrics()}${consul.join('')}${ofPeerings.join('')}`
}

const promName = (name: string): string => name.replace(/[.-]/g, '_')
const head = (name: string, help: string): string => `# HELP ${promName(name)} ${help}\n# TYPE ${promName(name)} gauge\n`

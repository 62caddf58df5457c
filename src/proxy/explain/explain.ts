// "Where would this go?": an imagined client meets the listeners that serve now. Their own matcher chooses the filter chain, their own network
// filters decide, and l7/explain takes it from there. Called by the admin (POST /explain) and by an embedding program. Invariant: the running
// objects are asked and never changed.

import { HeaderList } from '../../l7/codec/header-list.js'
import { explainCluster } from '../../l7/explain/explain-cluster.js'
import { explainRequest } from '../../l7/explain/explain-request.js'
import type { ExplainedChain, ExplainedCluster, ExplainedFilter, ExplainedListener, Explanation } from '../../l7/explain/explanation.js'
import type { ConnectionInfo } from '../../l7/stream/connection-info.js'
import { type Address, formatAddress } from '../../model/address.js'
import type { FilterChain } from '../../model/listener.js'
import type { ActiveListener } from '../listener/active-listener.js'
import type { ChainMatchInput } from '../listener/chain-match-input.js'
import type { ChainRuntime } from '../listener/chain-runtime.js'
import type { Server } from '../server.js'
import type { ExplainQuestion } from './explain-query.js'
import { imaginedTls, sourceIdentity } from './imagined-client.js'

/** Listeners that one answer shows. */
const MAX_LISTENERS = 100

type Unlisted = Pick<ExplainedListener, 'listener' | 'address' | 'direction'>

export async function explain(server: Server, question: ExplainQuestion): Promise<Explanation> {
  const asked = server.listeners.active.filter(listener => isAsked(listener, question))
  const listeners: ExplainedListener[] = []
  for (const listener of asked.slice(0, MAX_LISTENERS)) listeners.push(await explainListener(server, listener, question))
  const { method, host, path, source } = question
  return {
    request: { method, host, path, source },
    listeners,
    ...(asked.length > MAX_LISTENERS ? { listeners_left_out: asked.length - MAX_LISTENERS } : {}),
  }
}

function isAsked({ version, addresses }: ActiveListener, { listener, port }: ExplainQuestion): boolean {
  if (listener !== '' && version.name !== listener) return false
  return port === null || addresses.some(address => address.kind === 'socket' && address.port === port)
}

async function explainListener(server: Server, listener: ActiveListener, question: ExplainQuestion): Promise<ExplainedListener> {
  const { version, addresses } = listener
  const address = addresses[0]!
  const { name, model, matcher } = version
  const unlisted: Unlisted = { listener: name, address: formatAddress(address), direction: model.trafficDirection }
  const chains = [...model.filterChains, ...(model.defaultFilterChain === null ? [] : [model.defaultFilterChain])]
  // A client speaks TLS where it says a name or shows a certificate, and where it could not speak anything else.
  const secure = question.sni !== '' || question.source !== '' || chains.every(chain => chain.tls !== null)
  const input = matchInput(address, question, secure, model.tlsInspector)
  const chain = matcher.find(input)
  if (chain === null) return closed(unlisted, null, [], 'closed: no filter chain matches')
  const shown = { name: chain.model.name, tls: chain.tls !== null, match: describeChain(chain.model) }
  const handshake = handshakeRefusal(chain, question)
  if (handshake !== '') return closed(unlisted, shown, [], handshake)
  const connection = imaginedConnection(listener, chain, input, question)
  const filters = chain.preFilters.map((filter): ExplainedFilter => {
    const answer = filter.explain?.(connection)
    if (answer === undefined) return { name: filter.name, verdict: 'unknown', reason: 'it decides when a connection comes' }
    return {
      name: filter.name,
      verdict: answer.allowed ? 'passes' : 'denies',
      reason: answer.reason,
      ...(answer.rule === '' ? {} : { rule: answer.rule }),
    }
  })
  const denied = filters.find(({ verdict }) => verdict === 'denies')
  if (denied !== undefined) return closed(unlisted, shown, filters, `closed by ${denied.name}: ${denied.reason}`)
  const { terminal } = chain
  const common = { ...unlisted, filter_chain: shown, network_filters: filters }
  switch (terminal.kind) {
    case 'http': {
      const { method, host, path, headers } = question
      const http = await explainRequest(terminal.runtime, connection, {
        method,
        scheme: '',
        authority: host,
        path,
        version: 'HTTP/1.1',
        headers: HeaderList.of(...headers),
        upgrade: '',
        contentLength: 0,
        hostName: 'host',
        expectContinue: false,
      })
      return { ...common, http, clusters: [], outcome: http.outcome }
    }
    case 'tcp': {
      const clusters = tcpClusters(server, chain, question)
      const names = clusters.map(cluster => cluster.name).join(', ')
      return { ...common, http: null, clusters, outcome: `TCP, forwarded to ${clusters.length === 1 ? 'cluster' : 'one of'} ${names}` }
    }
    case 'directResponse':
      return { ...common, http: null, clusters: [], outcome: 'answered by the filter chain itself' }
    case 'echo':
      return { ...common, http: null, clusters: [], outcome: 'echoed' }
  }
}

function closed(listener: Unlisted, chain: ExplainedChain | null, filters: readonly ExplainedFilter[], outcome: string): ExplainedListener {
  return { ...listener, filter_chain: chain, network_filters: filters, http: null, clusters: [], outcome }
}

function matchInput(address: Address, { sourceAddress, sni }: ExplainQuestion, secure: boolean, inspected: boolean): ChainMatchInput {
  return {
    localAddress: address.kind === 'socket' ? address.host : '',
    localPort: address.kind === 'socket' ? address.port : 0,
    serverName: secure ? sni : '',
    transportProtocol: inspected ? (secure ? 'tls' : 'raw_buffer') : '',
    applicationProtocols: [],
    directSourceAddress: sourceAddress,
    sourceAddress,
    sourcePort: 0,
  }
}

/** '' = the handshake, if there is one, works. */
function handshakeRefusal({ tls }: ChainRuntime, question: ExplainQuestion): string {
  if (tls === null) return ''
  if (!tls.ready) return 'closed: the certificates of the filter chain are not there yet'
  if (sourceIdentity(tls, question.source) === null)
    return `closed: source "${question.source}" is neither a SPIFFE id nor a service of the mesh that this sidecar's certificate is from`
  if (tls.model.requireClientCertificate && question.source === '')
    return 'closed: the filter chain wants a client certificate; say whose by source'
  return ''
}

function imaginedConnection(
  { version }: ActiveListener,
  chain: ChainRuntime,
  input: ChainMatchInput,
  { source }: ExplainQuestion,
): ConnectionInfo {
  const { model } = version
  return {
    id: 0,
    listenerName: version.name,
    listenerMetadata: model.metadata,
    filterChainName: chain.model.name,
    filterChainMetadata: chain.model.metadata,
    trafficDirection: model.trafficDirection,
    localAddress: input.localAddress,
    localPort: input.localPort,
    localAddressRestored: false,
    remoteAddress: input.sourceAddress,
    remotePort: 0,
    directRemoteAddress: input.sourceAddress,
    directRemotePort: 0,
    requestedServerName: input.serverName,
    tls: chain.tls === null ? null : imaginedTls(chain.tls, input.serverName, source),
  }
}

function tcpClusters({ clusters }: Server, { model, terminal }: ChainRuntime, { sni }: ExplainQuestion): ExplainedCluster[] {
  if (terminal.kind !== 'tcp') return []
  if (sni !== '' && model.filters.some(({ kind }) => kind === 'sniCluster')) return [explainCluster(clusters, sni, 'default')]
  const { cluster, weightedClusters } = terminal.runtime.config
  if (cluster !== '') return [explainCluster(clusters, cluster, 'default')]
  const total = weightedClusters.reduce((sum, leg) => sum + leg.weight, 0)
  return weightedClusters.map(({ name, weight }) => ({ ...explainCluster(clusters, name, 'default'), weight, total_weight: total }))
}

function describeChain({ match }: FilterChain): string {
  const cidrs = (ranges: FilterChain['match']['prefixRanges']): string =>
    ranges.map(({ address, prefixLength }) => `${address}/${prefixLength}`).join(', ')
  const parts = [
    ...(match.destinationPort === null ? [] : [`destination port ${match.destinationPort}`]),
    ...(match.prefixRanges.length === 0 ? [] : [`destination ${cidrs(match.prefixRanges)}`]),
    ...(match.serverNames.length === 0 ? [] : [`server name ${match.serverNames.slice(0, 5).join(', ')}`]),
    ...(match.transportProtocol === '' ? [] : [`transport ${match.transportProtocol}`]),
    ...(match.applicationProtocols.length === 0 ? [] : [`ALPN ${match.applicationProtocols.join(', ')}`]),
    ...(match.directSourcePrefixRanges.length === 0 ? [] : [`direct source ${cidrs(match.directSourcePrefixRanges)}`]),
    ...(match.sourceType === 'ANY' ? [] : [`source type ${match.sourceType}`]),
    ...(match.sourcePrefixRanges.length === 0 ? [] : [`source ${cidrs(match.sourcePrefixRanges)}`]),
    ...(match.sourcePorts.length === 0 ? [] : [`source port ${match.sourcePorts.slice(0, 5).join(', ')}`]),
  ]
  return parts.length === 0 ? 'anything' : parts.join(', ')
}

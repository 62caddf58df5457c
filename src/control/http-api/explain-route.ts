// `/v1/outrigger/explain`: would a request from one service to another be allowed? Follows the caller's discovery chain to every service
// that the request can end at, and lets the intentions of each decide. Called by outrigger.ts.
// Beside it stands whether it finds anybody (explain-reach.ts). Invariant: `allowed` means that every target that takes requests now allows it; a failover target that would not is a warning.
import type { FastifyRequest } from 'fastify'
import { compileDiscoveryChain } from '../discovery-chain/compile.js'
import { type Destination, followChain } from '../discovery-chain/follow-chain.js'
import { isHttpLike, serviceProtocol } from '../discovery-chain/service-protocol.js'
import { type Explanation, explainIntention } from '../intentions/explain.js'
import { intentionsFor } from '../intentions/match.js'
import { intentionTable } from '../intentions/table.js'
import type { ApiContext } from './context.js'
import { explainFailoverOrder, explainLocality } from './explain-locality.js'
import { explainReach } from './explain-reach.js'
import { query, requiredQuery } from './respond.js'

interface ExplainedTarget extends Explanation {
  readonly service: string
  readonly via: readonly string[]
  readonly failover: boolean
}

export function explainRequest(context: ApiContext, request: FastifyRequest): object {
  const from = requiredQuery(request, 'from')
  const to = requiredQuery(request, 'to')
  const method = query(request, 'method')?.toUpperCase()
  const path = query(request, 'path')
  const { entries, ca, node, catalog, peeringTable } = context
  const upstream = entries.get('service-defaults', from)?.UpstreamConfig
  const override = upstream?.Overrides?.find(({ Name }) => Name === to)?.Protocol ?? upstream?.Defaults?.Protocol
  const compiled = compileDiscoveryChain({
    service: to,
    datacenter: node.datacenter,
    trustDomain: ca.trustDomain,
    entries,
    ...(override === undefined ? {} : { overrideProtocol: override }),
  })
  const common = { from, to, defaultPolicy: context.defaultPolicy() }
  if ('errors' in compiled) {
    const reason = `the discovery chain of ${to} does not compile: ${compiled.errors.map(error => error.reason).join('; ')}`
    return {
      ...common,
      protocol: serviceProtocol(entries, to),
      allowed: false,
      reason,
      precedence: [],
      targets: [],
      localities: [],
      reached: false,
      unreached: [],
      warnings: [],
    }
  }
  const { chain } = compiled
  const asked = { ...(method === undefined ? {} : { method }), ...(path === undefined ? {} : { path: path.replace(/[?#].*$/, '') }) }
  const destinations = isHttpLike(chain.Protocol) ? followChain(chain, asked) : followChain(chain, {})
  const targets = unique(destinations).map(destination => explainTarget(context, from, method, destination))
  const now = targets.filter(({ failover }) => !failover)
  const { service, via, failover: _failover, ...deciding } = now.find(({ allowed }) => !allowed) ?? now[0]!
  const led = service === to && via.length === 0 ? '' : `${via.length === 0 ? '' : `${via.join(', ')}: `}${service}: `
  const known = new Set(catalog.serviceNames())
  // A name that only routes need not be registered; what it leads to must be.
  const unregistered = [...new Set([from, ...targets.map(target => target.service)])].filter(name => !known.has(name))
  return {
    ...common,
    protocol: chain.Protocol,
    ...deciding,
    reason: led + deciding.reason,
    targets: targets.map(({ precedence: _precedence, ...target }) => target),
    localities: [
      ...new Set(destinations.flatMap(({ target }) => explainLocality(catalog, node.datacenter, from, target))),
      ...explainFailoverOrder(catalog, node.datacenter, from, chain, (peer, service) =>
        (peeringTable.imported(peer, service)?.ways ?? []).map(({ Locality }) => Locality),
      ),
    ],
    ...explainReach(catalog, node.datacenter, destinations),
    warnings: [
      ...unregistered.map(name => `service "${name}" is not registered`),
      ...targets
        .filter(({ failover, allowed }) => failover && !allowed)
        .map(target => `the failover to ${target.service} would be denied: ${target.reason}`),
    ],
  }
}

/** Each service once for each way the intentions may look at it; the first way that led there is told. */
function unique(destinations: readonly Destination[]): Destination[] {
  const seen = new Set<string>()
  return destinations.filter(({ target, path, isFailover, via }) => {
    const key = JSON.stringify([target.ID, path, isFailover, via])
    if (seen.has(key)) return false
    seen.add(key)
    return true
  })
}

function explainTarget(context: ApiContext, from: string, method: string | undefined, destination: Destination): ExplainedTarget {
  const { Service: service, Peer: peer } = destination.target
  const { path, via, isFailover } = destination
  if (peer) {
    const reason = `the intentions of peer ${JSON.stringify(peer)} decide, which are not known here`
    return { service, via: [...via, `peer ${peer}`], failover: isFailover, allowed: true, reason, precedence: [] }
  }
  const policy = { defaultAction: context.defaultPolicy(), http: isHttpLike(serviceProtocol(context.entries, service)) }
  const table = intentionTable(service, intentionsFor(context.entries, service), policy)
  const explanation = explainIntention(table, {
    source: from,
    ...(method === undefined ? {} : { method }),
    ...(path === undefined ? {} : { path }),
  })
  return { service, via, failover: isFailover, ...explanation }
}

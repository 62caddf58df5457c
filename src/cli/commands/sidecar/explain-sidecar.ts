// `outrigger explain --admin ADDR`: where a request would go from a running sidecar, as a tree or as JSON. The sidecar answers with the code
// that decides for real requests (POST /explain); here it is only printed. Called by commands/explain.ts.
import type { ExplainedCluster, ExplainedFilter, ExplainedListener, ExplainedRequest, Explanation } from '../../../sidecar/sidecar.js'
import { CliError, type CommandIo } from '../../command-line/command-io.js'
import { sidecarAdmin } from './sidecar-admin.js'

export interface ExplainSidecarOptions {
  readonly admin?: string
  readonly host?: string
  readonly method?: string
  readonly path?: string
  readonly header?: readonly string[]
  readonly listener?: string
  readonly port?: string
  readonly from?: string
  readonly sourceAddress?: string
  readonly sni?: string
  readonly json?: boolean
}

export async function explainSidecar(options: ExplainSidecarOptions, io: CommandIo): Promise<void> {
  if (options.host === undefined) throw new CliError('explain --admin needs --host: the host that the request asks for')
  const { admin = '', header = [], json = false } = options
  const fields: readonly (readonly [string, string | undefined])[] = [
    ['host', options.host],
    ['method', options.method],
    ['path', options.path],
    ['listener', options.listener],
    ['port', options.port],
    ['source', options.from],
    ['source_address', options.sourceAddress],
    ['sni', options.sni],
    ...header.map(given => ['header', given] as const),
  ]
  const form = new URLSearchParams(fields.flatMap(([name, value]): [string, string][] => (value === undefined ? [] : [[name, value]])))
  const answer = await sidecarAdmin(admin).postForm<Explanation>('/explain', form)
  io.out(json ? `${JSON.stringify(answer, null, 2)}\n` : explanationTree(answer))
}

function explanationTree({ request, listeners, listeners_left_out: leftOut }: Explanation): string {
  const from = request.source === '' ? '' : ` from ${request.source}`
  const lines = [`${request.method} ${request.host}${request.path}${from}`]
  const branches = listeners.map(listenerBranch)
  if (listeners.length === 0) branches.push({ text: 'no such listener serves', below: [] })
  if (leftOut !== undefined) branches.push({ text: `… and ${leftOut} listeners more`, below: [] })
  draw(branches, '', lines)
  return `${lines.join('\n')}\n`
}

interface Branch {
  readonly text: string
  readonly below: readonly Branch[]
}

function draw(branches: readonly Branch[], indent: string, lines: string[]): void {
  branches.forEach(({ text, below }, i) => {
    const last = i === branches.length - 1
    lines.push(`${indent}${last ? '└─' : '├─'} ${text}`)
    draw(below, `${indent}${last ? '   ' : '│  '}`, lines)
  })
}

const leaf = (text: string): Branch => ({ text, below: [] })

function listenerBranch(listener: ExplainedListener): Branch {
  const { filter_chain: chain, network_filters: filters, http, clusters, outcome } = listener
  const direction = listener.direction === 'UNSPECIFIED' ? '' : `, ${listener.direction.toLowerCase()}`
  return {
    text: `listener ${listener.listener} (${listener.address}${direction}): ${outcome}`,
    below: [
      ...(chain === null
        ? []
        : [leaf(`filter chain ${chain.name === '' ? '(no name)' : chain.name}${chain.tls ? ', TLS' : ''}: takes ${chain.match}`)]),
      ...filters.map(filterLeaf),
      ...(http === null ? clusters.map(clusterBranch) : httpBranches(http)),
    ],
  }
}

function filterLeaf({ name, verdict, reason, rule, status }: ExplainedFilter): Branch {
  const by = rule === undefined || reason.includes(rule) ? '' : ` [${rule}]`
  return leaf(`filter ${name}: ${verdict}${status === undefined ? '' : ` with ${status}`}, ${reason}${by}`)
}

function httpBranches(http: ExplainedRequest): Branch[] {
  const { route, virtual_host: host, passed_over: passed, retries, timeouts } = http
  const left = http.passed_over_left_out === undefined ? [] : [leaf(`… and ${http.passed_over_left_out} routes before these`)]
  return [
    ...http.filters.map(filterLeaf),
    leaf(`route config ${http.route_config === '' ? '(no name)' : http.route_config}, virtual host ${host ?? `none for ${http.host}`}`),
    ...(passed.length === 0
      ? []
      : [{ text: 'passed over', below: [...left, ...passed.map(each => leaf(`${each.route} (${each.match}) misses ${each.missed}`))] }]),
    ...(route === null ? [] : [leaf(`route ${route.name} (${route.match}): ${route.action}`)]),
    ...http.clusters.map(clusterBranch),
    ...(timeouts.length === 0
      ? []
      : [{ text: 'timeouts', below: timeouts.map(each => leaf(`${each.name}: ${span(each.ms)}, set by ${each.set_by}`)) }]),
    ...(retries === null ? [] : [leaf(`retries: up to ${retries.tries} on ${retries.on.join(', ')}, set by ${retries.set_by}`)]),
  ]
}

function clusterBranch(cluster: ExplainedCluster): Branch {
  const { weight, total_weight: total, endpoints = [] } = cluster
  const share = weight === undefined || total === undefined ? '' : ` (${weight} of ${total})`
  const detail = cluster.detail === undefined ? '' : `: ${cluster.detail}`
  const left = cluster.endpoints_left_out
  return {
    text: `cluster ${cluster.name}${share}${cluster.state === 'ready' ? '' : `, ${cluster.state}`}${detail}`,
    below: [...endpoints.map(endpointLeaf), ...(left === undefined ? [] : [leaf(`… and ${left} endpoints more`)])],
  }
}

type ExplainedEndpoint = NonNullable<ExplainedCluster['endpoints']>[number]

function endpointLeaf({ address, health, eligible, reason, priority, locality }: ExplainedEndpoint): Branch {
  const place = `${locality === undefined ? '' : `, in ${locality}`}${priority === 0 ? '' : `, priority ${priority}`}`
  return leaf(`${eligible ? 'in ' : 'out'} ${address} ${health}${place}${eligible ? '' : `: ${reason}`}`)
}

function span(ms: number): string {
  if (ms === 0) return 'none'
  return ms >= 1000 && ms % 100 === 0 ? `${ms / 1000} s` : `${ms} ms`
}

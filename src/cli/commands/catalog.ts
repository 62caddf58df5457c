// `outrigger catalog datacenters|nodes|services`: what is registered, as Consul's command prints it. Declared for program.ts.
import type { Command } from 'commander'
import { remote } from '../command-line/api-flags.js'
import { collect } from '../command-line/collect.js'
import { CliError, type CommandIo } from '../command-line/command-io.js'
import { formatJson, formatRows, formatTable, JSON_OPTION } from '../command-line/print.js'

interface Node {
  readonly Node: string
  readonly ID: string
  readonly Address: string
  readonly Datacenter: string
  readonly TaggedAddresses?: Readonly<Record<string, string>> | null
  readonly Meta?: Readonly<Record<string, string>> | null
  readonly NodeMeta?: Readonly<Record<string, string>> | null
}

interface NodeFlags {
  readonly detailed?: boolean
  readonly near?: string
  readonly nodeMeta?: readonly string[]
  readonly service?: string
  readonly filter?: string
  readonly json?: boolean
}

const SHORT_ID_CHARS = 8

export function addCatalog(program: Command, io: CommandIo): void {
  const catalog = program.command('catalog').description('what is registered: datacenters, nodes, services')
  const datacenters = catalog
    .command('datacenters')
    .description('all known datacenters')
    .option(...JSON_OPTION)
  remote(datacenters, io, async (api, { json }: { json?: boolean }) => {
    const names = await api.getJson<string[]>('/v1/catalog/datacenters')
    io.out(json === true ? formatJson(names) : names.map(name => `${name}\n`).join(''))
  })
  const nodes = catalog
    .command('nodes')
    .description('all nodes, or those with a service')
    .option('--detailed', 'whole IDs, tagged addresses and notes')
    .option('--near <node>', 'sorted by the round trip from this node; here there is none')
    .option('--node-meta <key=value>', 'only nodes with this note; may be given several times', collect)
    .option('--service <name>', 'only nodes that provide it')
    .option('--filter <expression>', 'only those it holds for')
    .option(...JSON_OPTION)
  remote(nodes, io, async (api, flags: NodeFlags) => {
    const query = new URLSearchParams()
    for (const pair of flags.nodeMeta ?? []) query.append('node-meta', colon(pair))
    if (flags.near !== undefined) query.set('near', flags.near)
    if (flags.filter !== undefined) query.set('filter', flags.filter)
    const path = flags.service === undefined ? '/v1/catalog/nodes' : `/v1/catalog/service/${encodeURIComponent(flags.service)}`
    const found = await api.getJson<Node[]>(`${path}?${query}`)
    const unique = [...new Map(found.map(node => [node.Node, node])).values()].sort((a, b) => (a.Node < b.Node ? -1 : 1))
    if (flags.json === true) return void io.out(formatJson(unique))
    if (unique.length === 0) return void io.out('No nodes match the given query - try expanding your search\n')
    const detailed = flags.detailed === true
    const rows = unique.map(node => [
      node.Node,
      detailed ? node.ID : node.ID.slice(0, SHORT_ID_CHARS),
      node.Address,
      node.Datacenter,
      ...(detailed ? [pairs(node.TaggedAddresses), pairs(node.Meta ?? node.NodeMeta)] : []),
    ])
    io.out(formatTable(['Node', 'ID', 'Address', 'DC', ...(detailed ? ['TaggedAddresses', 'Meta'] : [])], rows))
  })
  const services = catalog
    .command('services')
    .description('the names of all services, or of those of a node')
    .option('--tags', 'with their tags')
    .option('--node <name>', 'only those of this node')
    .option('--node-meta <key=value>', 'only those of nodes with this note; may be given several times', collect)
    .option(...JSON_OPTION)
  remote(services, io, async (api, flags: { tags?: boolean; node?: string; nodeMeta?: string[]; json?: boolean }) => {
    const { tags, node, nodeMeta, json } = flags
    const query = new URLSearchParams((nodeMeta ?? []).map((pair): [string, string] => ['node-meta', colon(pair)]))
    const found =
      node === undefined
        ? await api.getJson<Record<string, string[]>>(`/v1/catalog/services?${query}`)
        : await ofNode(await api.getJson<NodeServices | null>(`/v1/catalog/node/${encodeURIComponent(node)}?${query}`))
    const names = Object.keys(found).sort()
    const tagsOf = (name: string): string[] => [...new Set(found[name])].sort()
    if (json === true) return void io.out(formatJson(Object.fromEntries(names.map(name => [name, tagsOf(name)]))))
    if (names.length === 0) return void io.out('No services match the given query - try expanding your search\n')
    io.out(tags === true ? formatRows(names.map(name => [name, tagsOf(name).join(',')])) : names.map(name => `${name}\n`).join(''))
  })
}

interface NodeServices {
  readonly Services?: Readonly<Record<string, { readonly Service: string; readonly Tags?: readonly string[] | null }>>
}

function ofNode(node: NodeServices | null): Record<string, string[]> {
  const found: Record<string, string[]> = {}
  for (const { Service, Tags } of Object.values(node?.Services ?? {})) found[Service] = [...(found[Service] ?? []), ...(Tags ?? [])]
  return found
}

function colon(pair: string): string {
  const equals = pair.indexOf('=')
  if (equals < 1) throw new CliError(`--node-meta "${pair}": must be key=value`)
  return `${pair.slice(0, equals)}:${pair.slice(equals + 1)}`
}

function pairs(map: Readonly<Record<string, string>> | null | undefined): string {
  return Object.entries(map ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join(', ')
}

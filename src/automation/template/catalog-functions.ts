// consul-template's functions that ask the catalog, the key/value store and the CA. Part of every template's functions (template.ts).
// Each is a blocking read of the HTTP API, named by its path (of Vault's with `vault:` before it): what the answers do not hold yet is empty, and the template counts as not ready.
// Invariant: a template that asked for something unanswered is never used; order and fields are consul-template's.
import { isVaultPath } from '../../vault/vault-settings.js'
import { compareTexts, fromJson, type GoFunction, GoMap, GoStruct, type GoValue, structOf, TemplateError } from './go-value.js'

/** What the functions ask; answers come from blocking reads of the same paths. */
export interface TemplateAnswers {
  /** The JSON of the answer, null where it is 404; undefined where it is not known yet. */
  answer(path: string): unknown
  /** The answer is there, and not enough: the template is not ready. */
  wants(path: string): void
}

const SERVICE = /^(?:([\w=:.-]+)\.)?([\w-]+)(?:\?([\w\-=&]+))?(?:@([\w.-]+))?(?:~([\w.-]+))?(?:\|([\w,]+))?$/
const KEY = /^\/?([^@?]+)(?:\?([\w\-=&]+))?(?:@([\w.-]+))?$/
const NODE = /^([\w.-]+)(?:\?([\w\-=&]+))?(?:@([\w.-]+))?$/
const SCOPE = /^(?:\?([\w\-=&]+))?(?:@([\w.-]+))?(?:~([\w.-]+))?$/
/** Of paths that are Vault's. */
export const SECRET_PREFIX = 'vault:'

const STATES = ['any', 'passing', 'warning', 'critical', 'maintenance']
const QUERIES = new Set(['ns', 'partition', 'peer', 'sameness-group'])

/** Of other products, or of what is not offered: each says so. */
const REFUSED: Readonly<Record<string, string>> = {
  nomadService: 'there is no Nomad here',
  nomadServices: 'there is no Nomad here',
  nomadVar: 'there is no Nomad here',
  nomadVarExists: 'there is no Nomad here',
  nomadVarList: 'there is no Nomad here',
  nomadVarListSafe: 'there is no Nomad here',
  secrets: 'secrets of Vault are not listed',
  pkiCert: 'certificates of Vault are not asked for',
  partitions: 'partitions are Consul Enterprise',
  exportedServices: 'is not there',
  importedServices: 'is not there',
  plugin: 'templates start no programs',
  writeToFile: 'a template writes its own destination only',
  sockaddr: 'is not there',
  toTOML: 'is not there',
  spew_dump: 'is not there: printf "%#v" shows a value',
  spew_printf: 'is not there: printf "%#v" shows a value',
  spew_sdump: 'is not there: printf "%#v" shows a value',
  spew_sprintf: 'is not there: printf "%#v" shows a value',
}

export const REFUSED_FUNCTIONS: Readonly<Record<string, GoFunction>> = Object.fromEntries(
  Object.entries(REFUSED).map(([name, reason]) => [
    name,
    {
      params: [],
      rest: 'any',
      call: () => {
        throw new TemplateError(reason)
      },
    } satisfies GoFunction,
  ]),
)

export function catalogFunctions(answers: TemplateAnswers): Readonly<Record<string, GoFunction>> {
  const ask = <T>(path: string): T | null | undefined => answers.answer(path) as T | null | undefined
  const pairs = (text: string, keep: (key: string) => boolean, safe: boolean): GoValue => {
    if (text === '') return []
    const { path, name: prefix } = keyPath(text, { recurse: '' })
    const all = ask<KvEntry[]>(path)
    const found = (all ?? [])
      .map(entry => pairOf(entry, entry.Key.slice(prefix.length).replace(/^\/+/, '')))
      .filter(pair => keep(pair.fields.get('Key') as string))
    if (safe && all !== undefined && found.length === 0) answers.wants(path)
    return found
  }
  const health = (kind: 'service' | 'connect', args: readonly GoValue[]): GoValue => {
    if (args.length === 0 || args[0] === '') return []
    const { path, near, states } = healthPath(kind, (args as string[]).join('|'))
    const found = (ask<HealthEntry[]>(path) ?? [])
      .map(healthService)
      .filter(service => states.has('any') || states.has(service.fields.get('Status') as string))
    return near ? found : found.sort((a, b) => compareBy(a, b, 'Node') || compareBy(a, b, 'ID'))
  }
  return {
    service: { params: [], rest: 'string', call: args => health('service', args) },
    connect: { params: [], rest: 'string', call: args => health('connect', args) },
    services: {
      params: [],
      rest: 'string',
      call: args => {
        const services = ask<Record<string, string[]>>(scopePath('/v1/catalog/services', args)) ?? {}
        return Object.entries(services)
          .map(([Name, tags]) => structOf('dependency.CatalogSnippet', { Name, Tags: tagsOf(tags) }))
          .sort((a, b) => compareBy(a, b, 'Name'))
      },
    },
    nodes: {
      params: [],
      rest: 'string',
      call: args => {
        const path = scopePath('/v1/catalog/nodes', args)
        const nodes = (ask<CatalogNode[]>(path) ?? []).map(nodeOf)
        return path.includes('near=') ? nodes : nodes.sort((a, b) => compareBy(a, b, 'Node') || compareBy(a, b, 'ID'))
      },
    },
    node: { params: ['string'], call: ([text]) => nodeWithServices(ask<NodeServices>(nodePath(text as string))) },
    datacenters: { params: [], rest: 'bool', call: () => ask<string[]>('/v1/catalog/datacenters') ?? [] },
    peerings: { params: [], rest: 'string', call: () => listOfJson('dependency.Peering', ask<object[]>('/v1/peerings')) },
    caRoots: { params: [], call: () => listOfJson('api.CARoot', ask<{ Roots: object[] }>('/v1/agent/connect/ca/roots')?.Roots) },
    caLeaf: {
      params: ['string'],
      call: ([service]) => {
        const leaf = ask<object>(`/v1/agent/connect/ca/leaf/${encodeURIComponent(service as string)}`)
        return leaf === undefined || leaf === null ? null : jsonStruct('api.LeafCert', leaf)
      },
    },
    secret: {
      params: ['string'],
      rest: 'string',
      call: ([path, ...writes]) => {
        if (writes.length > 0) fail('secrets are read and never written')
        if (!isVaultPath(path as string)) fail(`${JSON.stringify(path)} is no path of a secret`)
        const found = ask<object>(SECRET_PREFIX + path)
        if (found === null) answers.wants(SECRET_PREFIX + path)
        return found === undefined || found === null ? null : structOf('dependency.Secret', { Data: fromJson(found, true) })
      },
    },
    key: {
      params: ['string'],
      call: ([text]) => {
        if (text === '') return ''
        const { path } = keyPath(text as string, {})
        const found = ask<KvEntry[]>(path)
        if (found === null) answers.wants(path)
        return found?.[0] === undefined ? '' : kvText(found[0])
      },
    },
    keyExists: {
      params: ['string'],
      call: ([text]) => (text === '' ? false : (ask<KvEntry[]>(keyPath(text as string, {}).path) ?? null) !== null),
    },
    keyOrDefault: {
      params: ['string', 'string'],
      call: ([text, otherwise]) => {
        const found = text === '' ? null : ask<KvEntry[]>(keyPath(text as string, {}).path)
        return (found?.[0] === undefined ? '' : kvText(found[0])) || otherwise
      },
    },
    ls: { params: ['string'], call: ([text]) => pairs(text as string, key => key !== '' && !key.includes('/'), false) },
    safeLs: { params: ['string'], call: ([text]) => pairs(text as string, key => key !== '' && !key.includes('/'), true) },
    tree: { params: ['string'], call: ([text]) => pairs(text as string, key => !key.endsWith('/') && key !== '', false) },
    safeTree: { params: ['string'], call: ([text]) => pairs(text as string, key => !key.endsWith('/') && key !== '', true) },
  }
}

interface KvEntry {
  readonly Key: string
  readonly Value: string | null
  readonly Flags: number
  readonly LockIndex: number
  readonly CreateIndex: number
  readonly ModifyIndex: number
  readonly Session?: string
}

interface CatalogNode {
  readonly ID: string
  readonly Node: string
  readonly Address: string
  readonly Datacenter: string
  readonly TaggedAddresses: Record<string, string> | null
  readonly Meta: Record<string, string> | null
}

export interface HealthEntry {
  readonly Node: CatalogNode
  readonly Service: {
    readonly ID: string
    readonly Service: string
    readonly Kind?: string
    readonly Address: string
    readonly Port: number
    readonly Tags: string[] | null
    readonly Meta: Record<string, string> | null
    readonly Namespace?: string
    readonly TaggedAddresses?: Record<string, object> | null
    readonly Weights?: { readonly Passing: number; readonly Warning: number } | null
  }
  readonly Checks: readonly { readonly Status: string; readonly CheckID: string }[]
}

interface NodeServices {
  readonly Node: CatalogNode | null
  readonly Services: Record<string, HealthEntry['Service'] & { readonly EnableTagOverride?: boolean }> | null
}

function fail(reason: string): never {
  throw new TemplateError(reason)
}

function compareBy(a: GoStruct, b: GoStruct, field: string): number {
  return compareTexts(a.fields.get(field) as string, b.fields.get(field) as string)
}

function withQuery(path: string, dc: string | undefined, more: Readonly<Record<string, string | undefined>>, scope = ''): string {
  const query = new URLSearchParams()
  for (const [name, value] of new URLSearchParams(scope)) {
    if (!QUERIES.has(name)) fail(`${JSON.stringify(name)} is no query parameter: ${[...QUERIES].join(', ')} are`)
    query.set(name, value)
  }
  for (const [name, value] of Object.entries({ dc, ...more })) if (value !== undefined) query.set(name, value)
  const text = query.toString().replace(/=(?=&|$)/g, '')
  return text === '' ? path : `${path}?${text}`
}

function healthPath(
  kind: 'service' | 'connect',
  text: string,
): { readonly path: string; readonly near: boolean; readonly states: ReadonlySet<string> } {
  const match = SERVICE.exec(text)
  if (match === null) fail(`${JSON.stringify(text)} is no service: TAG.NAME?QUERY@DATACENTER~NEAR|STATES is the form`)
  const [, tag, name, scope, dc, near, filter = 'passing'] = match
  const states = new Set(filter.split(','))
  for (const state of states) if (!STATES.includes(state)) fail(`${JSON.stringify(state)} is no state: ${STATES.join(', ')} are`)
  const passing = states.size === 1 && states.has('passing') ? '' : undefined
  return { path: withQuery(`/v1/health/${kind}/${name}`, dc, { tag, near, passing }, scope), near: near !== undefined, states }
}

function keyPath(text: string, more: Readonly<Record<string, string>>): { readonly path: string; readonly name: string } {
  const match = KEY.exec(text)
  if (match === null) fail(`${JSON.stringify(text)} is no key: KEY?QUERY@DATACENTER is the form`)
  const [, name, scope, dc] = match
  return { path: withQuery(`/v1/kv/${name!.split('/').map(encodeURIComponent).join('/')}`, dc, more, scope), name: name! }
}

function nodePath(text: string): string {
  const match = NODE.exec(text)
  if (match === null) fail(`${JSON.stringify(text)} is no node: NAME?QUERY@DATACENTER is the form`)
  return withQuery(`/v1/catalog/node/${match[1]}`, match[3], {}, match[2])
}

function scopePath(path: string, args: readonly GoValue[]): string {
  const text = (args as string[]).join('')
  const match = SCOPE.exec(text)
  if (match === null) fail(`${JSON.stringify(text)}: ?QUERY@DATACENTER~NEAR is the form`)
  return withQuery(path, match[2], { near: match[3] }, match[1])
}

function kvText({ Value }: KvEntry): string {
  return Buffer.from(Value ?? '', 'base64').toString()
}

function pairOf(entry: KvEntry, key: string): GoStruct {
  return structOf('dependency.KeyPair', {
    Path: entry.Key,
    Key: key,
    Value: kvText(entry),
    Exists: true,
    CreateIndex: BigInt(entry.CreateIndex),
    ModifyIndex: BigInt(entry.ModifyIndex),
    LockIndex: BigInt(entry.LockIndex),
    Flags: BigInt(entry.Flags),
    Session: entry.Session ?? '',
  })
}

function tagsOf(tags: readonly string[] | null | undefined): readonly string[] {
  return [...(tags ?? [])].sort(compareTexts)
}

function nodeOf({ ID, Node, Address, Datacenter, TaggedAddresses, Meta }: CatalogNode): GoStruct {
  return structOf('dependency.Node', {
    ID,
    Node,
    Address,
    Datacenter,
    TaggedAddresses: GoMap.ofTexts(TaggedAddresses),
    Meta: GoMap.ofTexts(Meta),
  })
}

function nodeWithServices(found: NodeServices | null | undefined): GoValue {
  if (found?.Node === undefined || found.Node === null) return null
  const services = Object.values(found.Services ?? {}).map(({ ID, Service, Tags, Meta, Port, Address, EnableTagOverride }) =>
    structOf('dependency.CatalogNodeService', {
      ID,
      Service,
      Tags: tagsOf(Tags),
      Meta: GoMap.ofTexts(Meta),
      Port: BigInt(Port),
      Address,
      EnableTagOverride: EnableTagOverride === true,
    }),
  )
  services.sort((a, b) => compareBy(a, b, 'Service') || compareBy(a, b, 'ID'))
  return structOf('dependency.CatalogNode', { Node: nodeOf(found.Node), Services: services })
}

function healthService({ Node, Service, Checks }: HealthEntry): GoStruct {
  return structOf('dependency.HealthService', {
    Node: Node.Node,
    NodeID: Node.ID,
    NodeAddress: Node.Address,
    NodeDatacenter: Node.Datacenter,
    NodeTaggedAddresses: GoMap.ofTexts(Node.TaggedAddresses),
    NodeMeta: GoMap.ofTexts(Node.Meta),
    ServiceMeta: GoMap.ofTexts(Service.Meta),
    Address: Service.Address || Node.Address,
    ServiceTaggedAddresses: new GoMap(
      Object.entries(Service.TaggedAddresses ?? {}).map(([name, address]) => [name, jsonStruct('api.ServiceAddress', address)]),
    ),
    ID: Service.ID,
    Name: Service.Service,
    Kind: Service.Kind ?? '',
    Tags: tagsOf(Service.Tags),
    Checks: listOfJson('api.HealthCheck', Checks),
    Status: statusOf(Checks),
    Port: BigInt(Service.Port),
    Weights: structOf('api.AgentWeights', {
      Passing: BigInt(Service.Weights?.Passing ?? 1),
      Warning: BigInt(Service.Weights?.Warning ?? 1),
    }),
  })
}

/** The worst of its checks, as Consul's own client sums them up. */
export function statusOf(checks: HealthEntry['Checks']): string {
  if (checks.some(({ CheckID }) => CheckID === '_node_maintenance' || CheckID.startsWith('_service_maintenance:'))) return 'maintenance'
  return ['critical', 'warning'].find(state => checks.some(({ Status }) => Status === state)) ?? 'passing'
}

/** Fields as the API names them, which are those of Consul's own types. */
function jsonStruct(type: string, value: object): GoStruct {
  return new GoStruct(type, new Map(Object.entries(value).map(([name, each]) => [name, fromJson(each, true)])))
}

function listOfJson(type: string, values: readonly object[] | null | undefined): GoStruct[] {
  return (values ?? []).map(value => jsonStruct(type, value))
}

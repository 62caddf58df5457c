// What conditions and module inputs are made of: services, the catalog, keys, intentions, each as CTS hands it to a module. Called by
// task-runner.ts for every evaluation. Pure: it asks `answers` and shapes what is there; what is missing they remember.
// Invariant: only what a module sees is in the value, so that a check's output or an index changes nothing.
import { RE2JS } from 're2js'
import type { DataSource, IntentionsSource, KvSource, NameSelection, ServicesSource } from '../config/sync-config.js'
import { type HealthEntry, statusOf, type TemplateAnswers } from '../template/catalog-functions.js'
import { compareTexts } from '../template/go-value.js'

/** CTS's `services` variable: fields of one instance, in its order. */
export interface ServiceInput {
  readonly id: string
  readonly name: string
  readonly kind: string
  readonly address: string
  readonly port: number
  readonly meta: Readonly<Record<string, string>>
  readonly tags: readonly string[]
  readonly namespace: string
  readonly status: string
  readonly node: string
  readonly node_id: string
  readonly node_address: string
  readonly node_datacenter: string
  readonly node_tagged_addresses: Readonly<Record<string, string>>
  readonly node_meta: Readonly<Record<string, string>>
  readonly cts_user_defined_meta: Readonly<Record<string, string>>
}

/** By the name of the variable: `services`, `catalog_services`, `consul_kv`, `intentions`. */
export interface TaskInputs {
  readonly services?: Readonly<Record<string, ServiceInput>>
  readonly catalog_services?: Readonly<Record<string, readonly string[]>>
  readonly consul_kv?: Readonly<Record<string, string>>
  readonly intentions?: Readonly<Record<string, IntentionInput>>
}

export interface IntentionInput {
  readonly source: string
  readonly destination: string
  readonly action: string
  readonly precedence: number
  readonly permissions: readonly unknown[]
}

const MAX_SERVICES = 500

/** Of several sources of one kind, their members together. */
export function readSources(sources: readonly DataSource[], answers: TemplateAnswers): TaskInputs {
  const whole: Partial<Record<keyof TaskInputs, Record<string, never>>> = {}
  for (const source of sources) {
    const [name, value] = readSource(source, answers)
    whole[name] = { ...whole[name], ...(value as Record<string, never>) }
  }
  return whole
}

function readSource(source: DataSource, answers: TemplateAnswers): readonly [keyof TaskInputs, object] {
  switch (source.kind) {
    case 'services':
      return ['services', services(source, answers)]
    case 'catalog-services': {
      const query = new URLSearchParams(source.datacenter === undefined ? [] : [['dc', source.datacenter]])
      for (const [key, value] of Object.entries(source.nodeMeta)) query.append('node-meta', `${key}:${value}`)
      const all = (answers.answer(withQuery('/v1/catalog/services', query)) ?? {}) as Record<string, string[]>
      const matches = matcherOf({ names: [], regexp: source.regexp })
      return [
        'catalog_services',
        sorted(
          Object.entries(all)
            .filter(([name]) => matches(name))
            .map(([name, tags]) => [name, [...tags].sort(compareTexts)]),
        ),
      ]
    }
    case 'consul-kv':
      return ['consul_kv', keys(source, answers)]
    case 'intentions':
      return ['intentions', intentions(source, answers)]
  }
}

function services(source: ServicesSource, answers: TemplateAnswers): Readonly<Record<string, ServiceInput>> {
  const found: [string, ServiceInput][] = []
  for (const name of namesOf(source, answers)) {
    const query = new URLSearchParams(source.datacenter === undefined ? [] : [['dc', source.datacenter]])
    if (source.tag !== undefined) query.set('tag', source.tag)
    if (source.filter !== undefined) query.set('filter', source.filter)
    if (source.health === 'passing') query.set('passing', '1')
    const path = withQuery(`/v1/health/service/${encodeURIComponent(name)}`, query)
    for (const entry of (answers.answer(path) ?? []) as HealthEntry[]) {
      const input = serviceInput(entry, source.userMeta)
      found.push([[input.id, input.node, input.namespace, input.node_datacenter].filter(part => part !== '').join('.'), input])
    }
  }
  return sorted(found)
}

function namesOf({ names, regexp, datacenter }: ServicesSource, answers: TemplateAnswers): readonly string[] {
  if (regexp === undefined) return [...names].sort(compareTexts)
  const query = new URLSearchParams(datacenter === undefined ? [] : [['dc', datacenter]])
  const all = Object.keys((answers.answer(withQuery('/v1/catalog/services', query)) ?? {}) as object)
  const matching = all.filter(matcherOf({ names, regexp })).sort(compareTexts)
  if (matching.length > MAX_SERVICES) throw new Error(`regexp "${regexp}" matches ${matching.length} services: ${MAX_SERVICES} at most`)
  return matching
}

function serviceInput({ Node, Service, Checks }: HealthEntry, userMeta: Readonly<Record<string, string>>): ServiceInput {
  return {
    id: Service.ID,
    name: Service.Service,
    kind: Service.Kind ?? '',
    address: Service.Address || Node.Address,
    port: Service.Port,
    meta: sortedTexts(Service.Meta),
    tags: [...(Service.Tags ?? [])].sort(compareTexts),
    namespace: Service.Namespace ?? '',
    status: statusOf(Checks),
    node: Node.Node,
    node_id: Node.ID,
    node_address: Node.Address,
    node_datacenter: Node.Datacenter,
    node_tagged_addresses: sortedTexts(Node.TaggedAddresses),
    node_meta: sortedTexts(Node.Meta),
    cts_user_defined_meta: sortedTexts(userMeta),
  }
}

/** Keys with `recurse` lose the path that they share, as CTS names them. */
function keys({ path, recurse, datacenter }: KvSource, answers: TemplateAnswers): Readonly<Record<string, string>> {
  const query = new URLSearchParams(datacenter === undefined ? [] : [['dc', datacenter]])
  if (recurse) query.set('recurse', '')
  const address = withQuery(`/v1/kv/${path.split('/').map(encodeURIComponent).join('/')}`, query)
  const entries = (answers.answer(address) ?? []) as readonly { readonly Key: string; readonly Value: string | null }[]
  return sorted(
    entries
      .filter(({ Key }) => !Key.endsWith('/'))
      .map(({ Key, Value }) => [
        recurse ? Key.slice(path.length).replace(/^\/+/, '') || Key : Key,
        Buffer.from(Value ?? '', 'base64').toString(),
      ]),
  )
}

function intentions(
  { datacenter, sources, destinations }: IntentionsSource,
  answers: TemplateAnswers,
): Readonly<Record<string, IntentionInput>> {
  const query = new URLSearchParams(datacenter === undefined ? [] : [['dc', datacenter]])
  const all = (answers.answer(withQuery('/v1/connect/intentions', query)) ?? []) as readonly {
    readonly SourceName: string
    readonly SourcePeer?: string
    readonly DestinationName: string
    readonly Action?: string
    readonly Precedence: number
    readonly Permissions?: readonly unknown[] | null
  }[]
  const [isSource, isDestination] = [matcherOf(sources), matcherOf(destinations)]
  return sorted(
    all
      .filter(({ SourcePeer }) => SourcePeer === undefined)
      .filter(({ SourceName, DestinationName }) => isSource(SourceName) && isDestination(DestinationName))
      .map(({ SourceName, DestinationName, Action = '', Precedence, Permissions }) => [
        `${SourceName}.${DestinationName}`,
        { source: SourceName, destination: DestinationName, action: Action, precedence: Precedence, permissions: Permissions ?? [] },
      ]),
  )
}

/** Neither names nor an expression: all. */
function matcherOf({ names, regexp }: NameSelection): (name: string) => boolean {
  if (regexp !== undefined) {
    const expression = RE2JS.compile(regexp)
    return name => expression.matcher(name).find()
  }
  return name => names.length === 0 || names.includes(name)
}

function withQuery(path: string, query: URLSearchParams): string {
  return query.size === 0 ? path : `${path}?${query}`
}

function sorted<V>(entries: readonly (readonly [string, V])[]): Readonly<Record<string, V>> {
  return Object.fromEntries([...entries].sort(([a], [b]) => compareTexts(a, b)))
}

function sortedTexts(texts: Readonly<Record<string, string>> | null | undefined): Readonly<Record<string, string>> {
  return sorted(Object.entries(texts ?? {}))
}

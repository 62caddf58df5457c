// What each endpoint of the HTTP API asks of a token: one table, by method and route. Read by authorize.ts for every request where ACLs are
// on: `check` runs before the handler, `filter` over the answer, so that lists hold what the token may see and nothing else.
// Resources and access are those of Consul's API reference ("ACL Required"). Invariant: a route that is not here is refused.
import type { FastifyRequest } from 'fastify'
import type { Access } from '../acl/access.js'
import { meshServiceOf } from '../catalog/catalog-types.js'
import type { ApiContext } from './context.js'
import { mayEntry, needEntry, needSameId, needWrite, needWrites } from './entry-permissions.js'
import { intentionWithId, plainName } from './intentions.js'
import { entries, field, first, type Item, items, nodeOf, seesService, serviceOf, textField } from './permission-subjects.js'
import { param, query } from './respond.js'
import { askedEdge, asksForHistory } from './traffic.js'

export interface RoutePermission {
  /** Throws `AclError` 403. */
  check?(access: Access, request: FastifyRequest, context: ApiContext): void
  /** The part of the answer that may be seen. */
  filter?(access: Access, payload: unknown, context: ApiContext): unknown
}

/** A route's text without the names of its parameters. */
export function routeKey(method: string, url: string): string {
  return `${method === 'HEAD' ? 'GET' : method} ${url.replace(/:[A-Za-z]+/g, ':x')}`
}

// ---- kinds of permission -----------------------------------------------------------------------------------------------------------------

const OPEN: RoutePermission = {}
const agent = (wanted: 'read' | 'write'): RoutePermission => ({
  check: (access, _request, { node }) => access.need('agent', node.name, wanted),
})
const operator = (wanted: 'read' | 'write'): RoutePermission => ({ check: access => access.needSingle('operator', wanted) })
const peering = (wanted: 'read' | 'write'): RoutePermission => ({ check: access => access.needSingle('peering', wanted) })
const SERVICES: RoutePermission = { filter: (access, payload) => items(payload, item => seesService(access, item)) }
/** Whoever may not see the service gets an empty list, as Consul answers. */
const ONE_SERVICE = SERVICES
const NODES: RoutePermission = { filter: (access, payload) => items(payload, item => access.may('node', nodeOf(item), 'read')) }

/** A node with all that is on it, or a list of them: each part by its own right. */
const UI_NODES: RoutePermission = {
  filter: (access, payload) => {
    const seen = (node: Item): Item => {
      const onNode = { ...node, Checks: items(node['Checks'], item => seesService(access, item)) }
      return { ...onNode, Services: items(node['Services'], item => seesService(access, item)) }
    }
    if (Array.isArray(payload))
      return payload.filter(item => access.may('node', nodeOf(item as Item), 'read')).map(item => seen(item as Item))
    const node = payload as Item | null
    if (node === null || nodeOf(node) === '') return payload
    access.need('node', nodeOf(node), 'read')
    return seen(node)
  },
}
const UI_TOPOLOGY: RoutePermission = {
  check: (access, request) => access.need('service', first(request), 'read'),
  filter: (access, payload) => {
    const sees = ({ Name }: Item): boolean => access.may('service', String(Name), 'read')
    const { Upstreams, Downstreams, ...rest } = payload as Item
    return { ...rest, Upstreams: items(Upstreams, sees), Downstreams: items(Downstreams, sees) }
  },
}

const agentService = (wanted: 'read' | 'write'): RoutePermission => ({
  check: (access, request, { catalog }) => {
    const service = catalog.instance(first(request))
    if (service !== undefined) access.need('service', service.Service, wanted)
  },
})
const agentCheck: RoutePermission = {
  check: (access, request, { catalog, node }) => {
    const id = first(request)
    const check = catalog.check(id)
    const service = check === undefined ? undefined : catalog.instance(check.definition.ServiceID)
    if (service === undefined) access.need('node', node.name, 'write')
    else access.need('service', service.Service, 'write')
  },
}
/** `destination` as the handler reads it, from the same place. Without one there is nothing that it does. */
function needIntention(access: Access, destination: string, wanted: 'read' | 'write'): void {
  const name = plainName(destination)
  if (name !== '') access.need('intention', name, wanted)
}

const intention = (wanted: 'read' | 'write'): RoutePermission => ({
  check: (access, request) => needIntention(access, query(request, 'destination') ?? '', wanted),
})
const newIntention: RoutePermission = {
  check: (access, { body }) => needIntention(access, textField(body, 'DestinationName'), 'write'),
}

/** By id: of the intention that it names, whatever a body says. One that is not there is the handler's to answer. */
const intentionById = (wanted: 'read' | 'write'): RoutePermission => ({
  check: (access, request, context) => {
    const found = intentionWithId(context, param(request, 'id'))
    if (found !== undefined) access.need('intention', found.intention.destination, wanted)
    else access.needSingle('operator', wanted)
  },
})

const ENTRIES: RoutePermission = {
  filter: (access, payload) => items(payload, ({ Kind, Name }) => mayEntry(access, String(Kind), String(Name), 'read')),
}
const ONE_ENTRY: RoutePermission = {
  check: (access, request) => needEntry(access, param(request, 'kind'), param(request, '*') || param(request, 'name'), 'read'),
}

/** The service of the rollout as it is; one that is not there is the handler's to answer. */
function needRollout(access: Access, request: FastifyRequest, { rollouts }: ApiContext, wanted: 'read' | 'write'): void {
  const found = rollouts.table.get(first(request))
  if (found !== undefined) access.need('service', found.rollout.Service, wanted)
}

const rollout = (wanted: 'read' | 'write'): RoutePermission => ({
  check: (access, request, context) => needRollout(access, request, context, wanted),
})

function needRegistration(access: Access, body: unknown): void {
  access.need('service', textField(body, 'Name') || textField(body, 'Service'), 'write')
  const sidecar = field(field(body, 'Connect'), 'SidecarService')
  const name = textField(sidecar, 'Name')
  if (name !== '') access.need('service', name, 'write')
  const destination = textField(field(body, 'Proxy'), 'DestinationServiceName')
  if (destination !== '') access.need('service', destination, 'write')
}

/** The node for what changes it and for checks of its own, the service for itself, what was there before, and its checks. */
function needCatalogRegistration(access: Access, body: unknown, { catalog }: ApiContext): void {
  const name = textField(body, 'Node')
  const node = catalog.node(name)
  const address = textField(body, 'Address')
  if (
    node === undefined ||
    (field(body, 'SkipNodeUpdate') !== true &&
      (node.Address !== address || field(body, 'NodeMeta') !== undefined || field(body, 'Locality') !== undefined))
  )
    access.need('node', name, 'write')
  const service = field(body, 'Service')
  if (service !== undefined && service !== null) {
    const id = textField(service, 'ID') || textField(service, 'Service')
    access.need('service', textField(service, 'Service'), 'write')
    const before = node && catalog.instanceOn(catalog.nodeKey(name), id)
    if (before !== undefined) access.need('service', before.Service, 'write')
    const destination = textField(field(service, 'Proxy'), 'DestinationServiceName')
    if (destination !== '') access.need('service', destination, 'write')
  }
  const checks = [field(body, 'Checks') ?? [], field(body, 'Check') ?? []].flat()
  for (const check of checks) needCheckWrite(access, catalog, name, textField(check, 'ServiceID'), service)
}

function needCheckWrite(access: Access, catalog: ApiContext['catalog'], node: string, serviceId: string, registered?: unknown): void {
  const isRegistered = registered && serviceId === (textField(registered, 'ID') || textField(registered, 'Service'))
  const service = isRegistered ? textField(registered, 'Service') : catalog.instanceOn(catalog.nodeKey(node), serviceId)?.Service
  if (serviceId === '' || service === undefined) access.need('node', node, 'write')
  else access.need('service', service, 'write')
}

function needCatalogDeregistration(access: Access, body: unknown, { catalog }: ApiContext): void {
  const name = textField(body, 'Node')
  // Who may write the node may take out what is on it.
  if (access.may('node', name, 'write')) return
  const node = catalog.nodeKey(name)
  const id = textField(body, 'ServiceID') || (catalog.checkOn(node, textField(body, 'CheckID'))?.definition.ServiceID ?? '')
  const service = catalog.instanceOn(node, id)
  if (service === undefined) access.need('node', name, 'write')
  else access.need('service', service.Service, 'write')
}

const key = (wanted: 'read' | 'write'): RoutePermission => ({
  check: (access, request) => {
    const { keys, recurse } = request.query as { keys?: string; recurse?: string }
    const name = param(request, '*')
    if (wanted === 'write' && recurse !== undefined) access.needAllBelow('key', name, 'write')
    else if (keys === undefined && recurse === undefined) access.need('key', name, wanted)
  },
  filter: (access, payload) =>
    Array.isArray(payload)
      ? payload.filter(each => access.may('key', typeof each === 'string' ? each : String((each as Item)['Key']), 'read'))
      : payload,
})
const session = (wanted: 'read' | 'write'): RoutePermission => ({
  check: (access, request, { node }) => {
    if (wanted === 'write') access.need('session', textField(request.body, 'Node') || node.name, 'write')
  },
  filter: (access, payload) => items(payload, item => access.may('session', nodeOf(item), 'read')),
})
const heldSession: RoutePermission = {
  check: (access, request, { node, sessions }) => access.need('session', sessions.get(first(request))?.Node ?? node.name, 'write'),
}

/** What rights to a prepared query go by. Undefined: one without a name is for who knows its id, as in Consul. */
function queryName(record: unknown): string | undefined {
  const name = textField(record, 'Name')
  return name !== '' || textField(field(record, 'Template'), 'Type') !== '' ? name : undefined
}

const QUERY_LIST: RoutePermission = {
  filter: (access, payload) => {
    if (access.maySingle('acl', 'write')) return payload
    return items(payload, each => {
      const name = queryName(each)
      return name !== undefined && access.may('query', name, 'read')
    })
  },
}
const ONE_QUERY: RoutePermission = {
  filter: (access, payload) =>
    items(payload, each => {
      const name = queryName(each)
      return name === undefined || access.may('query', name, 'read')
    }),
}
/** As it is to be, and as it was. */
const changedQuery: RoutePermission = {
  check: (access, request, { queries }) => {
    for (const name of [queryName(request.body), queryName(queries.get(first(request)))])
      if (name !== undefined) access.need('query', name, 'write')
  },
}

/** Each operation of a transaction by itself, as if it came alone. */
function needTransaction(access: Access, body: unknown, { catalog, sessions }: ApiContext): void {
  const { ownNode } = catalog
  if (!Array.isArray(body)) return
  for (const operation of body) {
    const kv = field(operation, 'KV')
    if (kv !== undefined) {
      const verb = textField(kv, 'Verb')
      const name = textField(kv, 'Key')
      if (verb === 'delete-tree') access.needAllBelow('key', name, 'write')
      else access.need('key', name, /^(get|get-tree|check-)/.test(verb) ? 'read' : 'write')
    }
    const wanted = (value: unknown): 'read' | 'write' => (textField(value, 'Verb') === 'get' ? 'read' : 'write')
    const node = field(operation, 'Node')
    if (node !== undefined) access.need('node', textField(field(node, 'Node'), 'Node'), wanted(node))
    const service = field(operation, 'Service')
    if (service !== undefined) {
      const named = field(service, 'Service')
      const before = catalog.instanceOn(catalog.nodeKey(textField(service, 'Node')), textField(named, 'ID') || textField(named, 'Service'))
      if (before !== undefined) access.need('service', before.Service, wanted(service))
      if (before === undefined || textField(named, 'Service') !== '') access.need('service', textField(named, 'Service'), wanted(service))
    }
    const check = field(operation, 'Check')
    if (check !== undefined) {
      const named = field(check, 'Check')
      const on = textField(named, 'Node')
      const before = catalog.checkOn(catalog.nodeKey(on), textField(named, 'CheckID') || textField(named, 'Name'))
      for (const id of new Set([textField(named, 'ServiceID'), before?.definition.ServiceID ?? textField(named, 'ServiceID')])) {
        const of = catalog.instanceOn(catalog.nodeKey(on), id)
        if (of === undefined) access.need('node', on, wanted(check))
        else access.need('service', of.Service, wanted(check))
      }
    }
    const session = field(operation, 'Session')
    if (session !== undefined)
      access.need('session', sessions.get(textField(field(session, 'Session'), 'ID'))?.Node ?? ownNode.Node, 'write')
  }
}

const INTENTIONS: RoutePermission = {
  filter: (access, payload) => items(payload, ({ DestinationName }) => access.may('intention', String(DestinationName), 'read')),
}

// ---- the table -----------------------------------------------------------------------------------------------------------------------------

const TABLE: Readonly<Record<string, RoutePermission>> = {
  // agent
  'GET /v1/agent/self': agent('read'),
  'GET /v1/agent/host': operator('read'),
  'GET /v1/agent/version': OPEN,
  'GET /v1/agent/metrics': agent('read'),
  'GET /v1/agent/metrics/stream': agent('read'),
  'GET /v1/agent/monitor': agent('read'),
  'GET /v1/agent/members': { filter: (access, payload) => items(payload, ({ Name }) => access.may('node', String(Name), 'read')) },
  'PUT /v1/agent/reload': agent('write'),
  'PUT /v1/agent/join/:x': agent('write'),
  'PUT /v1/agent/leave': agent('write'),
  'PUT /v1/agent/force-leave/:x': operator('write'),
  'PUT /v1/agent/token/:x': agent('write'),
  'PUT /v1/agent/maintenance': { check: (access, _request, { node }) => access.need('node', node.name, 'write') },
  'GET /v1/agent/services': {
    filter: (access, payload) => entries(payload, (_id, item) => access.may('service', serviceOf(item), 'read')),
  },
  'GET /v1/agent/service/:x': agentService('read'),
  'PUT /v1/agent/service/register': { check: (access, request) => needRegistration(access, request.body) },
  'PUT /v1/agent/service/deregister/:x': agentService('write'),
  'PUT /v1/agent/service/maintenance/:x': agentService('write'),
  'GET /v1/agent/health/service/id/:x': agentService('read'),
  'GET /v1/agent/health/service/name/:x': { check: (access, request) => access.need('service', first(request), 'read') },
  'GET /v1/agent/checks': {
    filter: (access, payload, { node }) =>
      entries(payload, (_id, item) => {
        const service = String(item['ServiceName'] ?? '')
        return service === '' ? access.may('node', node.name, 'read') : access.may('service', service, 'read')
      }),
  },
  'PUT /v1/agent/check/register': {
    check: (access, request, { catalog, node }) => {
      const service = catalog.instance(textField(request.body, 'ServiceID'))
      if (service === undefined) access.need('node', node.name, 'write')
      else access.need('service', service.Service, 'write')
    },
  },
  'PUT /v1/agent/check/deregister/:x': agentCheck,
  'PUT /v1/agent/check/pass/:x': agentCheck,
  'PUT /v1/agent/check/warn/:x': agentCheck,
  'PUT /v1/agent/check/fail/:x': agentCheck,
  'PUT /v1/agent/check/update/:x': agentCheck,
  'POST /v1/agent/connect/authorize': { check: (access, request) => access.need('service', textField(request.body, 'Target'), 'write') },
  'GET /v1/agent/connect/ca/roots': OPEN,
  'GET /v1/agent/connect/ca/leaf/:x': { check: (access, request) => access.need('service', first(request), 'write') },

  // catalog and health
  'PUT /v1/catalog/register': { check: (access, request, context) => needCatalogRegistration(access, request.body, context) },
  'PUT /v1/catalog/deregister': { check: (access, request, context) => needCatalogDeregistration(access, request.body, context) },
  'GET /v1/catalog/datacenters': OPEN,
  'GET /v1/catalog/nodes': NODES,
  'GET /v1/catalog/services': { filter: (access, payload) => entries(payload, name => access.may('service', name, 'read')) },
  'GET /v1/catalog/service/:x': ONE_SERVICE,
  'GET /v1/catalog/connect/:x': ONE_SERVICE,
  'GET /v1/catalog/gateway-services/:x': SERVICES,
  'GET /v1/catalog/node/:x': {
    check: (access, request) => access.need('node', first(request), 'read'),
    filter: (access, payload) => {
      const answer = payload as { Services?: unknown } | null
      return answer?.Services === undefined
        ? payload
        : { ...answer, Services: entries(answer.Services, (_id, item) => access.may('service', serviceOf(item), 'read')) }
    },
  },
  'GET /v1/catalog/node-services/:x': {
    check: (access, request) => access.need('node', first(request), 'read'),
    filter: (access, payload) => {
      const answer = payload as { Services?: unknown } | null
      return answer?.Services === undefined
        ? payload
        : { ...answer, Services: items(answer.Services, item => access.may('service', serviceOf(item), 'read')) }
    },
  },
  'GET /v1/health/node/:x': SERVICES,
  'GET /v1/health/checks/:x': SERVICES,
  'GET /v1/health/state/:x': SERVICES,
  'GET /v1/health/service/:x': ONE_SERVICE,
  'GET /v1/health/connect/:x': ONE_SERVICE,
  'GET /v1/health/ingress/:x': ONE_SERVICE,
  'GET /v1/discovery-chain/:x': { check: (access, request) => access.need('service', first(request), 'read') },
  'POST /v1/discovery-chain/:x': { check: (access, request) => access.need('service', first(request), 'read') },

  // configuration and connect
  'GET /v1/config': ENTRIES,
  'GET /v1/config/:x': ENTRIES,
  'GET /v1/config/:x/*': ONE_ENTRY,
  'DELETE /v1/config/:x/*': {
    check: (access, request, context) => {
      const [kind, name] = [param(request, 'kind'), param(request, '*')]
      needEntry(access, kind, name, 'write')
      needSameId(access, kind, name, undefined, context)
    },
  },
  'PUT /v1/config': { check: (access, request, context) => needWrite(access, request.body, context) },
  'PUT /v1/outrigger/config-entries': { check: needWrites },
  // What the web console needs before it knows a token, and asks before it writes.
  'GET /v1/outrigger/console': OPEN,
  'GET /v1/outrigger/topology': {
    filter: (access, payload) => {
      const { Services, Edges } = payload as Item
      const sees = (name: unknown): boolean => access.may('service', String(name), 'read')
      return {
        Services: items(Services, ({ Name }) => sees(Name)),
        Edges: items(Edges, ({ Source, Destination }) => sees(Source) && sees(Destination)),
      }
    },
  },
  'PUT /v1/outrigger/config-entries/check': {
    check: (access, request) => needEntry(access, textField(request.body, 'Kind'), textField(request.body, 'Name'), 'read'),
  },
  'PUT /v1/outrigger/intentions/preview': {
    check: (access, request) => access.need('intention', textField(field(request.body, 'Entry'), 'Name'), 'read'),
    filter: (access, payload) => {
      const answer = payload as { Edges?: unknown }
      return { ...answer, Edges: items(answer.Edges, ({ Destination }) => access.may('intention', String(Destination), 'read')) }
    },
  },
  // As if they were written; of the proxies those that may be seen.
  'PUT /v1/outrigger/plan': {
    check: needWrites,
    filter: (access, payload) => {
      const { Proxies, ...rest } = payload as { readonly Proxies: unknown }
      return { ...rest, Proxies: items(Proxies, ({ Service }) => access.may('service', String(Service), 'read')) }
    },
  },
  'GET /v1/connect/ca/roots': OPEN,
  'GET /v1/connect/ca/configuration': operator('read'),
  'PUT /v1/connect/ca/configuration': operator('write'),
  'GET /v1/connect/intentions': INTENTIONS,
  'POST /v1/connect/intentions': newIntention,
  'GET /v1/connect/intentions/match': { check: (access, request) => needMatch(access, request) },
  'GET /v1/connect/intentions/check': intention('read'),
  'GET /v1/connect/intentions/exact': intention('read'),
  'PUT /v1/connect/intentions/exact': intention('write'),
  'DELETE /v1/connect/intentions/exact': intention('write'),
  'GET /v1/connect/intentions/:x': intentionById('read'),
  'PUT /v1/connect/intentions/:x': intentionById('write'),
  'DELETE /v1/connect/intentions/:x': intentionById('write'),
  'GET /v1/exported-services': { check: access => access.needSingle('mesh', 'read') },
  'GET /v1/imported-services': { check: access => access.needSingle('mesh', 'read') },

  // keys, sessions, events, queries, transactions, snapshots
  'GET /v1/kv/*': key('read'),
  'PUT /v1/kv/*': key('write'),
  'DELETE /v1/kv/*': key('write'),
  'PUT /v1/session/create': session('write'),
  'PUT /v1/session/destroy/:x': heldSession,
  'PUT /v1/session/renew/:x': heldSession,
  'GET /v1/session/info/:x': session('read'),
  'GET /v1/session/node/:x': session('read'),
  'GET /v1/session/list': session('read'),
  'PUT /v1/event/fire/:x': { check: (access, request) => access.need('event', first(request), 'write') },
  'GET /v1/event/list': { filter: (access, payload) => items(payload, ({ Name }) => access.may('event', String(Name), 'read')) },
  'GET /v1/query': QUERY_LIST,
  'POST /v1/query': { check: (access, { body }) => access.need('query', textField(body, 'Name'), 'write') },
  'GET /v1/query/:x': ONE_QUERY,
  'PUT /v1/query/:x': changedQuery,
  'DELETE /v1/query/:x': {
    check: (access, request, { queries }) => access.need('query', queryName(queries.get(first(request))) ?? first(request), 'write'),
  },
  'GET /v1/query/:x/execute': {
    filter: (access, payload) => {
      const answer = payload as { Nodes?: unknown } | null
      return answer?.Nodes === undefined ? payload : { ...answer, Nodes: items(answer.Nodes, item => seesService(access, item)) }
    },
  },
  'GET /v1/query/:x/explain': {
    check: (access, request, { queries }) => access.need('query', queryName(queries.resolve(first(request))) ?? first(request), 'read'),
  },
  'PUT /v1/txn': {
    check: (access, request, context) => needTransaction(access, request.body, context),
    // A tree that was read may hold keys that may not be.
    filter: (access, payload) => {
      const answer = payload as { Results?: unknown }
      return answer.Results === undefined
        ? payload
        : { ...answer, Results: items(answer.Results, ({ Key }) => Key === undefined || access.may('key', String(Key), 'read')) }
    },
  },
  'GET /v1/snapshot': { check: access => access.needSingle('acl', 'write') },
  'PUT /v1/snapshot': { check: access => access.needSingle('acl', 'write') },
  // The list tells nothing of what is in them; putting one back replaces the tokens too.
  'GET /v1/outrigger/backups': operator('read'),
  'GET /v1/outrigger/backups/status': operator('read'),
  'PUT /v1/outrigger/backups': operator('write'),
  'PUT /v1/outrigger/backups/:x/restore': { check: access => access.needSingle('acl', 'write') },

  // A bootstrap holds nothing secret but the token that was shown; who may not run the proxy has no use for it.
  'GET /v1/outrigger/bootstrap/:x': {
    check: (access, request, { catalog }) => {
      const proxy = catalog.instance(first(request))
      if (proxy !== undefined) access.need('service', meshServiceOf(proxy), 'write')
    },
  },

  // rollouts: by the service that they move
  'GET /v1/outrigger/rollouts': {
    filter: (access, payload) => items(payload, ({ Service }) => access.may('service', String(Service), 'read')),
  },
  'GET /v1/outrigger/rollout/:x': rollout('read'),
  'PUT /v1/outrigger/rollout/:x': {
    check: (access, request, context) => {
      access.need('service', textField(request.body, 'Service'), 'write')
      needRollout(access, request, context, 'write')
    },
  },
  'DELETE /v1/outrigger/rollout/:x': rollout('write'),
  'PUT /v1/outrigger/rollout/:x/:x': rollout('write'),
  // Public by its nature: other trust domains verify our workloads by it.
  'GET /v1/outrigger/spiffe/bundle': OPEN,
  'GET /v1/outrigger/spiffe/federations': peering('read'),
  'GET /v1/outrigger/spiffe/federation/:x': peering('read'),
  'PUT /v1/outrigger/spiffe/federation/:x': peering('write'),
  'PUT /v1/outrigger/spiffe/federation/:x/refresh': peering('write'),
  'DELETE /v1/outrigger/spiffe/federation/:x': peering('write'),
  'GET /v1/outrigger/traffic': {
    filter: (access, payload) => {
      const { Edges, Services, Inbound, ...rest } = payload as Readonly<Record<'Edges' | 'Services' | 'Inbound', unknown>>
      const reads = (name: unknown): boolean => access.may('service', String(name), 'read')
      return {
        ...rest,
        Edges: items(Edges, ({ Source, Destination }) => reads(Source) && reads(Destination)),
        Services: items(Services, ({ Service }) => reads(Service)),
        Inbound: items(Inbound, ({ Service }) => reads(Service)),
      }
    },
  },
  'GET /v1/outrigger/traffic/series': {
    // A sum is for who may read all that is in it.
    check: (access, request, { traffic }) => {
      const { source, destination, subset } = askedEdge(request)
      for (const service of [source, destination]) if (service !== undefined) access.need('service', service, 'read')
      if (asksForHistory(request) && (source === undefined || destination === undefined)) access.needAllBelow('service', '', 'read')
      for (const edge of traffic.edgeIds()) {
        if ((source ?? edge.source) !== edge.source || (destination ?? edge.destination) !== edge.destination) continue
        if ((subset ?? edge.subset) !== edge.subset) continue
        access.need('service', edge.source, 'read')
        access.need('service', edge.destination, 'read')
      }
    },
  },

  // agents of other machines; what DNS and the rules of a token show, they ask for themselves
  'GET /v1/outrigger/agents': NODES,
  'PUT /v1/outrigger/agents/lease': { check: (access, request) => access.need('node', textField(request.body, 'Node'), 'write') },
  'PUT /v1/outrigger/agents/leave': { check: (access, request) => access.need('node', textField(request.body, 'Node'), 'write') },
  'GET /v1/outrigger/acl/rules': OPEN,
  'POST /v1/outrigger/dns': OPEN,

  // the server itself
  'GET /v1/status/leader': OPEN,
  'GET /v1/status/peers': OPEN,
  'GET /v1/coordinate/datacenters': OPEN,
  'GET /v1/coordinate/nodes': NODES,
  'GET /v1/coordinate/node/:x': { check: (access, request) => access.need('node', first(request), 'read') },
  'PUT /v1/coordinate/update': { check: (access, request) => access.need('node', textField(request.body, 'Node'), 'write') },
  'POST /v1/peering/token': peering('write'),
  'POST /v1/peering/establish': peering('write'),
  'GET /v1/peering/:x': peering('read'),
  'DELETE /v1/peering/:x': peering('write'),
  'GET /v1/peerings': peering('read'),
}

/** Whole families of endpoints that ask for one thing, by the beginning of their route. */
const FAMILIES: readonly (readonly [RegExp, RoutePermission])[] = [
  // They ask for themselves, with the ids and names of what they find.
  [/^\w+ \/v1\/(acl\/|internal\/acl\/)/, OPEN],
  [/^GET \/v1\/(operator|outrigger)\//, operator('read')],
  [/^\w+ \/v1\/(operator|outrigger)\//, operator('write')],
  [/^GET \/v1\/internal\/ui\/nodes?(\/|$)/, UI_NODES],
  [/^GET \/v1\/internal\/ui\/catalog-overview$/, operator('read')],
  [/^GET \/v1\/internal\/ui\/service-topology\//, UI_TOPOLOGY],
  [/^GET \/v1\/internal\/ui\/gateway-intentions\//, INTENTIONS],
  [/^GET \/v1\/internal\//, SERVICES],
  [
    /^PUT \/v1\/internal\/service-virtual-ip$/,
    { check: (access, request) => access.need('service', textField(request.body, 'Service'), 'write') },
  ],
]

function needMatch(access: Access, request: FastifyRequest): void {
  const { name } = request.query as { name?: string | string[] }
  for (const each of [name ?? []].flat()) {
    const service = each.split('/').at(-1)!
    if (service !== '*') access.need('intention', service, 'read')
  }
}

export function permissionOf(method: string, url: string): RoutePermission | undefined {
  const route = routeKey(method, url)
  return TABLE[route] ?? FAMILIES.find(([pattern]) => pattern.test(route))?.[1]
}

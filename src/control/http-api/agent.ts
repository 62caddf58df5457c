// `/v1/agent`: registration of services and checks, the agent's own view, health of local services, metrics. Shapes as Consul's.
// What is about the process and its machine is in `agent-process.ts`, what the control plane says of itself in `agent-self.ts`.
// Served by the agents of other machines as well.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type CatalogInstance, OWN_NODE } from '../catalog/catalog-types.js'
import { type HealthStatus, parseCheckDefinition } from '../catalog/check-definition.js'
import { parseServiceDefinition } from '../catalog/service-definition.js'
import { serviceTopic } from '../store/topic-indexes.js'
import type { LocalContext } from './context.js'
import { compileRequestFilter } from './request-filter.js'
import { describeError, flag, HttpError, hashBlockingRead, joinErrors, param, parseBoolean, query, topicWatch, warn } from './respond.js'
import { agentService, checkShape, ownChecksShape } from './shapes.js'

export function agentRoutes(app: FastifyInstance, context: LocalContext): void {
  const { catalog, node, metrics } = context

  app.put('/v1/agent/service/register', async (request, reply) => {
    const parsed = parseServiceDefinition(request.body, { strict: false, scripts: context.scriptsByApi === true })
    if (!parsed.ok) {
      metrics.refusedWrites.inc()
      throw new HttpError(400, `Invalid service definition: ${joinErrors(parsed.errors)}`)
    }
    const result = await catalog.register(parsed.value, flag(request, 'replace-existing-checks'))
    if (!result.ok) {
      metrics.refusedWrites.inc()
      throw new HttpError(400, `Invalid service definition: ${joinErrors(result.errors)}`)
    }
    if (result.changed) context.logs.info({ service: parsed.value.instance.ID }, 'agent: Synced service')
    warn(reply, parsed.value.warnings.map(describeError))
    return reply.header('X-Consul-Index', String(context.store.index)).send()
  })

  app.put('/v1/agent/service/deregister/:id', async (request, reply) => {
    const id = param(request, 'id')
    if (!(await catalog.deregister(id)))
      throw new HttpError(404, `Unknown service ID "${id}". Ensure that the service ID is passed, not the service name.`)
    return reply.header('X-Consul-Index', String(context.store.index)).send()
  })

  app.put('/v1/agent/service/maintenance/:id', async (request, reply) => {
    const id = param(request, 'id')
    const done = enableOf(request) ? await catalog.startMaintenance(id, query(request, 'reason') ?? '') : await catalog.endMaintenance(id)
    if (id === '' || !done)
      throw new HttpError(404, `Unknown service ID "${id}". Ensure that the service ID is passed, not the service name.`)
    return reply.send()
  })

  app.put('/v1/agent/maintenance', async (request, reply) => {
    if (enableOf(request)) await catalog.startMaintenance('', query(request, 'reason') ?? '')
    else await catalog.endMaintenance('')
    return reply.send()
  })

  app.get('/v1/agent/services', async request => {
    const isWanted = compileRequestFilter(request, 'service')
    const services: Record<string, unknown> = Object.create(null)
    for (const instance of catalog.instancesOn(OWN_NODE)) {
      const service = agentService(instance, node.datacenter)
      if (isWanted(service)) services[instance.ID] = service
    }
    return services
  })

  app.get('/v1/agent/service/:id', (request, reply) => {
    const id = param(request, 'id')
    const { Service } = find(context, id)
    return hashBlockingRead(context, request, reply, topicWatch(context.indexes, serviceTopic(Service)), () =>
      agentService(find(context, id), node.datacenter),
    )
  })

  app.get('/v1/agent/checks', async request => {
    const isWanted = compileRequestFilter(request, 'check')
    const checks: Record<string, unknown> = Object.create(null)
    for (const check of catalog.checksOn(OWN_NODE)) {
      const shape = checkShape(catalog, check)
      if (isWanted(shape)) checks[check.definition.CheckID] = shape
    }
    return checks
  })

  app.put('/v1/agent/check/register', async (request, reply) => {
    const parsed = parseCheckDefinition(request.body, { scripts: context.scriptsByApi === true })
    if (!parsed.ok) throw new HttpError(400, `Invalid check: ${joinErrors(parsed.errors)}`)
    const result = await catalog.registerCheck(parsed.value)
    if (!result.ok) throw new HttpError(400, `Invalid check: ${joinErrors(result.errors)}`)
    return reply.send()
  })

  app.put('/v1/agent/check/deregister/:id', async (request, reply) => {
    const id = param(request, 'id')
    if (!(await catalog.deregisterCheck(id))) throw new HttpError(404, unknownCheck(id))
    return reply.send()
  })

  for (const [verb, status] of [
    ['pass', 'passing'],
    ['warn', 'warning'],
    ['fail', 'critical'],
  ] as const)
    app.put(`/v1/agent/check/${verb}/:id`, async (request, reply) =>
      heartbeat(context, request, reply, status, query(request, 'note') ?? ''),
    )

  app.put('/v1/agent/check/update/:id', async (request, reply) => {
    const body = (request.body ?? {}) as { Status?: unknown; Output?: unknown }
    const { Status: status, Output: output = '' } = body
    if (status !== 'passing' && status !== 'warning' && status !== 'critical')
      throw new HttpError(400, `Invalid check status: '${String(status)}'`)
    return heartbeat(context, request, reply, status, String(output))
  })

  app.get('/v1/agent/health/service/id/:id', async (request, reply) => {
    const id = param(request, 'id')
    const instance = catalog.instance(id)
    if (instance === undefined) throw new HttpError(404, `ServiceId ${id} not found`)
    return localHealth(context, reply, [instance], query(request, 'format') === 'text', false)
  })

  app.get('/v1/agent/health/service/name/:name', async (request, reply) => {
    const name = param(request, 'name')
    const instances = catalog.instancesOf(name).filter(({ Node }) => Node === OWN_NODE)
    if (instances.length === 0) throw new HttpError(404, `ServiceName ${name} Not Found`)
    return localHealth(context, reply, instances, query(request, 'format') === 'text', true)
  })
}

/** `?enable=`, as Go reads booleans. */
function enableOf(request: FastifyRequest): boolean {
  const value = query(request, 'enable')
  if (value === undefined) throw new HttpError(400, 'Missing value for enable')
  const enable = parseBoolean(value)
  if (enable === undefined) throw new HttpError(400, `Invalid value for enable: "${value}"`)
  return enable
}

function find(context: LocalContext, id: string): CatalogInstance {
  const instance = context.catalog.instance(id)
  if (instance === undefined) throw new HttpError(404, `unknown service ID: ${id}`)
  return instance
}

function unknownCheck(id: string): string {
  return `Unknown check ID "${id}". Ensure that the check ID is passed, not the check name.`
}

async function heartbeat(
  context: LocalContext,
  request: FastifyRequest,
  reply: FastifyReply,
  status: HealthStatus,
  output: string,
): Promise<FastifyReply> {
  const id = param(request, 'id')
  const check = context.catalog.check(id)
  if (check === undefined) throw new HttpError(404, unknownCheck(id))
  if (check.definition.Type !== 'ttl') throw new HttpError(500, `CheckID "${id}" does not have associated TTL`)
  await context.healthChecks.updateTtl(id, status, output)
  return reply.send()
}

const HEALTH_CODES = { passing: 200, warning: 429, critical: 503, maintenance: 503 } as const

/** Status code by the worst (of one instance its own) state, as load balancers poll it. */
function localHealth(
  { catalog, node }: LocalContext,
  reply: FastifyReply,
  instances: readonly CatalogInstance[],
  text: boolean,
  asList: boolean,
): FastifyReply {
  const rows = instances.map(instance => ({
    AggregatedStatus: catalog.checksOf(instance).some(({ definition }) => definition.Type === 'maintenance')
      ? ('maintenance' as const)
      : catalog.health(instance),
    Service: agentService(instance, node.datacenter),
    Checks: ownChecksShape(catalog, instance),
  }))
  const statuses = rows.map(row => row.AggregatedStatus)
  const status = (['maintenance', 'critical', 'warning'] as const).find(bad => statuses.includes(bad)) ?? 'passing'
  reply.code(HEALTH_CODES[status])
  if (text) return reply.type('text/plain').send(status)
  return reply.send(asList ? rows : rows[0])
}

// `/v1/agent`: registration of services and checks, the agent's own view, health of local services, metrics. Shapes as Consul's.
import { createHash } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { CatalogInstance } from '../catalog/catalog.js'
import { type HealthStatus, parseCheckDefinition } from '../catalog/check-definition.js'
import { parseServiceDefinition } from '../catalog/service-definition.js'
import type { ApiContext, NodeInfo } from './context.js'
import { flag, HttpError, joinErrors, param, query } from './respond.js'
import { agentService, checkShape, checksShape } from './shapes.js'

export function agentRoutes(app: FastifyInstance, context: ApiContext): void {
  const { catalog, node, metrics } = context

  app.put('/v1/agent/service/register', async (request, reply) => {
    const parsed = parseServiceDefinition(request.body, { strict: false })
    if (!parsed.ok) {
      metrics.refusedWrites.inc()
      throw new HttpError(400, `Invalid service definition: ${joinErrors(parsed.errors)}`)
    }
    const result = await catalog.register(parsed.value, flag(request, 'replace-existing-checks'))
    if (!result.ok) {
      metrics.refusedWrites.inc()
      throw new HttpError(400, `Invalid service definition: ${joinErrors(result.errors)}`)
    }
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

  app.get('/v1/agent/members', async () => [memberShape(node)])

  app.get('/v1/agent/services', async () => {
    const services: Record<string, unknown> = Object.create(null)
    for (const instance of catalog.instances()) services[instance.ID] = agentService(instance, node)
    return services
  })

  app.get('/v1/agent/service/:id', async (request, reply) => {
    const instance = find(context, param(request, 'id'))
    const service = agentService(instance, node)
    const hash = createHash('sha256').update(JSON.stringify(service)).digest('hex').slice(0, 16)
    return reply.header('X-Consul-ContentHash', hash).send({ ...service, ContentHash: hash })
  })

  app.get('/v1/agent/checks', async () => {
    const checks: Record<string, unknown> = Object.create(null)
    for (const check of catalog.checks())
      checks[check.definition.CheckID] = checkShape(check, catalog.instance(check.definition.ServiceID), node)
    return checks
  })

  app.put('/v1/agent/check/register', async (request, reply) => {
    const parsed = parseCheckDefinition(request.body)
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
    return localHealth(context, reply, [instance], flag(request, 'format') || query(request, 'format') === 'text', false)
  })

  app.get('/v1/agent/health/service/name/:name', async (request, reply) => {
    const name = param(request, 'name')
    const instances = catalog.instancesOf(name)
    if (instances.length === 0) throw new HttpError(404, `ServiceName ${name} Not Found`)
    return localHealth(context, reply, instances, query(request, 'format') === 'text', true)
  })

  app.get('/v1/agent/self', async () => {
    const grpc = context.grpc()
    return {
      Config: {
        Datacenter: node.datacenter,
        PrimaryDatacenter: node.datacenter,
        NodeName: node.name,
        NodeID: node.id,
        Revision: '',
        Server: true,
        Version: context.version,
        BuildDate: '',
      },
      DebugConfig: {
        Datacenter: node.datacenter,
        GRPCPort: grpc.caPem === undefined ? grpc.port : -1,
        GRPCTLSPort: grpc.caPem === undefined ? -1 : grpc.port,
        ConnectEnabled: true,
      },
      Stats: { agent: { checks: String([...catalog.checks()].length), services: String(catalog.size) } },
      Member: memberShape(node),
      Meta: {},
      xDS: {
        SupportedProxies: { envoy: ['1.40.0'] },
        Port: grpc.port,
        Ports: { Plaintext: grpc.caPem === undefined ? grpc.port : -1, TLS: grpc.caPem === undefined ? -1 : grpc.port },
      },
    }
  })

  app.get('/v1/agent/metrics', async (request, reply) => {
    if (query(request, 'format') === 'prometheus') return reply.type(metrics.registry.contentType).send(await metrics.registry.metrics())
    const values = await metrics.registry.getMetricsAsJSON()
    return { Timestamp: new Date().toISOString(), Gauges: gaugesOf(values), Points: [], Counters: [], Samples: [] }
  })
}

/** `?enable=`, as Go reads booleans. */
function enableOf(request: FastifyRequest): boolean {
  const value = query(request, 'enable')
  if (value === undefined) throw new HttpError(400, 'Missing value for enable')
  if (['1', 't', 'T', 'true', 'TRUE', 'True'].includes(value)) return true
  if (['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(value)) return false
  throw new HttpError(400, `Invalid value for enable: "${value}"`)
}

function memberShape(node: NodeInfo): object {
  return { Name: node.name, Addr: node.address, Status: 1, Tags: { dc: node.datacenter, role: 'consul', id: node.id } }
}

function gaugesOf(
  metrics: readonly { readonly name: string; readonly values: readonly { readonly value: number | string }[] }[],
): object[] {
  return metrics.flatMap(metric => metric.values.slice(0, 1).map(({ value }) => ({ Name: metric.name, Value: Number(value), Labels: {} })))
}

function find(context: ApiContext, id: string): CatalogInstance {
  const instance = context.catalog.instance(id)
  if (instance === undefined) throw new HttpError(404, `unknown service ID: ${id}`)
  return instance
}

function unknownCheck(id: string): string {
  return `Unknown check ID "${id}". Ensure that the check ID is passed, not the check name.`
}

async function heartbeat(
  context: ApiContext,
  request: FastifyRequest,
  reply: FastifyReply,
  status: HealthStatus,
  output: string,
): Promise<FastifyReply> {
  const id = param(request, 'id')
  const check = context.catalog.check(id)
  if (check === undefined) throw new HttpError(404, unknownCheck(id))
  if (check.definition.Type !== 'ttl') throw new HttpError(400, `CheckID "${id}" does not have associated TTL`)
  await context.healthChecks.updateTtl(id, status, output)
  return reply.send()
}

const HEALTH_CODES = { passing: 200, warning: 429, critical: 503, maintenance: 503 } as const

/** Status code by the worst (of one instance its own) state, as load balancers poll it. */
function localHealth(
  { catalog, node }: ApiContext,
  reply: FastifyReply,
  instances: readonly CatalogInstance[],
  text: boolean,
  asList: boolean,
): FastifyReply {
  const rows = instances.map(instance => ({
    AggregatedStatus: catalog.checksOf(instance).some(({ definition }) => definition.Type === 'maintenance')
      ? ('maintenance' as const)
      : catalog.health(instance),
    Service: agentService(instance, node),
    Checks: checksShape(catalog, instance, node),
  }))
  const statuses = rows.map(row => row.AggregatedStatus)
  const status = (['maintenance', 'critical', 'warning'] as const).find(bad => statuses.includes(bad)) ?? 'passing'
  reply.code(HEALTH_CODES[status])
  if (text) return reply.type('text/plain').send(status)
  return reply.send(asList ? rows : rows[0])
}

// `/v1/agent` as far as it is about the control plane itself: what it is, its metrics, the members of the cluster, joining and forced leaving.
import type { FastifyInstance } from 'fastify'
import { OWN_NODE } from '../catalog/catalog-types.js'
import { agentMetrics, agentMetricsText } from './agent-metrics.js'
import type { ApiContext } from './context.js'
import { compileRequestFilter } from './request-filter.js'
import { flag, HttpError, param, query } from './respond.js'
import { agentConfigShape, agentMemberShape, dnsConfigShape, memberShape } from './shapes.js'
import type { StreamedAnswers } from './streamed-answers.js'

const METRICS_INTERVAL_MS = 10_000

export function agentSelfRoutes(app: FastifyInstance, context: ApiContext, streams: StreamedAnswers): void {
  const { agents, catalog, metrics, node } = context
  const acls = context.acl !== undefined

  app.get('/v1/agent/self', async () => {
    const grpc = context.grpc()
    return {
      Config: agentConfigShape(node, context.version, true),
      DebugConfig: {
        Datacenter: node.datacenter,
        GRPCPort: grpc.plainPort,
        GRPCTLSPort: grpc.tlsPort,
        ConnectEnabled: true,
        ...dnsConfigShape(context.dnsAddress()),
      },
      Stats: { agent: { checks: String(catalog.checksOn(OWN_NODE).length), services: String(catalog.instancesOn(OWN_NODE).length) } },
      Coord: { Vec: [0, 0, 0, 0, 0, 0, 0, 0], Error: 1.5, Adjustment: 0, Height: 1e-5 },
      Member: memberShape(node, false, { port: grpc.port, caPem: grpc.caPem, acls }),
      Meta: catalog.ownNode.Meta,
      Outrigger: { Version: context.version },
      xDS: {
        SupportedProxies: { envoy: ['1.40.0'] },
        Port: grpc.port,
        Ports: { Plaintext: grpc.plainPort, TLS: grpc.tlsPort },
      },
    }
  })

  app.get('/v1/agent/metrics', async (request, reply) => {
    if (query(request, 'format') === 'prometheus') return reply.type(metrics.registry.contentType).send(await agentMetricsText(context))
    return agentMetrics(context)
  })

  app.get('/v1/agent/metrics/stream', (_request, reply) =>
    streams.stream(reply, 'application/json', write => {
      const send = (): void => void agentMetrics(context).then(metrics => write(`${JSON.stringify(metrics)}\n`))
      send()
      const timer = setInterval(send, METRICS_INTERVAL_MS)
      return () => clearInterval(timer)
    }),
  )

  app.get('/v1/agent/members', async request => {
    const wan = flag(request, 'wan')
    // Agents are of the LAN.
    const others = wan ? [] : agents.list().map(agent => agentMemberShape(agent, node.datacenter))
    const { caPem } = context.grpc()
    const servers = context.replicas.list().map(({ id, name, address, grpcPort, grpcTlsPort }) => {
      const member = { id, name, address, datacenter: node.datacenter }
      return memberShape(member, wan, { port: grpcTlsPort > 0 ? grpcTlsPort : grpcPort, caPem, acls })
    })
    return [...servers, ...others].filter(compileRequestFilter(request, 'member'))
  })
  app.put('/v1/agent/join/:address', async request => {
    throw new HttpError(500, `cannot join ${param(request, 'address')}: this control plane is a single server`)
  })
  app.put('/v1/agent/force-leave/:node', async (request, reply) => {
    const name = param(request, 'node')
    if (name === node.name) throw new HttpError(500, 'this is the only server: it cannot be made to leave')
    if (!(await agents.forceLeave(name))) throw new HttpError(500, `agent: No node found with name '${name}'`)
    return reply.send()
  })
}

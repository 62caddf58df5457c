// The HTTP API of an agent: `/v1/agent/*` about this machine is answered here, by the same routes as the control plane's; everything else is
// the control plane's to answer. Made by `ClientAgent`. Where ACLs are on, what is answered here asks for the same permissions.
// Invariant: a request without a token goes with the agent's default one, and an answer that is not the server's own of this moment says so.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { AgentTokens } from '../acl/agent-tokens.js'
import { OWN_NODE } from '../catalog/catalog-types.js'
import { CONSUL_VERSION } from '../consul-version.js'
import { agentTokenRoute } from '../http-api/acl-authorize.js'
import { agentRoutes } from '../http-api/agent.js'
import { agentProcessRoutes } from '../http-api/agent-process.js'
import { authorizeWith } from '../http-api/authorize.js'
import { bootstrapRoute } from '../http-api/bootstrap-route.js'
import type { LocalContext } from '../http-api/context.js'
import type { HostPort } from '../http-api/listen-addresses.js'
import { HttpError, param } from '../http-api/respond.js'
import { LocalHosts, newHttpApi } from '../http-api/server.js'
import { agentConfigShape, dnsConfigShape } from '../http-api/shapes.js'
import { StreamedAnswers } from '../http-api/streamed-answers.js'
import { presentedToken } from '../http-api/token.js'
import type { ForwardedReads } from './forwarded-reads.js'
import type { LeaseState } from './lease-keeper.js'
import type { RemoteRules } from './remote-rules.js'
import { type ServerAnswer, type ServerLink, ServersAway } from './server-link.js'

export interface AgentApiContext extends LocalContext {
  readonly link: ServerLink
  readonly reads: ForwardedReads
  readonly rules: RemoteRules
  readonly tokens: AgentTokens
  readonly loopbackOnly: boolean
  leaseState(): LeaseState
  grpcPort(): number
  dnsAddress(): HostPort | undefined
}

const DEFAULTS_TIMEOUT_MS = 3_000
const LOOPBACK = '127.0.0.1'
/** Bodies that are only passed on: snapshots are the largest. */
const MAX_FORWARDED_BYTES = 512 * 1024 * 1024
/** A write may take as long as a snapshot's restore. */
const WRITE_TIMEOUT_MS = 120_000
/** Of one connection, or made by this agent anew. */
const NOT_PASSED_ON = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'content-length',
  'host',
  'date',
  'te',
  'trailer',
  'upgrade',
  'expect',
])

export function buildAgentApi(context: AgentApiContext): FastifyInstance {
  const { tokens } = context
  const localHosts = new LocalHosts()
  const app = newHttpApi(request => {
    if (context.loopbackOnly) localHosts.require(request)
  })
  authorizeWith(context.rules, app, context)
  agentRoutes(app, context)
  agentProcessRoutes(app, context, new StreamedAnswers())
  agentTokenRoute(app, () => tokens)
  const reach = (): { host: string; port: number; caPem: undefined } => ({ host: LOOPBACK, port: context.grpcPort(), caPem: undefined })
  bootstrapRoute(app, context, reach, () => proxyDefaults(context))
  app.get('/v1/agent/self', async () => selfShape(context))
  app.put('/v1/agent/join/:address', async request => {
    throw new HttpError(500, `cannot join ${param(request, 'address')}: -retry-join names the control plane of this agent`)
  })
  app.route({
    method: ['GET', 'PUT', 'POST', 'DELETE'],
    url: '/*',
    config: { rawBody: true, forwarded: true },
    bodyLimit: MAX_FORWARDED_BYTES,
    handler: (request, reply) => (request.method === 'GET' ? forwardRead(context, request, reply) : forwardWrite(context, request, reply)),
  })
  return app
}

/** Without a server the registration alone says how a proxy is set up. */
async function proxyDefaults({ reads, tokens }: AgentApiContext): Promise<Record<string, unknown>> {
  const signal = AbortSignal.timeout(DEFAULTS_TIMEOUT_MS)
  const read = { path: '/v1/config/proxy-defaults/global', token: tokens.get('agent'), headers: {}, signal }
  const answer = await reads.read(read).catch(() => undefined)
  return answer?.status === 200 ? ((JSON.parse(answer.body.toString()) as { Config?: Record<string, unknown> | null }).Config ?? {}) : {}
}

const tokenOf = ({ tokens }: AgentApiContext, request: FastifyRequest): string | undefined =>
  presentedToken(request) ?? tokens.get('default')

/** `?near=_agent` is near to this agent, not to the server that answers. */
function nearThisNode(url: string, node: string): string {
  return url.replace(/([?&]near=)_agent(?=&|$)/, (_all, before: string) => before + encodeURIComponent(node))
}

async function forwardRead(context: AgentApiContext, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const gone = new AbortController()
  const onClose = (): void => gone.abort()
  request.raw.socket.once('close', onClose)
  const maxAge = /(?:^|[\s,])max-age=(\d{1,9})/.exec(request.headers['cache-control'] ?? '')?.[1]
  try {
    const answer = await context.reads.read({
      path: nearThisNode(request.url, context.node.name),
      token: tokenOf(context, request),
      headers: passedOn(request.headers),
      signal: gone.signal,
      maxAgeSeconds: maxAge === undefined ? undefined : Number(maxAge),
    })
    return send(reply, answer, answer.origin)
  } catch (error) {
    throw asHttpError(error)
  } finally {
    request.raw.socket.removeListener('close', onClose)
  }
}

async function forwardWrite(context: AgentApiContext, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { method, url: path, body } = request
  try {
    const answer = await context.link.request({
      method,
      path,
      token: tokenOf(context, request),
      headers: passedOn(request.headers),
      body: Buffer.isBuffer(body) ? body : Buffer.alloc(0),
      timeoutMs: WRITE_TIMEOUT_MS,
    })
    return send(reply, answer, {})
  } catch (error) {
    throw asHttpError(error)
  }
}

/** Consul's sentence, and why. */
function asHttpError(error: unknown): unknown {
  return error instanceof ServersAway ? new HttpError(500, `No known Consul servers: ${error.message}`) : error
}

function passedOn(headers: FastifyRequest['headers']): Record<string, string> {
  const kept: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers))
    if (typeof value === 'string' && !NOT_PASSED_ON.has(name) && name !== 'x-consul-token' && name !== 'authorization') kept[name] = value
  return kept
}

function send(reply: FastifyReply, { status, headers, body }: ServerAnswer, origin: Readonly<Record<string, string>>): FastifyReply {
  for (const [name, value] of Object.entries(headers)) if (value !== undefined && !NOT_PASSED_ON.has(name)) reply.header(name, value)
  for (const [name, value] of Object.entries(origin)) reply.header(name, value)
  return reply.code(status).send(body)
}

function selfShape(context: AgentApiContext): object {
  const { node, version, catalog } = context
  return {
    Config: agentConfigShape(node, version, false),
    DebugConfig: {
      Datacenter: node.datacenter,
      GRPCPort: context.grpcPort(),
      GRPCTLSPort: -1,
      ConnectEnabled: true,
      ...dnsConfigShape(context.dnsAddress()),
    },
    Stats: {
      agent: { checks: String(catalog.checksOn(OWN_NODE).length), services: String(catalog.instancesOn(OWN_NODE).length) },
      consul: { server: 'false', lease: context.leaseState() },
    },
    Member: { Name: node.name, Addr: node.address, Tags: { dc: node.datacenter, id: node.id, role: 'node' }, Status: 1 },
    Meta: { 'consul-version': CONSUL_VERSION },
    Outrigger: { Version: version },
    xDS: { SupportedProxies: { envoy: ['1.40.0'] }, Port: context.grpcPort(), Ports: { Plaintext: context.grpcPort(), TLS: -1 } },
  }
}

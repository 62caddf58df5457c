// `/v1/outrigger/agents`, and what else the agents of other machines ask of the control plane: their node's lease, the rules of a token, DNS by
// HTTP. Called by server.ts; the work is agents/'s, acl/'s and dns/'s.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Access } from '../acl/access.js'
import { disabled, notFound } from '../acl/acl-error.js'
import type { AgentLease } from '../agents/agent-leases.js'
import { CatalogError } from '../catalog/catalog-draft.js'
import { readNode } from '../catalog/node-registration.js'
import { FieldReader } from '../config-entries/field-reader.js'
import type { ConfigError } from '../config-entries/types.js'
import type { AskedRights } from '../dns/dns-rights.js'
import type { ApiContext } from './context.js'
import { bodyObject, flag, HttpError, joinErrors } from './respond.js'
import { presentedToken } from './token.js'

const SECRET = /^[\x21-\x7e]{32,256}$/
const MAX_DNS_BYTES = 65_535

export function agentsRoutes(app: FastifyInstance, context: ApiContext): void {
  const { agents, node, acl } = context

  app.get('/v1/outrigger/agents', async () => agents.list().map(agentShape))

  app.put('/v1/outrigger/agents/lease', async request => {
    const errors: ConfigError[] = []
    const fields = new FieldReader(bodyObject(request), '', errors)
    const datacenter = fields.string('Datacenter')
    if (datacenter !== '' && datacenter !== node.datacenter)
      throw new HttpError(403, `this is datacenter "${node.datacenter}", and the agent is of "${datacenter}"`)
    const secret = fields.string('Secret')
    if (!SECRET.test(secret)) fields.fail('Secret', 'must be 32 to 256 visible ASCII characters')
    const wanted = inConsulsWords(() => readNode(fields))
    if (wanted.ID === '') fields.fail('ID', 'is missing')
    if (wanted.Address === '') fields.fail('Address', 'is missing')
    if (errors.length > 0) throw new HttpError(400, `Request decode failed: ${joinErrors(errors)}`)
    if (wanted.Node.toLowerCase() === node.name.toLowerCase() || wanted.ID === node.id)
      throw new HttpError(403, `node "${wanted.Node}" (${wanted.ID}) is the control plane's own`)
    const isNew = await agents.take({ node: wanted, secret, version: fields.string('Version') }).catch((error: Error) => {
      throw error instanceof CatalogError ? new HttpError(403, error.message) : error
    })
    const grpc = context.grpc()
    return {
      TTLMs: agents.ttlMs,
      New: isNew,
      Datacenter: node.datacenter,
      GRPC: { Host: grpc.host, Port: grpc.port, TLS: grpc.caPem !== undefined },
    }
  })

  app.put('/v1/outrigger/agents/leave', async request => {
    const fields = new FieldReader(bodyObject(request), '', [])
    await agents.leave(fields.string('Node'), fields.string('Secret'))
    return true
  })

  app.get('/v1/outrigger/acl/rules', async request => {
    if (acl === undefined) throw disabled()
    const resolved = acl.resolveRequest(presentedToken(request))
    if (resolved === undefined) throw notFound()
    return { AccessorID: resolved.accessorId, DefaultPolicy: acl.defaultPolicy, Rules: acl.ruleTexts(resolved) }
  })

  app.post('/v1/outrigger/dns', { config: { rawBody: true }, bodyLimit: MAX_DNS_BYTES }, async (request, reply) => {
    if (!Buffer.isBuffer(request.body)) throw new HttpError(400, 'a DNS message is expected')
    const answer = await context.resolveDns(request.body, flag(request, 'tcp'), rightsOf(request))
    if (answer === undefined) throw new HttpError(400, 'the message is no DNS query, or this control plane serves no DNS')
    return reply.type('application/dns-message').send(answer)
  })

  function rightsOf(request: FastifyRequest): AskedRights {
    const resolved = acl?.resolveRequest(presentedToken(request))
    return resolved === undefined ? undefined : new Access(resolved)
  }
}

function inConsulsWords<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw error instanceof CatalogError ? new HttpError(400, error.message) : error
  }
}

function agentShape({ node, nodeId, address, version, alive }: AgentLease): object {
  return { Node: node, ID: nodeId, Address: address, Version: version, Status: alive ? 'alive' : 'failed' }
}

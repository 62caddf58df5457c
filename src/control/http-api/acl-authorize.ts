// `/v1/internal/acl/authorize` and `/v1/agent/token/:kind`: what Consul's web interface asks before it shows a form, and the tokens that this
// process uses where a request shows none. Called by acl.ts.
import type { FastifyInstance } from 'fastify'
import { Access } from '../acl/access.js'
import { AclError, notFound } from '../acl/acl-error.js'
import { readObject, text } from '../acl/acl-input.js'
import type { AclSystem } from '../acl/acl-system.js'
import type { AgentTokens } from '../acl/agent-tokens.js'
import { NAMED_RESOURCES, type NamedResource, SINGLE_RESOURCES, type SingleResource } from '../acl/rules.js'
import { param } from './respond.js'
import { presentedToken } from './token.js'

const MAX_QUESTIONS = 64
const ACCESSES = ['read', 'list', 'write'] as const

/** An agent of another machine has it too. */
export function agentTokenRoute(app: FastifyInstance, tokens: () => AgentTokens): void {
  app.put('/v1/agent/token/:kind', async (request, reply) => {
    await tokens().write(param(request, 'kind'), text(readObject(request.body, ['Token']), 'Token'))
    return reply.send()
  })
}

export function aclAuthorizeRoutes(app: FastifyInstance, acl: () => AclSystem): void {
  agentTokenRoute(app, () => acl().agentTokens)
  app.route({
    method: ['POST', 'PUT'],
    url: '/v1/internal/acl/authorize',
    handler: async request => {
      const resolved = acl().resolveRequest(presentedToken(request))
      if (resolved === undefined) throw notFound()
      return answers(new Access(resolved), request.body)
    },
  })
}

function answers(access: Access, body: unknown): object[] {
  if (!Array.isArray(body)) throw new AclError(400, 'Request decode failed: a list is expected')
  if (body.length > MAX_QUESTIONS) throw new AclError(400, `Refusing to process more than ${MAX_QUESTIONS} authorizations at once`)
  return body.map(each => {
    const input = readObject(each, ['Resource', 'Segment', 'Access'])
    const question = { Resource: text(input, 'Resource'), Segment: text(input, 'Segment'), Access: text(input, 'Access') }
    return { ...question, Allow: isAllowed(access, question.Resource, question.Segment, question.Access) }
  })
}

function isAllowed(access: Access, resource: string, segment: string, asked: string): boolean {
  const wanted = ACCESSES.find(known => known === asked)
  if (wanted === undefined) throw new AclError(400, `Invalid access level: "${asked}"`)
  if (resource === 'intention' || (NAMED_RESOURCES as readonly string[]).includes(resource))
    return access.may(resource as NamedResource, segment, wanted)
  if ((SINGLE_RESOURCES as readonly string[]).includes(resource)) return access.maySingle(resource as SingleResource, wanted)
  throw new AclError(400, `Invalid ACL resource requested: "${resource}"`)
}

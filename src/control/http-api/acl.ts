// `/v1/acl/*`: tokens, policies, roles, auth methods, binding rules, templated policies, bootstrap, login. Called by server.ts; the work is
// acl/'s. Without ACLs every one of them answers 401 `ACL support disabled`, as Consul does. Secrets are shown to who may write ACLs, to
// the token's owner, and in the answer to a write; to others they are `<hidden>`.
import { createHash } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Access } from '../acl/access.js'
import { AclError, disabled, notFound } from '../acl/acl-error.js'
import { type Input, readObject, text } from '../acl/acl-input.js'
import type { AclSystem } from '../acl/acl-system.js'
import type { AclCollection } from '../acl/acl-table.js'
import type { AclRole, AclToken, Indexed } from '../acl/acl-types.js'
import type { WantedAccess } from '../acl/rule-index.js'
import { identityProblem, rendered, templateOf, templates } from '../acl/templated-policies.js'
import { aclAuthorizeRoutes } from './acl-authorize.js'
import type { ApiContext } from './context.js'
import { param, query, sendIndexed } from './respond.js'
import { presentedToken } from './token.js'

const HIDDEN = '<hidden>'

export function aclRoutes(app: FastifyInstance, context: ApiContext): void {
  const acl = (): AclSystem => {
    if (context.acl === undefined) throw disabled()
    return context.acl
  }
  /** The ACL system, for who may read or write what it keeps. */
  const forAcl = (request: FastifyRequest, wanted: WantedAccess): AclSystem => {
    const system = acl()
    const resolved = system.resolveRequest(presentedToken(request))
    if (resolved === undefined) throw notFound()
    new Access(resolved).needSingle('acl', wanted)
    return system
  }
  const send = (reply: FastifyReply, value: unknown): FastifyReply => sendIndexed(reply, context.store.index, value)

  app.put('/v1/acl/bootstrap', async (request, reply) => {
    const input: Input = request.body === undefined || request.body === null ? {} : readObject(request.body, ['BootstrapSecret'])
    const token = await acl().writes.bootstrap(text(input, 'BootstrapSecret') || undefined)
    return send(reply, { ID: token.SecretID, ...shown(token) })
  })
  app.get('/v1/acl/replication', (_request, reply) => {
    acl()
    return send(reply, REPLICATION)
  })
  app.post('/v1/acl/login', async (request, reply) => send(reply, shown(await acl().login.login(request.body))))
  app.post('/v1/acl/logout', async (request, reply) => {
    const system = acl()
    await system.login.logout(system.tokenOf(presentedToken(request)))
    return send(reply, null)
  })
  aclAuthorizeRoutes(app, acl)
  tokenRoutes(app, { acl, forAcl, send })
  const named = (
    noun: string,
    plural: string,
    collection: 'acl-policy' | 'acl-role',
    operations: (system: AclSystem) => Operations,
  ): void => {
    app.get(`/v1/acl/${plural}`, (request, reply) => {
      const policy = collection === 'acl-role' ? query(request, 'policy') || undefined : undefined
      const found = forAcl(request, 'read')
        .table.list(collection)
        .filter(value => policy === undefined || (value as AclRole).Policies.some(({ ID }) => ID === policy))
      return send(
        reply,
        found.map(value => listed(collection, value)),
      )
    })
    app.put(`/v1/acl/${noun}`, async (request, reply) =>
      send(reply, shown(await operations(forAcl(request, 'write')).create(request.body))),
    )
    app.get(`/v1/acl/${noun}/name/*`, (request, reply) => {
      const value = forAcl(request, 'read').table.byName(collection as 'acl-policy', param(request, '*'))
      return send(reply, shown(value ?? absent(noun)))
    })
    app.get(`/v1/acl/${noun}/:id`, (request, reply) =>
      send(reply, shown(forAcl(request, 'read').table.get(collection, param(request, 'id')) ?? absent(noun))),
    )
    app.put(`/v1/acl/${noun}/:id`, async (request, reply) =>
      send(reply, shown(await operations(forAcl(request, 'write')).update(param(request, 'id'), request.body))),
    )
    app.delete(`/v1/acl/${noun}/:id`, async (request, reply) => {
      await operations(forAcl(request, 'write')).remove(param(request, 'id'))
      return send(reply, true)
    })
  }
  named('policy', 'policies', 'acl-policy', ({ writes }) => ({
    create: body => writes.createPolicy(body),
    update: (id, body) => writes.updatePolicy(id, body),
    remove: id => writes.deletePolicy(id),
  }))
  named('role', 'roles', 'acl-role', ({ writes }) => ({
    create: body => writes.createRole(body),
    update: (id, body) => writes.updateRole(id, body),
    remove: id => writes.deleteRole(id),
  }))

  app.get('/v1/acl/auth-methods', (request, reply) =>
    send(
      reply,
      forAcl(request, 'read')
        .table.list('acl-auth-method')
        .map(value => listed('acl-auth-method', value)),
    ),
  )
  app.put('/v1/acl/auth-method', async (request, reply) =>
    send(reply, await forAcl(request, 'write').writes.putMethod(undefined, request.body)),
  )
  app.get('/v1/acl/auth-method/:name', (request, reply) =>
    send(reply, forAcl(request, 'read').table.get('acl-auth-method', param(request, 'name')) ?? absent('auth method')),
  )
  app.put('/v1/acl/auth-method/:name', async (request, reply) =>
    send(reply, await forAcl(request, 'write').writes.putMethod(param(request, 'name'), request.body)),
  )
  app.delete('/v1/acl/auth-method/:name', async (request, reply) => {
    await forAcl(request, 'write').writes.deleteMethod(param(request, 'name'))
    return send(reply, true)
  })

  app.get('/v1/acl/binding-rules', (request, reply) => {
    const method = query(request, 'authmethod')
    const rules = forAcl(request, 'read').table.list('acl-binding-rule')
    return send(reply, method === undefined ? rules : rules.filter(({ AuthMethod }) => AuthMethod === method))
  })
  app.put('/v1/acl/binding-rule', async (request, reply) =>
    send(reply, await forAcl(request, 'write').writes.putBindingRule(undefined, request.body)),
  )
  app.get('/v1/acl/binding-rule/:id', (request, reply) =>
    send(reply, forAcl(request, 'read').table.get('acl-binding-rule', param(request, 'id')) ?? absent('binding rule')),
  )
  app.put('/v1/acl/binding-rule/:id', async (request, reply) =>
    send(reply, await forAcl(request, 'write').writes.putBindingRule(param(request, 'id'), request.body)),
  )
  app.delete('/v1/acl/binding-rule/:id', async (request, reply) => {
    await forAcl(request, 'write').writes.deleteBindingRule(param(request, 'id'))
    return send(reply, true)
  })

  app.get('/v1/acl/templated-policies', (request, reply) => {
    forAcl(request, 'read')
    return send(reply, Object.fromEntries(templates().map(each => [each.TemplateName, each])))
  })
  app.get('/v1/acl/templated-policy/name/*', (request, reply) => {
    forAcl(request, 'read')
    return send(reply, templateOf(param(request, '*')) ?? invalidTemplate(param(request, '*')))
  })
  app.post('/v1/acl/templated-policy/preview/*', (request, reply) => {
    forAcl(request, 'read')
    const TemplateName = param(request, '*')
    const name = text(readObject(request.body ?? {}, ['Name']), 'Name')
    const problem = identityProblem({ TemplateName, ...(name === '' ? {} : { TemplateVariables: { Name: name } }) })
    if (problem !== null) throw new AclError(400, problem)
    const Rules = rendered(TemplateName, name)
    const id = createHash('sha256').update(Rules).digest('hex').slice(0, 32)
    return send(reply, {
      ID: id,
      Name: `synthetic-policy-${id}`,
      Description: `synthetic policy generated from templated policy: ${TemplateName}`,
      Rules,
      Hash: hashOf(Rules),
      CreateIndex: 0,
      ModifyIndex: 0,
    })
  })
}

interface Operations {
  create(body: unknown): Promise<object>
  update(id: string, body: unknown): Promise<object>
  remove(id: string): Promise<void>
}

interface TokenRouteParts {
  acl(): AclSystem
  forAcl(request: FastifyRequest, wanted: WantedAccess): AclSystem
  send(reply: FastifyReply, value: unknown): FastifyReply
}

function tokenRoutes(app: FastifyInstance, { acl, forAcl, send }: TokenRouteParts): void {
  app.get('/v1/acl/tokens', (request, reply) => {
    const system = forAcl(request, 'read')
    const wanted = (name: string): string | undefined => query(request, name) || undefined
    const [policy, role, method, service] = [wanted('policy'), wanted('role'), wanted('authmethod'), wanted('servicename')]
    const tokens = system.table
      .list('acl-token')
      .filter(token => policy === undefined || token.Policies.some(({ ID }) => ID === policy))
      .filter(token => role === undefined || token.Roles.some(({ ID }) => ID === role))
      .filter(token => method === undefined || token.AuthMethod === method)
      .filter(token => service === undefined || token.ServiceIdentities.some(({ ServiceName }) => ServiceName === service))
    return send(
      reply,
      tokens.map(token => secretFor(request, system, listed('acl-token', token) as AclToken)),
    )
  })
  app.put('/v1/acl/token', async (request, reply) => send(reply, shown(await forAcl(request, 'write').writes.createToken(request.body))))
  app.get('/v1/acl/token/self', (request, reply) => {
    const token = acl().resolveRequest(presentedToken(request))?.token
    if (token === undefined) throw notFound()
    return send(reply, shown(token))
  })
  app.get('/v1/acl/token/:id', (request, reply) => {
    const system = forAcl(request, 'read')
    const token = system.table.get('acl-token', param(request, 'id'))
    if (token === undefined) throw new AclError(404, 'Requested token does not exist: ACL not found')
    const expanded = query(request, 'expanded')
    return send(reply, { ...secretFor(request, system, shown(token)), ...(expanded === undefined ? {} : expansion(system, token)) })
  })
  app.put('/v1/acl/token/:id', async (request, reply) =>
    send(reply, shown(await forAcl(request, 'write').writes.updateToken(param(request, 'id'), request.body))),
  )
  app.put('/v1/acl/token/:id/clone', async (request, reply) =>
    send(reply, shown(await forAcl(request, 'write').writes.cloneToken(param(request, 'id'), request.body))),
  )
  app.delete('/v1/acl/token/:id', async (request, reply) => {
    const system = forAcl(request, 'write')
    await system.writes.deleteToken(param(request, 'id'), system.resolveRequest(presentedToken(request))?.accessorId)
    return send(reply, true)
  })
}

/** The policies and roles behind a token's links. */
function expansion({ table, defaultPolicy }: AclSystem, token: AclToken): object {
  const policiesOf = (links: AclToken['Policies']): object[] =>
    links.map(({ ID }) => table.get('acl-policy', ID)).filter(value => value !== undefined)
  const roles = token.Roles.map(({ ID }) => table.get('acl-role', ID)).filter(value => value !== undefined)
  return {
    ExpandedPolicies: [...policiesOf(token.Policies), ...roles.flatMap(role => policiesOf(role.Policies))].map(shown),
    ExpandedRoles: roles.map(shown),
    AgentACLDefaultPolicy: defaultPolicy,
    AgentACLDownPolicy: 'extend-cache',
    ResolvedByAgent: '',
  }
}

function secretFor<T extends AclToken>(request: FastifyRequest, system: AclSystem, token: T): T {
  const asking = system.resolveRequest(presentedToken(request))
  const mayKnow = asking?.accessorId === token.AccessorID || asking?.rules.allowsSingle('acl', 'write') === true
  return mayKnow ? token : { ...token, SecretID: HIDDEN }
}

/** With its hash, and without the lists that are empty, as Consul prints it. */
function shown<T extends object>(value: T): T & { readonly Hash: string } {
  const kept = Object.fromEntries(Object.entries(value).filter(([, field]) => !(Array.isArray(field) && field.length === 0)))
  const { CreateIndex: _created, ModifyIndex: _modified, ...content } = value as Partial<Indexed<object>>
  return { ...(kept as T), Hash: hashOf(JSON.stringify(content)) }
}

/** What a list shows of each: no rules, no configuration. */
function listed(collection: AclCollection, value: object): object {
  const { Rules: _rules, Config: _config, ...stub } = value as { Rules?: string; Config?: object }
  return collection === 'acl-auth-method' ? stub : shown(stub)
}

function hashOf(content: string): string {
  return createHash('sha256').update(content).digest('base64')
}

function absent(noun: string): never {
  throw new AclError(404, `Requested ${noun} does not exist: ACL not found`)
}

function invalidTemplate(name: string): never {
  throw new AclError(400, `Invalid templated policy Name: ${name}`)
}

const REPLICATION = {
  Enabled: false,
  Running: false,
  SourceDatacenter: '',
  ReplicationType: '',
  ReplicatedIndex: 0,
  ReplicatedRoleIndex: 0,
  ReplicatedTokenIndex: 0,
  LastSuccess: '0001-01-01T00:00:00Z',
  LastError: '0001-01-01T00:00:00Z',
  LastErrorMessage: '',
}

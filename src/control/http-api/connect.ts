// `/v1/connect` and `/v1/agent/connect`: CA roots, leaves, intentions and their decisions, in Consul's shapes. Decisions come from the
// same code that compiles what the sidecars enforce.
import { createHash } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { type CaConfig, decodeCaConfig, encodeCaConfig } from '../../mtls/ca/config.js'
import { filesOfVault, withKnownLogin } from '../../mtls/ca/vault/vault-config.js'
import { meshIdentityOf, parseSpiffeId } from '../../mtls/spiffe.js'
import { SERVICE_NAME } from '../catalog/service-definition.js'
import { parseDuration } from '../config-entries/duration.js'
import { FieldReader } from '../config-entries/field-reader.js'
import type { ConfigError, MeshGatewayMode, ServiceIntentions, SourceIntention } from '../config-entries/types.js'
import { compileDiscoveryChain } from '../discovery-chain/compile.js'
import { isHttpLike, serviceProtocol } from '../discovery-chain/service-protocol.js'
import { decide } from '../intentions/decide.js'
import { explainIntention } from '../intentions/explain.js'
import { flattenEntry, intentionsFor } from '../intentions/match.js'
import { intentionTable } from '../intentions/table.js'
import type { Intention } from '../intentions/types.js'
import type { ApiContext } from './context.js'
import { compileRequestFilter } from './request-filter.js'
import { blockingRead, bodyObject, flag, HttpError, joinErrors, param, query, queryAll, requiredQuery } from './respond.js'

const INTENTIONS = 'intentions'
const CA_CONFIG = 'ca-config'
/** Certificates are kept and renewed, so that names nobody registered must not grow without end. */
const MAX_UNREGISTERED_LEAVES = 1_000

export function connectRoutes(app: FastifyInstance, context: ApiContext): void {
  const { ca, entries, leaves } = context

  app.get('/v1/connect/ca/roots', (request, reply) => roots(request, reply))
  app.get('/v1/agent/connect/ca/roots', (request, reply) => roots(request, reply))
  function roots(request: FastifyRequest, reply: Parameters<typeof blockingRead>[2]) {
    if (flag(request, 'pem')) return reply.type('application/x-pem-file').send(ca.trustBundlePem())
    return blockingRead(context, request, reply, 'roots', () => {
      const { Roots, ...rest } = ca.roots()
      return { ...rest, Roots: Roots.map(({ RotatedOutAt: _at, ...root }) => root) }
    })
  }

  app.get('/v1/connect/ca/configuration', (request, reply) =>
    blockingRead(context, request, reply, CA_CONFIG, () => {
      const index = context.indexes.get(CA_CONFIG)
      return { ...encodeCaConfig(ca.config), State: null, CreateIndex: index, ModifyIndex: index }
    }),
  )

  app.put('/v1/connect/ca/configuration', async (request, reply) => {
    const { body } = request
    if (typeof body !== 'object' || body === null || Array.isArray(body))
      throw new HttpError(400, 'Request decode failed: must be an object')
    const decoded = decodeCaConfig(withKnownSecret(body as Record<string, unknown>, ca.config))
    if (!decoded.ok) throw new HttpError(400, joinErrors(decoded.problems))
    const { provider } = decoded.config
    if (!context.caFilesByApi && filesOf(decoded.config).some(file => !filesOf(ca.config).includes(file)))
      throw new HttpError(403, `Provider: "${provider.kind}" names paths of this host, which the API may do only with --ca-files-by-api`)
    try {
      await ca.updateConfig(decoded.config)
    } catch (error) {
      throw new HttpError(400, (error as Error).message)
    }
    context.indexes.bump(CA_CONFIG, context.store.index)
    return reply.header('X-Consul-Index', String(context.indexes.get(CA_CONFIG))).send()
  })

  app.get('/v1/agent/connect/ca/leaf/:service', async (request, reply) => {
    const service = param(request, 'service')
    // Also for one that is not registered (yet): connect-native programs ask for their identity before they register.
    if (!SERVICE_NAME.test(service)) throw new HttpError(400, `${JSON.stringify(service)} is not a service name`)
    if (leaves.get(service) === undefined && !isRegistered(context, service)) {
      const others = [...leaves.all()].filter(leaf => !isRegistered(context, leaf.service)).length
      if (others >= MAX_UNREGISTERED_LEAVES)
        throw new HttpError(429, `${MAX_UNREGISTERED_LEAVES} services that are not registered have a certificate, which is the limit`)
    }
    await leaves.ensure(service)
    return blockingRead(context, request, reply, `leaf:${service}`, () => {
      const leaf = leaves.get(service)
      if (leaf === undefined) throw new HttpError(404, `Service "${service}" is not registered`)
      return {
        SerialNumber: leaf.serial,
        CertPEM: leaf.chainPem,
        PrivateKeyPEM: leaf.keyPem,
        Service: service,
        ServiceURI: leaf.uri,
        ValidAfter: leaf.notBefore.toISOString(),
        ValidBefore: leaf.notAfter.toISOString(),
        CreateIndex: leaf.createIndex,
        ModifyIndex: leaf.modifyIndex,
      }
    })
  })

  app.get('/v1/connect/intentions', (request, reply) => {
    const isWanted = compileRequestFilter(request, 'intention')
    return blockingRead(context, request, reply, INTENTIONS, () =>
      allIntentions(context)
        .map(({ intention, entry }) => intentionShape(intention, entry))
        .filter(isWanted)
        .sort((a, b) => b.Precedence - a.Precedence || (a.DestinationName + a.SourceName < b.DestinationName + b.SourceName ? -1 : 1)),
    )
  })

  // The old form, by id: an id stands for the pair of names, so that it needs no place of its own.
  app.post('/v1/connect/intentions', async request => {
    const body = bodyObject(request)
    const source = plainName(String(body['SourceName'] ?? ''))
    const destination = plainName(String(body['DestinationName'] ?? ''))
    if (source === '' || destination === '') throw new HttpError(400, 'SourceName and DestinationName must be set')
    const exists = entries.get('service-intentions', destination)?.Sources.some(({ Name }) => Name === source) === true
    if (exists) throw new HttpError(500, 'duplicate intention found: it is the pair of names that counts')
    const now = new Date().toISOString()
    await writeIntention(context, source, destination, body, { LegacyCreateTime: now, LegacyUpdateTime: now })
    return { ID: intentionId(source, destination) }
  })
  app.get('/v1/connect/intentions/:id', (request, reply) =>
    blockingRead(context, request, reply, INTENTIONS, () => {
      const { intention, entry } = intentionOfId(context, param(request, 'id'))
      return intentionShape(intention, entry)
    }),
  )
  app.put('/v1/connect/intentions/:id', async request => {
    const { intention } = intentionOfId(context, param(request, 'id'))
    const { source, destination } = intention
    const { LegacyCreateTime } = sourceOf(entries.get('service-intentions', destination), source) ?? {}
    const times = { ...(LegacyCreateTime === undefined ? {} : { LegacyCreateTime }), LegacyUpdateTime: new Date().toISOString() }
    await writeIntention(context, source, destination, bodyObject(request), times)
    return { ID: param(request, 'id') }
  })
  app.delete('/v1/connect/intentions/:id', async request => {
    const { intention } = intentionOfId(context, param(request, 'id'))
    return deleteIntention(context, intention.source, intention.destination)
  })

  app.get('/v1/connect/intentions/match', (request, reply) => {
    const by = requiredQuery(request, 'by')
    if (by !== 'source' && by !== 'destination') throw new HttpError(400, "'by' must be one of 'source' or 'destination'")
    const names = queryAll(request, 'name').filter(name => name !== '')
    if (names.length === 0) throw new HttpError(400, "required query parameter 'name' not set")
    return blockingRead(context, request, reply, INTENTIONS, () =>
      Object.fromEntries(names.map(name => [name, matchingIntentions(context, by, plainName(name))])),
    )
  })

  app.get('/v1/connect/intentions/check', (request, reply) => {
    const source = requiredQuery(request, 'source')
    const destination = requiredQuery(request, 'destination')
    return blockingRead(context, request, reply, INTENTIONS, () => ({ Allowed: decideConnection(context, source, destination).allowed }))
  })

  app.get('/v1/connect/intentions/exact', (request, reply) => {
    const { source, destination } = exactNames(request)
    return blockingRead(context, request, reply, INTENTIONS, () => {
      const entry = entries.get('service-intentions', destination)
      const intention = entry && flattenEntry(entry).find(candidate => candidate.source === source)
      if (entry === undefined || intention === undefined) throw new HttpError(404, 'Intention not found')
      return intentionShape(intention, entry)
    })
  })

  app.put('/v1/connect/intentions/exact', async request => {
    const { source, destination } = exactNames(request)
    return writeIntention(context, source, destination, request.body === undefined ? {} : bodyObject(request))
  })

  app.delete('/v1/connect/intentions/exact', async request => {
    const { source, destination } = exactNames(request)
    return deleteIntention(context, source, destination)
  })

  app.post('/v1/agent/connect/authorize', async (request, reply) => {
    const body = (request.body ?? {}) as Record<string, unknown>
    const target = body['Target']
    const uri = body['ClientCertURI']
    if (typeof target !== 'string' || target === '') throw new HttpError(400, 'Target service must be specified')
    if (typeof uri !== 'string' || uri === '') throw new HttpError(400, 'ClientCertURI must be specified')
    const parsed = parseSpiffeId(uri)
    if (!parsed.ok) throw new HttpError(400, `ClientCertURI not a valid Connect identifier: ${parsed.error.reason}`)
    const identity = meshIdentityOf(parsed.id)
    if (identity?.kind !== 'service') throw new HttpError(400, 'ClientCertURI not a valid Service identifier')
    reply.header('X-Consul-Index', String(context.indexes.get(INTENTIONS)))
    if (identity.trustDomain !== ca.trustDomain)
      return { Authorized: false, Reason: `Identity from an external trust domain: ${identity.trustDomain}` }
    const decision = decideConnection(context, identity.service, target)
    return { Authorized: decision.allowed, Reason: decision.reason }
  })

  app.route({
    method: ['GET', 'POST'],
    url: '/v1/discovery-chain/:service',
    handler: (request, reply) => {
      const overrides = chainOverrides(context, request)
      return blockingRead(context, request, reply, 'config', () => {
        const { datacenter } = context.node
        const result = compileDiscoveryChain({
          service: param(request, 'service'),
          datacenter,
          trustDomain: ca.trustDomain,
          entries,
          ...overrides,
        })
        if ('errors' in result) throw new HttpError(400, joinErrors(result.errors))
        return { Chain: result.chain }
      })
    },
  })
}

/** What a caller's own upstream configuration would say over the entries (POST). */
function chainOverrides({ node }: ApiContext, request: FastifyRequest): Partial<Parameters<typeof compileDiscoveryChain>[0]> {
  const evaluateIn = query(request, 'compile-dc') ?? ''
  if (evaluateIn !== '' && evaluateIn !== node.datacenter) throw new HttpError(500, 'No path to datacenter')
  if (request.method === 'GET' || request.body === undefined) return {}
  const errors: ConfigError[] = []
  const fields = new FieldReader(bodyObject(request), '', errors)
  const protocol = fields.string('OverrideProtocol')
  const timeoutText = fields.string('OverrideConnectTimeout')
  const timeout = timeoutText === '' ? 0 : /^\d{1,15}$/.test(timeoutText) ? Number(timeoutText) : parseDuration(timeoutText)
  if (timeout === undefined || timeout < 0) fields.fail('OverrideConnectTimeout', `"${timeoutText}" is no duration`)
  const mode = fields.object('OverrideMeshGateway')?.string('Mode') ?? ''
  if (!['', 'none', 'local', 'remote'].includes(mode)) fields.fail('OverrideMeshGateway.Mode', 'must be none, local or remote')
  if (errors.length > 0) throw new HttpError(400, `Request decode failed: ${joinErrors(errors)}`)
  return {
    ...(protocol === '' ? {} : { overrideProtocol: protocol }),
    ...(timeout === undefined || timeout === 0 ? {} : { overrideConnectTimeoutMs: timeout / 1e6 }),
    ...(mode === '' ? {} : { overrideMeshGateway: mode as MeshGatewayMode }),
  }
}

function isRegistered({ catalog }: ApiContext, service: string): boolean {
  return catalog.instancesOf(service).length + catalog.connectInstancesOf(service).length > 0
}

function filesOf({ provider }: CaConfig): readonly string[] {
  if (provider.kind === 'vault') return filesOfVault(provider)
  return provider.kind === 'files' ? [provider.rootFile, provider.intermediateFile, provider.keyFile] : []
}

/** Private keys and tokens are never shown, so what was read may be written back without the one that is in force. */
function withKnownSecret(body: Record<string, unknown>, { provider }: CaConfig): Record<string, unknown> {
  const config = body['Config'] as Record<string, unknown> | null | undefined
  if (typeof config !== 'object' || config === null) return body
  if (provider.kind === 'vault') return { ...body, Config: withKnownLogin(config, provider) }
  if (provider.kind !== 'consul' || provider.rootCertPem === '') return body
  if (config['RootCert'] !== provider.rootCertPem || (config['PrivateKey'] ?? '') !== '') return body
  return { ...body, Config: { ...config, PrivateKey: provider.privateKeyPem } }
}

/** An intention with permissions can't be decided for a connection alone: then the answer is no, as in Consul. */
function decideConnection(
  context: ApiContext,
  source: string,
  destination: string,
): { readonly allowed: boolean; readonly reason: string } {
  const intentions = intentionsFor(context.entries, destination)
  const policy = { defaultAction: context.defaultPolicy(), http: isHttpLike(serviceProtocol(context.entries, destination)) }
  const decision = decide(intentions, { source: { service: source } }, policy)
  const needsRequest = decision.intention?.permissions !== undefined
  const { reason } = explainIntention(intentionTable(destination, intentions, policy), { source })
  return needsRequest
    ? { allowed: false, reason: `Matched L7 intention ${decision.intention!.name}: its permissions are decided for each request` }
    : { allowed: decision.allowed, reason }
}

async function write(context: ApiContext, entry: object): Promise<true> {
  const result = await context.entries.put(entry)
  if (result.ok) return true
  context.metrics.refusedWrites.inc()
  throw new HttpError(400, 'errors' in result ? joinErrors(result.errors) : 'the entry was changed meanwhile')
}

function sourceOf(entry: ServiceIntentions | undefined, name: string): SourceIntention | undefined {
  return entry?.Sources.find(source => source.Name === name)
}

/** Sets what an entry says of one source; the other sources stay. `times`: only the endpoints by id keep them, as in Consul. */
function writeIntention(
  context: ApiContext,
  source: string,
  destination: string,
  body: Record<string, unknown>,
  times: Pick<SourceIntention, 'LegacyCreateTime' | 'LegacyUpdateTime'> = {},
): Promise<true> {
  const entry = context.entries.get('service-intentions', destination)
  const others = (entry?.Sources ?? []).filter(candidate => candidate.Name !== source)
  const changed = {
    Name: source,
    Type: 'consul',
    ...(body['Action'] === undefined || body['Action'] === '' ? {} : { Action: body['Action'] }),
    ...(body['Permissions'] === undefined || body['Permissions'] === null ? {} : { Permissions: body['Permissions'] }),
    ...(body['Description'] === undefined ? {} : { Description: body['Description'] }),
    ...times,
  }
  return write(context, { ...(entry ?? { Kind: 'service-intentions', Name: destination }), Sources: [...others, changed] })
}

async function deleteIntention(context: ApiContext, source: string, destination: string): Promise<true> {
  const entry = context.entries.get('service-intentions', destination)
  const rest = (entry?.Sources ?? []).filter(candidate => candidate.Name !== source)
  if (entry === undefined || rest.length === entry.Sources.length) return true
  if (rest.length > 0) return write(context, { ...entry, Sources: rest })
  const result = await context.entries.delete('service-intentions', destination)
  if (!result.ok && 'errors' in result) throw new HttpError(400, joinErrors(result.errors))
  return true
}

function exactNames(request: FastifyRequest): { readonly source: string; readonly destination: string } {
  return { source: plainName(requiredQuery(request, 'source')), destination: plainName(requiredQuery(request, 'destination')) }
}

/** Names may come with the one namespace and partition that there are. */
function plainName(name: string): string {
  return name.replace(/^(?:default\/){1,2}/, '')
}

function allIntentions({ entries }: ApiContext): { readonly intention: Intention; readonly entry: ServiceIntentions }[] {
  return entries.list('service-intentions').flatMap(entry => flattenEntry(entry).map(intention => ({ intention, entry })))
}

/** Entries have indexes, not times; Go's zero time is how Consul says so. */
const NO_TIME = '0001-01-01T00:00:00Z'

/** A UUID made of the pair of names. */
function intentionId(source: string, destination: string): string {
  const hex = createHash('sha256')
    .update(JSON.stringify([source, destination]))
    .digest('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

function intentionOfId(context: ApiContext, id: string): { readonly intention: Intention; readonly entry: ServiceIntentions } {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id))
    throw new HttpError(400, `Invalid intention ID ${JSON.stringify(id)}: must be a UUID`)
  const found = intentionWithId(context, id)
  if (found === undefined) throw new HttpError(404, 'Intention not found')
  return found
}

export function intentionWithId(
  context: ApiContext,
  id: string,
): { readonly intention: Intention; readonly entry: ServiceIntentions } | undefined {
  return allIntentions(context).find(({ intention }) => intentionId(intention.source, intention.destination) === id)
}

/** Those that speak of a service, the one that decides first. */
export function matchingIntentions(context: ApiContext, by: 'source' | 'destination', name: string) {
  return allIntentions(context)
    .filter(({ intention }) => {
      const value = by === 'source' ? intention.source : intention.destination
      return value === name || value === '*'
    })
    .sort((a, b) => b.intention.precedence - a.intention.precedence || (a.intention.name < b.intention.name ? -1 : 1))
    .map(({ intention, entry }) => intentionShape(intention, entry))
}

function intentionShape(intention: Intention, entry: ServiceIntentions) {
  const { LegacyCreateTime, LegacyUpdateTime } = sourceOf(entry, intention.source) ?? {}
  return {
    ID: intentionId(intention.source, intention.destination),
    ...(intention.description === undefined ? {} : { Description: intention.description }),
    SourceNS: intention.sourceNamespace,
    SourceName: intention.source,
    SourcePartition: intention.sourcePartition,
    ...(intention.sourcePeer === undefined ? {} : { SourcePeer: intention.sourcePeer }),
    DestinationNS: 'default',
    DestinationName: intention.destination,
    DestinationPartition: 'default',
    SourceType: 'consul',
    Meta: entry.Meta ?? {},
    CreatedAt: LegacyCreateTime ?? NO_TIME,
    UpdatedAt: LegacyUpdateTime ?? NO_TIME,
    ...(intention.action === undefined ? {} : { Action: intention.action }),
    ...(intention.permissions === undefined ? {} : { Permissions: intention.permissions }),
    Precedence: intention.precedence,
    CreateIndex: entry.CreateIndex ?? 0,
    ModifyIndex: entry.ModifyIndex ?? 0,
  }
}

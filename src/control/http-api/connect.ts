// `/v1/connect` and `/v1/agent/connect`: CA roots, leaves, intentions and their decisions, in Consul's shapes. Decisions come from the
// same code that compiles what the sidecars enforce.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { type CaConfig, decodeCaConfig, encodeCaConfig } from '../../mtls/ca/config.js'
import { meshIdentityOf, parseSpiffeId } from '../../mtls/spiffe.js'
import type { ServiceIntentions } from '../config-entries/types.js'
import { compileDiscoveryChain } from '../discovery-chain/compile.js'
import { isHttpLike, serviceProtocol } from '../discovery-chain/service-protocol.js'
import { decide } from '../intentions/decide.js'
import { explainIntention } from '../intentions/explain.js'
import { flattenEntry, intentionsFor } from '../intentions/match.js'
import { intentionTable } from '../intentions/table.js'
import type { Intention } from '../intentions/types.js'
import type { ApiContext } from './context.js'
import { blockingRead, flag, HttpError, joinErrors, param, query, requiredQuery } from './respond.js'

const INTENTIONS = 'intentions'
const CA_CONFIG = 'ca-config'

export function connectRoutes(app: FastifyInstance, context: ApiContext): void {
  const { ca, catalog, entries, leaves } = context

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
    const decoded = decodeCaConfig(withKnownKey(body as Record<string, unknown>, ca.config))
    if (!decoded.ok) throw new HttpError(400, joinErrors(decoded.problems))
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
    if (catalog.instancesOf(service).length + catalog.connectInstancesOf(service).length === 0)
      throw new HttpError(404, `Service "${service}" is not registered`)
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

  app.get('/v1/connect/intentions', (request, reply) =>
    blockingRead(context, request, reply, INTENTIONS, () =>
      entries
        .list('service-intentions')
        .flatMap(entry => flattenEntry(entry).map(intention => intentionShape(intention, entry)))
        .sort((a, b) => b.Precedence - a.Precedence || (a.DestinationName + a.SourceName < b.DestinationName + b.SourceName ? -1 : 1)),
    ),
  )

  app.get('/v1/connect/intentions/match', (request, reply) => {
    const by = requiredQuery(request, 'by')
    if (by !== 'source' && by !== 'destination') throw new HttpError(400, "'by' must be one of 'source' or 'destination'")
    const name = requiredQuery(request, 'name')
    return blockingRead(context, request, reply, INTENTIONS, () => ({ [name]: matching(context, by, name) }))
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
    const body = (request.body ?? {}) as Record<string, unknown>
    const entry = entries.get('service-intentions', destination)
    const others = (entry?.Sources ?? []).filter(candidate => candidate.Name !== source)
    const changed = {
      Name: source,
      Type: 'consul',
      ...(body['Action'] === undefined || body['Action'] === '' ? {} : { Action: body['Action'] }),
      ...(body['Permissions'] === undefined || body['Permissions'] === null ? {} : { Permissions: body['Permissions'] }),
      ...(body['Description'] === undefined ? {} : { Description: body['Description'] }),
    }
    return write(context, { ...(entry ?? { Kind: 'service-intentions', Name: destination }), Sources: [...others, changed] })
  })

  app.delete('/v1/connect/intentions/exact', async request => {
    const { source, destination } = exactNames(request)
    const entry = entries.get('service-intentions', destination)
    const rest = (entry?.Sources ?? []).filter(candidate => candidate.Name !== source)
    if (entry === undefined || rest.length === entry.Sources.length) return true
    if (rest.length > 0) return write(context, { ...entry, Sources: rest })
    const result = await entries.delete('service-intentions', destination)
    if (!result.ok && 'errors' in result) throw new HttpError(400, joinErrors(result.errors))
    return true
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

  app.get('/v1/discovery-chain/:service', (request, reply) => {
    const service = param(request, 'service')
    return blockingRead(context, request, reply, 'config', () => {
      const result = compileDiscoveryChain({ service, datacenter: context.node.datacenter, trustDomain: ca.trustDomain, entries })
      if ('errors' in result) throw new HttpError(400, joinErrors(result.errors))
      return { Chain: result.chain }
    })
  })
}

/** Private keys are never shown, so what was read may be written back without the one that is in force. */
function withKnownKey(body: Record<string, unknown>, { provider }: CaConfig): Record<string, unknown> {
  const config = body['Config'] as Record<string, unknown> | null | undefined
  if (provider.kind !== 'consul' || provider.rootCertPem === '' || typeof config !== 'object' || config === null) return body
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

function exactNames(request: FastifyRequest): { readonly source: string; readonly destination: string } {
  const plain = (name: string): string => {
    const text = requiredQuery(request, name)
    return text.startsWith('default/') ? text.slice('default/'.length) : text
  }
  if (query(request, 'ns') !== undefined && query(request, 'ns') !== 'default') throw new HttpError(400, 'namespaces are not supported')
  return { source: plain('source'), destination: plain('destination') }
}

function matching({ entries }: ApiContext, by: 'source' | 'destination', name: string) {
  const all = entries.list('service-intentions').flatMap(entry => flattenEntry(entry).map(intention => ({ intention, entry })))
  return all
    .filter(({ intention }) => {
      const value = by === 'source' ? intention.source : intention.destination
      return value === name || value === '*'
    })
    .sort((a, b) => b.intention.precedence - a.intention.precedence || (a.intention.name < b.intention.name ? -1 : 1))
    .map(({ intention, entry }) => intentionShape(intention, entry))
}

function intentionShape(intention: Intention, entry: ServiceIntentions) {
  return {
    ...(intention.description === undefined ? {} : { Description: intention.description }),
    SourceNS: intention.sourceNamespace,
    SourceName: intention.source,
    SourcePartition: intention.sourcePartition,
    ...(intention.sourcePeer === undefined ? {} : { SourcePeer: intention.sourcePeer }),
    DestinationNS: 'default',
    DestinationName: intention.destination,
    DestinationPartition: 'default',
    SourceType: 'consul',
    ...(intention.action === undefined ? {} : { Action: intention.action }),
    ...(intention.permissions === undefined ? {} : { Permissions: intention.permissions }),
    Precedence: intention.precedence,
    CreateIndex: entry.CreateIndex ?? 0,
    ModifyIndex: entry.ModifyIndex ?? 0,
  }
}

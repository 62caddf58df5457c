// `/v1/connect` and `/v1/agent/connect`: CA roots, leaves, authorization and discovery chains, in Consul's shapes. Intentions are
// intentions.ts's.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { type CaConfig, decodeCaConfig, encodeCaConfig } from '../../mtls/ca/config.js'
import { filesOfVault, withKnownLogin } from '../../mtls/ca/vault/vault-config.js'
import { meshIdentityOf, parseSpiffeId } from '../../mtls/spiffe.js'
import { SERVICE_NAME } from '../catalog/service-definition.js'
import { parseDuration } from '../config-entries/duration.js'
import { FieldReader } from '../config-entries/field-reader.js'
import type { ConfigError, MeshGatewayMode } from '../config-entries/types.js'
import { compileDiscoveryChain } from '../discovery-chain/compile.js'
import type { ApiContext } from './context.js'
import { decideConnection, INTENTIONS } from './intentions.js'
import { textField } from './permission-subjects.js'
import { blockingRead, bodyObject, flag, HttpError, joinErrors, param, query } from './respond.js'

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

  app.post('/v1/agent/connect/authorize', async (request, reply) => {
    const body = (request.body ?? {}) as Record<string, unknown>
    const target = textField(body, 'Target')
    const uri = body['ClientCertURI']
    if (target === '') throw new HttpError(400, 'Target service must be specified')
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

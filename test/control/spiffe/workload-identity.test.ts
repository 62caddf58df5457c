// Services whose certificates come from a Workload API, in the resources of sidecars: what the proxy shows and asks of whom, whom it expects, by
// which bundles, and whom intentions let in.
import { type DescMessage, fromBinary, type MessageShape } from '@bufbuild/protobuf'
import { beforeEach, describe, expect, it } from 'vitest'
import type { BuiltSnapshot } from '../../../src/control/snapshot/build-snapshot.js'
import { NO_PEERS } from '../../../src/control/snapshot/kinds/proxy-kind.js'
import { idFromTemplate, patternOfTemplate, templateProblem } from '../../../src/control/spiffe/id-template.js'
import { ClusterSchema } from '../../../src/xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import { ListenerSchema } from '../../../src/xds/gen/envoy/config/listener/v3/listener_pb.js'
import {
  type CommonTlsContext,
  DownstreamTlsContextSchema,
  UpstreamTlsContextSchema,
} from '../../../src/xds/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js'
import { SPIFFECertValidatorConfigSchema } from '../../../src/xds/gen/envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config_pb.js'
import { CLUSTER_TYPE, LISTENER_TYPE } from '../../../src/xds/type-urls.js'
import { SnapshotFixture } from '../snapshot/snapshot-fixture.js'

const OURS = '11111111-2222-3333-4444-555555555555.consul'
const TEMPLATE = 'spiffe://example.org/mesh/{service}'
const consulId = (service: string): string => `spiffe://${OURS}/ns/default/dc/dc1/svc/${service}`

let mesh: SnapshotFixture

beforeEach(async () => {
  mesh = await SnapshotFixture.open()
  for (const name of ['web', 'api']) {
    const upstreams = name === 'web' ? [{ DestinationName: 'api', LocalBindPort: 9191 }] : []
    expect(await mesh.register({ Name: name, Port: 8080, Connect: { SidecarService: { Proxy: { Upstreams: upstreams } } } })).toEqual([])
  }
  await mesh.write({ Kind: 'service-intentions', Name: 'api', Sources: [{ Name: 'web', Action: 'allow' }] })
})

const templateForAll = () => mesh.write({ Kind: 'proxy-defaults', Name: 'global', Config: { outrigger_spiffe_id: TEMPLATE } })
const federated = { trustDomain: 'example.org', rootPems: ['SPIRE'] }

function decoded<S extends DescMessage>(built: BuiltSnapshot, schema: S, type: string, name?: string): MessageShape<S> {
  const named = built.snapshot.get(type)!
  const resource = name === undefined ? [...named.values()].find(each => each.name.startsWith('public_listener')) : named.get(name)
  return fromBinary(schema, resource!.any.value)
}

const listener = (built: BuiltSnapshot) => decoded(built, ListenerSchema, LISTENER_TYPE)

function downstream(built: BuiltSnapshot): CommonTlsContext {
  const { configType } = listener(built).filterChains[0]!.transportSocket!
  return fromBinary(DownstreamTlsContextSchema, configType.case === 'typedConfig' ? configType.value.value : new Uint8Array())
    .commonTlsContext!
}

function upstream(built: BuiltSnapshot): CommonTlsContext {
  const { configType } = decoded(built, ClusterSchema, CLUSTER_TYPE, mesh.cluster('api')).transportSocket!
  return fromBinary(UpstreamTlsContextSchema, configType.case === 'typedConfig' ? configType.value.value : new Uint8Array())
    .commonTlsContext!
}

function validation(tls: CommonTlsContext) {
  const type = tls.validationContextType
  if (type.case === 'validationContext') return { context: type.value, sds: '' }
  if (type.case !== 'combinedValidationContext') throw new Error(`no validation: ${type.case}`)
  return { context: type.value.defaultValidationContext!, sds: type.value.validationContextSdsSecretConfig!.name }
}

const names = (tls: CommonTlsContext): unknown[] =>
  validation(tls).context.matchTypedSubjectAltNames.map(({ matcher }) => matcher?.matchPattern.value)

function domains(tls: CommonTlsContext): Record<string, unknown> {
  const config = validation(tls).context.customValidatorConfig?.typedConfig
  if (config === undefined) return {}
  const { trustDomains } = fromBinary(SPIFFECertValidatorConfigSchema, config.value)
  return Object.fromEntries(trustDomains.map(({ name, trustBundle }) => [name, trustBundle?.specifier.value]))
}

const principals = (built: BuiltSnapshot): string =>
  Buffer.from([...built.snapshot.get(LISTENER_TYPE)!.values()].at(-1)!.any.value).toString('latin1')

describe('a template in proxy-defaults', () => {
  it('has every sidecar ask the Workload API for its certificate, and for whom to trust', async () => {
    await templateForAll()
    for (const [tls, expected] of [
      [downstream(mesh.build('web-sidecar-proxy')), []],
      [upstream(mesh.build('web-sidecar-proxy')), [consulId('api'), 'spiffe://example.org/mesh/api']],
    ] as const) {
      expect(tls.tlsCertificates).toEqual([])
      expect(tls.tlsCertificateSdsSecretConfigs.map(({ name }) => name)).toEqual(['spiffe://example.org/mesh/web'])
      const source = tls.tlsCertificateSdsSecretConfigs[0]!.sdsConfig!.configSourceSpecifier
      expect(JSON.stringify(source.value, (_, value) => (typeof value === 'bigint' ? Number(value) : value))).toContain(
        '"clusterName":"spiffe_workload_api"',
      )
      expect(validation(tls).sds).toBe('ALL')
      expect(names(tls)).toEqual(expected)
    }
    // Whom to trust they have from there too: no bundle is missed here.
    expect(mesh.build('web-sidecar-proxy').settled.problems).toEqual([])
  })

  it('has intentions let in either id of a source, and of * the pattern', async () => {
    await templateForAll()
    const named = principals(mesh.build('api-sidecar-proxy'))
    expect(named).toContain('spiffe://example.org/mesh/web')
    expect(named).toContain(`^spiffe://${OURS.replaceAll('.', '\\.')}/ns/default/dc/[^/]+/svc/web$`)
    await mesh.write({
      Kind: 'service-intentions',
      Name: 'api',
      Sources: [
        { Name: '*', Action: 'allow' },
        { Name: 'web', Action: 'deny' },
      ],
    })
    expect(principals(mesh.build('api-sidecar-proxy'))).toContain('^spiffe://example\\.org/mesh/[^/]+$')
  })
})

describe('the Meta of one service', () => {
  it('lets a service that stays with the mesh’s CA call it and be called, each trust domain by its own bundle', async () => {
    await mesh.write({ Kind: 'service-defaults', Name: 'api', Meta: { outrigger_spiffe_id: 'spiffe://example.org/api' } })
    mesh.federations = {
      named: () => undefined,
      bundleOf: domain => (domain === 'example.org' ? federated : undefined),
      ofMesh: () => [federated],
    }
    const web = mesh.build('web-sidecar-proxy')
    expect(upstream(web).tlsCertificates).toHaveLength(1)
    expect(names(upstream(web))).toEqual([consulId('api'), 'spiffe://example.org/api'])
    expect(domains(upstream(web))).toEqual({ [OURS]: 'ROOTS', 'example.org': 'SPIRE' })
    expect(domains(downstream(web))).toEqual({ [OURS]: 'ROOTS', 'example.org': 'SPIRE' })
    expect(web.settled.problems).toEqual([])
  })

  it('without the bundle of its trust domain is said, and only the mesh’s own id can be verified', async () => {
    await mesh.write({ Kind: 'service-defaults', Name: 'api', Meta: { outrigger_spiffe_id: 'spiffe://example.org/api' } })
    const web = mesh.build('web-sidecar-proxy')
    expect(web.settled.problems).toMatchObject([
      { reason: expect.stringContaining('the bundle of example.org is not known: federate with it') },
    ])
    expect(validation(upstream(web)).context.trustedCa?.specifier.value).toBe('ROOTS')
    expect(names(upstream(web))).toEqual([consulId('api')])
  })

  it('empty keeps a service with the mesh’s CA against the template', async () => {
    await templateForAll()
    await mesh.write({ Kind: 'service-defaults', Name: 'web', Meta: { outrigger_spiffe_id: '' } })
    expect(downstream(mesh.build('web-sidecar-proxy')).tlsCertificates).toHaveLength(1)
  })
})

describe('a federated trust domain', () => {
  it('is named by intentions and exports as a peer is: by its template, and * is all of it', async () => {
    const federation = { bundle: federated, idTemplate: 'spiffe://example.org/svc/{service}' }
    mesh.federations = { named: name => (name === 'spire' ? federation : undefined), bundleOf: () => federated, ofMesh: () => [] }
    await mesh.write({ Kind: 'exported-services', Name: 'default', Services: [{ Name: 'api', Consumers: [{ Peer: 'spire' }] }] })
    await mesh.write({ Kind: 'service-intentions', Name: 'api', Sources: [{ Name: 'billing', Peer: 'spire', Action: 'allow' }] })
    const api = mesh.build('api-sidecar-proxy')
    expect(domains(downstream(api))).toEqual({ [OURS]: 'ROOTS', 'example.org': 'SPIRE' })
    expect(principals(api)).toContain('^spiffe://example\\.org/svc/billing$')
    mesh.federations = { ...mesh.federations, named: () => ({ bundle: federated, idTemplate: undefined }) }
    await mesh.write({ Kind: 'service-intentions', Name: 'api', Sources: [{ Name: '*', Peer: 'spire', Action: 'allow' }] })
    expect(principals(mesh.build('api-sidecar-proxy'))).toContain('^spiffe://example\\.org/.+$')
  })
})

describe('a peer', () => {
  it('that says it is of a federated trust domain, or of ours, vouches for neither', async () => {
    const federation = { bundle: federated, idTemplate: undefined }
    mesh.federations = { named: name => (name === 'spire' ? federation : undefined), bundleOf: () => federated, ofMesh: () => [] }
    mesh.peers = {
      ...NO_PEERS,
      bundle: peer => (peer === 'spire' ? undefined : { trustDomain: peer === 'liar' ? 'example.org' : OURS, rootPems: ['LIAR'] }),
    }
    const Consumers = [{ Peer: 'spire' }, { Peer: 'liar' }, { Peer: 'twin' }]
    await mesh.write({ Kind: 'exported-services', Name: 'default', Services: [{ Name: 'api', Consumers }] })
    expect(domains(downstream(mesh.build('api-sidecar-proxy')))).toEqual({ [OURS]: 'ROOTS', 'example.org': 'SPIRE' })
  })
})

describe('what is written', () => {
  it.each([
    ['spiffe://example.org/{service}', true, undefined],
    ['spiffe://example.org/web', true, /must hold \{service\}/],
    ['spiffe://{service}/x', true, /without a placeholder/],
    ['spiffe://example.org/{name}', false, /must be a SPIFFE id/],
    ['spiffe://example.org', false, /not of a trust domain alone/],
  ])('%s (of all: %s)', (template, all, problem) => {
    if (problem === undefined) expect(templateProblem(template, all)).toBeUndefined()
    else expect(templateProblem(template, all)).toMatch(problem)
  })

  it('a template that no name can break out of', () => {
    const at = { namespace: 'default', datacenter: 'dc1' }
    expect(idFromTemplate(TEMPLATE, { ...at, service: 'a/b' })).toBeUndefined()
    expect(idFromTemplate(TEMPLATE, { ...at, service: '../api' })).toBeUndefined()
    expect(patternOfTemplate('spiffe://a.b/{datacenter}/{service}', at)).toBe('^spiffe://a\\.b/dc1/[^/]+$')
  })

  it('is refused where it is wrong, and in a registration', async () => {
    await expect(
      mesh.write({ Kind: 'proxy-defaults', Name: 'global', Config: { outrigger_spiffe_id: 'spiffe://example.org/x' } }),
    ).rejects.toThrow(/Config.outrigger_spiffe_id/)
    await expect(mesh.write({ Kind: 'service-defaults', Name: 'api', Meta: { outrigger_spiffe_id: 'api' } })).rejects.toThrow(
      /must be a SPIFFE id/,
    )
    const proxy = { Proxy: { Config: { outrigger_spiffe_id: TEMPLATE } } }
    expect(await mesh.register({ Name: 'db', Port: 1, Connect: { SidecarService: proxy } })).toEqual([
      expect.stringContaining('belongs into proxy-defaults, or into the Meta of service-defaults'),
    ])
  })
})

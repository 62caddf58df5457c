// How an API gateway is sent the certificates of a listener: those in files as secrets, since proxies watch no others, and then all of them, since
// Envoy looks at no secret of a TLS context that holds a certificate itself.
import { fromBinary } from '@bufbuild/protobuf'
import { expect, it } from 'vitest'
import { ListenerSchema } from '../../../src/xds/gen/envoy/config/listener/v3/listener_pb.js'
import { SecretSchema } from '../../../src/xds/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js'
import { type CommonTlsContext, DownstreamTlsContextSchema } from '../../../src/xds/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js'
import { LISTENER_TYPE, SECRET_TYPE } from '../../../src/xds/type-urls.js'
import { AnyCa } from '../../support/mesh-certificates.js'
import { SnapshotFixture } from './snapshot-fixture.js'

const { cert, key } = new AnyCa().leaf({ dns: ['*.example.com'] })
const INLINE = { Kind: 'inline-certificate', Name: 'web' }
const FILES = { Kind: 'file-system-certificate', Name: 'web' }

async function sent(...certificates: object[]): Promise<{ readonly common: CommonTlsContext; readonly secrets: readonly string[] }> {
  const mesh = await SnapshotFixture.open()
  const Listeners = [{ Name: 'l', Port: 8443, TLS: { Certificates: certificates } }]
  await mesh.write({ Kind: 'service-defaults', Name: 'web', Protocol: 'http' })
  await mesh.write({ ...INLINE, Certificate: cert, PrivateKey: key })
  await mesh.write({ ...FILES, Certificate: '/tls/web.crt', PrivateKey: '/tls/web.key' })
  await mesh.write({ Kind: 'http-route', Name: 'r', Parents: [{ Name: 'edge' }], Rules: [{ Services: [{ Name: 'web' }] }] })
  await mesh.write({ Kind: 'api-gateway', Name: 'edge', Listeners })
  expect(await mesh.register({ Kind: 'api-gateway', Name: 'edge', ID: 'edge', Port: 8443 })).toEqual([])
  const { snapshot } = mesh.build('edge')
  const [listener] = [...snapshot.get(LISTENER_TYPE)!.values()].map(({ any }) => fromBinary(ListenerSchema, any.value))
  const socket = listener!.filterChains[0]!.transportSocket!.configType
  if (socket.case !== 'typedConfig') throw new Error('no TLS')
  const secrets = [...(snapshot.get(SECRET_TYPE)?.values() ?? [])].map(({ any }) => {
    const { name, type } = fromBinary(SecretSchema, any.value)
    if (type.case !== 'tlsCertificate') throw new Error(`${name} is no certificate`)
    return `${name} ${type.value.certificateChain!.specifier.case}`
  })
  return { common: fromBinary(DownstreamTlsContextSchema, socket.value.value).commonTlsContext!, secrets }
}

const counts = ({ tlsCertificates, tlsCertificateSdsSecretConfigs }: CommonTlsContext): [number, number] => [
  tlsCertificates.length,
  tlsCertificateSdsSecretConfigs.length,
]

it('sends certificates of entries in the listener', async () => {
  const { common, secrets } = await sent(INLINE)
  expect([counts(common), secrets]).toEqual([[1, 0], []])
})

it('sends certificates in files as secrets, which proxies watch', async () => {
  const { common, secrets } = await sent(FILES)
  expect([counts(common), secrets]).toEqual([[0, 1], ['web filename']])
})

it('sends all as secrets where a listener has both, also of one name', async () => {
  const { common, secrets } = await sent(INLINE, FILES)
  expect([counts(common), [...secrets].sort()]).toEqual([
    [0, 2],
    ['inline-certificate/web inlineString', 'web filename'],
  ])
  expect(common.tlsCertificateSdsSecretConfigs.map(({ name }) => name)).toEqual(['inline-certificate/web', 'web'])
})

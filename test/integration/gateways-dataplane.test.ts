// Gateways launched by the unmodified consul-dataplane (DATAPLANE_BIN): in by an API gateway, out by a terminating gateway, with our proxy and
// with the real Envoy. Skipped by name where it is absent.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Dataplane, dataplaneBin, stopDataplanes } from '../support/dataplane.js'
import { MeshFixture } from '../support/mesh-fixture.js'
import { HttpOrigin } from '../support/origins.js'
import { freePort, proxyBin, until } from '../support/proxy-process.js'

const envoyBin = process.env['ENVOY_BIN']
const proxies = [['outrigger-proxy', proxyBin], ...(envoyBin ? [['the real Envoy', envoyBin] as const] : [])] as const
const outside = new HttpOrigin()
const mesh = new MeshFixture(['--node-name', 'n1'])
let port = 0

describe.skipIf(!dataplaneBin)('gateways under consul-dataplane (needs DATAPLANE_BIN)', () => {
  beforeAll(async () => {
    await outside.listen()
    await mesh.start()
    port = await freePort()
    await mesh.write('/v1/config', { Kind: 'service-defaults', Name: 'outside', Protocol: 'http' })
    await mesh.write('/v1/config', { Kind: 'terminating-gateway', Name: 'exit', Services: [{ Name: 'outside' }] })
    await mesh.intention('outside', [{ Name: 'edge', Action: 'allow' }])
    await mesh.write('/v1/agent/service/register', { Name: 'outside', Port: outside.port, Address: '127.0.0.1' })
    await mesh.write('/v1/config', { Kind: 'api-gateway', Name: 'edge', Listeners: [{ Name: 'web', Port: port }] })
    const Rules = [{ Services: [{ Name: 'outside' }] }]
    await mesh.write('/v1/config', { Kind: 'http-route', Name: 'all', Parents: [{ Name: 'edge' }], Rules })
    await mesh.write('/v1/agent/service/register', { Kind: 'api-gateway', Name: 'edge', Address: '127.0.0.1' })
    await mesh.registerGateway('terminating-gateway', 'exit')
  })
  afterAll(async () => {
    await mesh.stop()
    await outside.close()
  })

  it.each(proxies)('%s', async (_label, executable) => {
    const grpcAddress = `127.0.0.1:${mesh.grpcPort}`
    for (const proxyId of ['edge', 'exit']) {
      const flags = ['-tls-disabled', '-envoy-concurrency', '1', '--', '--base-id', String(await freePort())]
      await Dataplane.start({ grpcAddress, proxyId, executable, flags })
    }
    const text = await until('an answer through both', async () => {
      const response = await fetch(`http://127.0.0.1:${port}/hello`)
      return response.ok ? await response.text() : Promise.reject(new Error(String(response.status)))
    })
    expect(text).toBe('GET /hello')
    await stopDataplanes()
  })
})

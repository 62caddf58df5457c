// `connect envoy -gateway` and `gateway`: what they register, which gateway they run, and what they say of flags that are wrong.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CliFixture } from '../../support/cli-fixture.js'

const cli = new CliFixture()
beforeAll(() => cli.start())
afterAll(() => cli.stop())

const services = async (): Promise<Record<string, unknown>> =>
  (await (await fetch(`http://${cli.plane.httpAddress}/v1/agent/services`)).json()) as Record<string, unknown>

describe('a gateway', () => {
  it('is registered by its flags, with a check that it listens, and its bootstrap is that of its own name', async () => {
    const printed = await cli.out(
      ...['connect', 'envoy', '-gateway=terminating', '-register', '-service', 'exit', '-address', '127.0.0.1:9443'],
      ...['-wan-address=192.0.2.1:443', '-bind-address', 'here=127.0.0.2:9444', '-deregister-after-critical=1h', '-bootstrap'],
    )
    expect(JSON.parse(printed).node).toMatchObject({ id: 'exit', cluster: 'exit' })
    expect((await services())['exit']).toMatchObject({
      Kind: 'terminating-gateway',
      Address: '127.0.0.1',
      Port: 9443,
      TaggedAddresses: { lan: { Address: '127.0.0.1', Port: 9443 }, wan: { Address: '192.0.2.1', Port: 443 } },
      Proxy: {
        Config: { envoy_gateway_no_default_bind: true, envoy_gateway_bind_addresses: { here: { Address: '127.0.0.2', Port: 9444 } } },
      },
    })
  })

  it('is registered by the short form under the name of its kind', async () => {
    await cli.out('gateway', 'api', '-bootstrap')
    expect((await services())['api-gateway']).toMatchObject({ Kind: 'api-gateway', Address: '127.0.0.1', Port: 8443 })
  })

  it('is found by its kind, where there is one', async () => {
    expect(JSON.parse(await cli.out('connect', 'envoy', '-gateway=api', '-bootstrap')).node.id).toBe('api-gateway')
    await cli.out('gateway', 'api', '-service=other', '-bootstrap')
    expect((await cli.call('connect', 'envoy', '-gateway=api', '-bootstrap')).err).toMatch(/^outrigger: More than one api-gateway: /)
    expect(JSON.parse(await cli.out('connect', 'envoy', '-gateway=api', '-service=other', '-bootstrap')).node.id).toBe('other')
  })

  it.each([
    [['-gateway=nat'], 'gateway must be one of terminating, api, ingress, mesh, not "nat"'],
    [['-gateway=mesh'], 'No mesh-gateway is registered on this node: -register registers one'],
    [['-gateway=api', '-sidecar-for=web'], '--gateway and --sidecar-for exclude each other'],
    [['-register', '-sidecar-for=web'], '--register: only gateways are registered here, by --gateway'],
    [['-gateway=api', '-register', '-address=a:b:c'], '--address a:b:c: must be address:port'],
    [['-gateway=api', '-register', '-bind-address=x'], '--bind-address x: must be name=address:port'],
  ])('%j is refused', async (flags, message) => {
    expect(await cli.call('connect', 'envoy', ...flags, '-bootstrap')).toMatchObject({ code: 1, err: `outrigger: ${message}\n` })
  })
})

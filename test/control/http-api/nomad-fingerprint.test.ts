// What a Nomad client reads of `/v1/agent/self` before it places a group with `connect`: its jobs are constrained by these attributes.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { CliFixture } from '../../support/cli-fixture.js'

const fixture = new CliFixture({ grpcTlsAddr: '127.0.0.1:0', dns: { address: { host: '127.0.0.1', port: 0 } } })
beforeAll(() => fixture.start())
afterAll(() => fixture.stop())

it('satisfies the constraints that Nomad puts on groups with connect: consul.version, consul.connect, consul.grpc, consul.dns', async () => {
  const self = (await (await fetch(`http://${fixture.plane.httpAddress}/v1/agent/self`)).json()) as Record<string, Record<string, unknown>>
  const { Config, DebugConfig, Member } = self
  expect(Config).toMatchObject({ Server: true, NodeName: 'node-1', Datacenter: 'dc1', Revision: expect.any(String) })
  const [major, minor] = String(Config!['Version']).split('.').map(Number)
  expect(major! > 1 || minor! >= 8).toBe(true)
  expect(DebugConfig).toMatchObject({ ConnectEnabled: true, GRPCPort: expect.any(Number), GRPCTLSPort: expect.any(Number) })
  expect(DebugConfig!['GRPCPort']).toBe(Number(fixture.plane.grpcAddress.split(':')[1]))
  const dns = fixture.plane.dnsAddress
  expect(DebugConfig).toMatchObject({ DNSPort: Number(dns.split(':')[1]), DNSAddrs: [`tcp://${dns}`, `udp://${dns}`] })
  expect(Member!['Tags']).toEqual(expect.any(Object))
  // No namespaces: the feature is in the licence's list of Consul Enterprise.
  expect(self['Stats']!['license']).toBeUndefined()
})

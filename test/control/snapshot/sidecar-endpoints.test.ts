import { describe, expect, it } from 'vitest'
import { HealthStatus } from '../../../src/xds/gen/envoy/config/core/v3/health_check_pb.js'
import { cluster, SUBSETS, snapshotHarness, WEB } from './snapshot-harness.js'

const { decode, meshOf, register, write } = snapshotHarness()

describe('endpoints', () => {
  const health = (name: string): (readonly [string, number, number, number])[] =>
    decode('web-sidecar-proxy')
      .endpoints(cluster(name))
      .endpoints[0].lbEndpoints.map(
        (endpoint: {
          hostIdentifier: { value: { address: { address: { value: { address: string; portSpecifier: { value: number } } } } } }
          healthStatus: number
          loadBalancingWeight: number
        }) => {
          const { address, portSpecifier } = endpoint.hostIdentifier.value.address.address.value
          return [address, portSpecifier.value, endpoint.healthStatus, endpoint.loadBalancingWeight] as const
        },
      )

  it('are the sidecars, at their address, else that of their service, else the node’s', async () => {
    await meshOf('http')
    await register({ ID: 'api-v3', Name: 'api', Port: 1, Connect: { SidecarService: { Port: 20_003 } } })
    expect(health('api').map(([address, port]) => [address, port])).toEqual([
      ['10.0.0.7', 20_001],
      ['10.0.0.8', 20_002],
      ['10.0.0.1', 20_003],
    ])
  })

  it('are in a subset by the metadata that a sidecar takes over from its service', async () => {
    await meshOf('http')
    await write({ ...SUBSETS, DefaultSubset: 'v2' })
    expect(health('v2.api')).toEqual([['10.0.0.8', 20_002, HealthStatus.HEALTHY, 1]])
  })

  it('follow the checks of the service behind: warning keeps its own weight, critical and weight 0 are unhealthy', async () => {
    await register(WEB)
    for (const [id, status] of Object.entries({ a: 'passing', b: 'warning', c: 'critical' }))
      await register({
        ID: id,
        Name: 'api',
        Port: 1,
        Weights: { Passing: 10, Warning: 3 },
        Check: { CheckID: `check-${id}`, TTL: '1h', Status: status },
        Connect: { SidecarService: { Weights: { Passing: id === 'a' ? 500 : 10, Warning: 3 } } },
      })
    await register({
      ID: 'd',
      Name: 'api',
      Port: 1,
      Check: { CheckID: 'check-d', TTL: '1h', Status: 'warning' },
      Connect: { SidecarService: { Weights: { Passing: 1, Warning: 0 } } },
    })
    expect(health('api').map(([, , status, weight]) => [status, weight])).toEqual([
      [HealthStatus.HEALTHY, 128],
      [HealthStatus.HEALTHY, 3],
      [HealthStatus.UNHEALTHY, 10],
      [HealthStatus.UNHEALTHY, 1],
    ])
    await write({ Kind: 'service-resolver', Name: 'api', DefaultSubset: 'only', Subsets: { only: { OnlyPassing: true } } })
    expect(health('only.api').map(([, , status]) => status)).toEqual([
      HealthStatus.HEALTHY,
      HealthStatus.UNHEALTHY,
      HealthStatus.UNHEALTHY,
      HealthStatus.UNHEALTHY,
    ])
  })
})

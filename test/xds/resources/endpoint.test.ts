import { describe, expect, it } from 'vitest'
import { decoded, decodeEndpointsJson, endpointJson, errorsOf, type Json } from './messages.js'

describe('decodeEndpointAssignment', () => {
  it('reads endpoints with their health, weights, priorities and drops', () => {
    const assignment = decoded(
      decodeEndpointsJson({
        cluster_name: 'c',
        endpoints: [
          {
            locality: { region: 'r', zone: 'z', sub_zone: 's' },
            load_balancing_weight: 3,
            priority: 1,
            lb_endpoints: [
              {
                endpoint: {
                  address: { socket_address: { address: '10.0.0.1', port_value: 80 } },
                  hostname: 'h',
                  health_check_config: { port_value: 81, disable_active_health_check: true },
                },
                health_status: 'DRAINING',
                load_balancing_weight: 5,
                metadata: { filter_metadata: { 'envoy.lb': { v: '1', __proto__: null } } },
              },
              { endpoint: { address: { pipe: { path: '/s', mode: 0o600 } } } },
            ],
          },
        ],
        policy: {
          overprovisioning_factor: 100_000,
          drop_overloads: [{ category: 'x', drop_percentage: { numerator: 5, denominator: 'TEN_THOUSAND' } }],
        },
      }),
    )
    expect(assignment).toMatchObject({
      clusterName: 'c',
      overprovisioningFactor: 100_000,
      dropPercentages: [{ category: 'x', numerator: 5, denominator: 10_000 }],
    })
    expect(assignment.localities[0]).toMatchObject({ locality: { region: 'r', zone: 'z', subZone: 's' }, weight: 3, priority: 1 })
    const [first, second] = assignment.localities[0]!.endpoints
    expect(first).toMatchObject({ hostname: 'h', health: 'DRAINING', weight: 5, healthCheckPort: 81, disableActiveHealthCheck: true })
    expect(first!.metadata.get('envoy.lb')).toEqual({ v: '1' })
    expect(Object.getPrototypeOf(first!.metadata.get('envoy.lb'))).toBeNull()
    expect(second).toEqual({
      address: { kind: 'pipe', path: '/s', mode: 0o600 },
      hostname: '',
      health: 'UNKNOWN',
      weight: 1,
      metadata: new Map(),
      healthCheckPort: null,
      healthCheckHostname: '',
      disableActiveHealthCheck: false,
    })
  })

  it('takes an assignment without endpoints', () => {
    expect(decoded(decodeEndpointsJson({ cluster_name: 'c' })).localities).toEqual([])
  })

  it('refuses DNS names, LEDS, a missing name and weights that overflow, with the path', () => {
    const weights = (weight: number): Json => ({ ...endpointJson(), load_balancing_weight: weight })
    const errors = errorsOf(
      decodeEndpointsJson({
        endpoints: [
          { lb_endpoints: [endpointJson('a.b')] },
          { leds_cluster_locality_config: { leds_collection_name: 'x', leds_config: { ads: {} } } },
          { lb_endpoints: [weights(4294967295), weights(1)] },
          { priority: 129 },
        ],
      }),
    )
    expect(errors.map(error => error.split(':')[0]).sort()).toEqual([
      'cluster_name',
      'endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address',
      'endpoints[1].leds_cluster_locality_config',
      'endpoints[2]',
      'endpoints[3].priority',
    ])
  })
})

// Endpoints of a target in the order that a proxy's place gives them.
import { fromBinary } from '@bufbuild/protobuf'
import { expect, it } from 'vitest'
import { EndpointSet } from '../../../src/control/snapshot/endpoint-set.js'
import { ClusterLoadAssignmentSchema } from '../../../src/xds/gen/envoy/config/endpoint/v3/endpoint_pb.js'

it('two places whose names read alike when they are joined have an order each', () => {
  const places = [
    { Region: 'eu/a', Zone: 'b' },
    { Region: 'eu', Zone: 'a/b' },
  ]
  const set = new EndpointSet(
    places.map((locality, i) => ({
      instance: { SocketPath: '', Port: 80, Weights: { Passing: 1, Warning: 1 } },
      address: `10.0.0.${i}`,
      health: 'passing',
      locality,
    })),
  )
  const nearest = places.map(place => {
    const { any } = set.nearestFirst(place).assignment('api', false)
    return fromBinary(ClusterLoadAssignmentSchema, any.value).endpoints.find(({ priority }) => priority === 0)!.locality!.region
  })
  expect(nearest).toEqual(['eu/a', 'eu'])
})

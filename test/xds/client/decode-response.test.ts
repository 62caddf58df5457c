import { create, toBinary } from '@bufbuild/protobuf'
import { AnySchema } from '@bufbuild/protobuf/wkt'
import { describe, expect, it } from 'vitest'
import { finish } from '../../../src/io/slices.js'
import { decodeDelta, decodeStateOfTheWorldInSteps, readDelta, readStateOfTheWorld } from '../../../src/xds/client/decode-response.js'
import { DeltaDiscoveryResponseSchema, DiscoveryResponseSchema } from '../../../src/xds/gen/envoy/service/discovery/v3/discovery_pb.js'
import { CLUSTER_TYPE } from '../../../src/xds/type-urls.js'
import { cluster, wire } from '../xds-peers.js'

/** Field 2, length 1, and a byte that is no message. */
const BROKEN_RESOURCE = Buffer.from([0x12, 0x01, 0xff])

describe('a resource whose bytes are no message', () => {
  it('is refused by its place, and costs the others nothing: delta', () => {
    const fields = { typeUrl: CLUSTER_TYPE, nonce: 'n', resources: [wire(cluster('a'))], removedResources: ['gone'] }
    const bytes = toBinary(DeltaDiscoveryResponseSchema, create(DeltaDiscoveryResponseSchema, fields))
    const packed = readDelta(Buffer.concat([BROKEN_RESOURCE, bytes]))
    expect(packed.envelope).toMatchObject({ typeUrl: CLUSTER_TYPE, nonce: 'n', resources: [] })
    const { resources, removed, rejected } = finish(decodeDelta(packed))
    expect([resources.map(({ name }) => name), removed]).toEqual([['a'], ['gone']])
    expect(rejected).toEqual([
      { name: 'resources[0]', errors: [{ path: 'resource', reason: 'is not a serialised envoy.service.discovery.v3.Resource' }] },
    ])
  })

  it('may be any of those the client has, so none of them is taken for removed: state of the world', () => {
    const any = create(AnySchema, cluster('a').any)
    const bytes = toBinary(DiscoveryResponseSchema, create(DiscoveryResponseSchema, { typeUrl: CLUSTER_TYPE, resources: [any] }))
    const namesOf = (whole: Buffer) => {
      const { resources, removed, rejected } = finish(decodeStateOfTheWorldInSteps(readStateOfTheWorld(whole), CLUSTER_TYPE, ['a', 'b']))
      return [resources.map(({ name }) => name), removed, rejected.map(({ name }) => name)]
    }
    expect(namesOf(Buffer.from(bytes))).toEqual([['a'], ['b'], []])
    expect(namesOf(Buffer.concat([bytes, BROKEN_RESOURCE]))).toEqual([['a'], [], ['resources[1]']])
  })
})

it('is no response where the envelope is none', () => {
  expect(() => readDelta(Buffer.from([0x12, 0x05, 0x00]))).toThrow()
  expect(() => readStateOfTheWorld(Buffer.from([0xff]))).toThrow()
})

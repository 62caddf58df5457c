import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { innerName, rejectionMessage } from '../../../src/xds/client/decode-response.js'
import { makeResource, makeSnapshot, type Resource, resourcesOf, type Snapshot, snapshotsEqual } from '../../../src/xds/server/snapshot.js'
import {
  CLUSTER_TYPE,
  compareTypes,
  ENDPOINT_TYPE,
  LISTENER_TYPE,
  methodsForType,
  ROUTE_TYPE,
  SECRET_TYPE,
} from '../../../src/xds/type-urls.js'
import { cluster, endpoints, listener, route } from '../xds-peers.js'

describe('snapshots', () => {
  it('version is the SHA-256 of the bytes', () => {
    const resource = makeResource('x', CLUSTER_TYPE, new TextEncoder().encode('abc'))
    expect(resource.version).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
  })

  it('are equal by names and versions, whatever the order, and an empty type is a missing one', () => {
    const a = makeSnapshot([cluster('a'), cluster('b'), endpoints('a')])
    expect(snapshotsEqual(a, makeSnapshot([endpoints('a'), cluster('b'), cluster('a')]))).toBe(true)
    const withEmptyType: Snapshot = new Map([...a, [LISTENER_TYPE, new Map<string, Resource>()] as const])
    expect([snapshotsEqual(a, withEmptyType), snapshotsEqual(withEmptyType, a)]).toEqual([true, true])
    expect(snapshotsEqual(a, makeSnapshot([cluster('a', '2'), cluster('b'), endpoints('a')]))).toBe(false)
    expect(snapshotsEqual(a, makeSnapshot([cluster('a'), cluster('c'), endpoints('a')]))).toBe(false)
    expect(snapshotsEqual(a, makeSnapshot([cluster('a'), cluster('b')]))).toBe(false)
    expect(snapshotsEqual(makeSnapshot([cluster('a')]), a)).toBe(false)
    expect(resourcesOf(undefined, CLUSTER_TYPE).size).toBe(0)
  })
})

describe('names inside resources', () => {
  it('are field 1 of every type, and bytes that are not protobuf have none', () => {
    for (const resource of [cluster('n', 'x'), endpoints('n', 'x'), listener('n', [], 'x'), route('n', 'x')]) {
      expect(innerName(resource.any.value)).toBe('n')
    }
    expect(innerName(new Uint8Array())).toBe('')
    expect(innerName(new Uint8Array([10, 5, 97]))).toBeUndefined()
    expect(innerName(new Uint8Array([8]))).toBeUndefined()
  })

  it('never throw, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), bytes => ['string', 'undefined'].includes(typeof innerName(bytes))),
      { seed: 7, numRuns: 2000 },
    )
  })
})

describe('type order and methods', () => {
  it('asks for what is depended upon first', () => {
    const sorted = ['unknown', ROUTE_TYPE, LISTENER_TYPE, SECRET_TYPE, ENDPOINT_TYPE, CLUSTER_TYPE].sort(compareTypes)
    expect(sorted).toEqual([CLUSTER_TYPE, ENDPOINT_TYPE, SECRET_TYPE, LISTENER_TYPE, ROUTE_TYPE, 'unknown'])
  })

  it('names the methods of single-type services', () => {
    expect(methodsForType(LISTENER_TYPE)).toEqual({
      service: 'envoy.service.listener.v3.ListenerDiscoveryService',
      stateOfTheWorld: '/envoy.service.listener.v3.ListenerDiscoveryService/StreamListeners',
      delta: '/envoy.service.listener.v3.ListenerDiscoveryService/DeltaListeners',
    })
    expect(methodsForType('unknown')).toBeUndefined()
  })
})

describe('refusals', () => {
  it('a message of refusals has one line a field', () => {
    const errors = [
      { path: 'a', reason: 'x' },
      { path: 'b', reason: 'y' },
    ]
    expect(rejectionMessage([{ name: 'r', errors }])).toBe('r: a: x\nr: b: y')
  })
})

// Whatever the control plane or a file holds, a decoder answers with a value or with errors; it never throws.

import { create, type DescMessage, fromBinary, toBinary } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseBootstrap } from '../../../src/xds/bootstrap.js'
import { printAny } from '../../../src/xds/dump/message-printer.js'
import { ClusterSchema } from '../../../src/xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import { ClusterLoadAssignmentSchema } from '../../../src/xds/gen/envoy/config/endpoint/v3/endpoint_pb.js'
import { ListenerSchema } from '../../../src/xds/gen/envoy/config/listener/v3/listener_pb.js'
import { RouteConfigurationSchema } from '../../../src/xds/gen/envoy/config/route/v3/route_pb.js'
import { SecretSchema } from '../../../src/xds/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js'
import {
  decodeCluster,
  decodeEndpointAssignment,
  decodeListener,
  decodeRouteConfiguration,
  decodeSecret,
} from '../../../src/xds/resources/decode.js'
import type { Decoded } from '../../../src/xds/resources/field-path.js'
import { bootstrapJson, clusterJson, endpointJson, type Json, listenerJson, message, routeJson, tls } from './messages.js'

const SEED = 20_261_123

interface Target {
  readonly desc: DescMessage
  readonly decode: (bytes: Uint8Array) => Decoded<unknown>
  readonly sample: Json
}

const TARGETS: readonly Target[] = [
  { desc: ListenerSchema, decode: bytes => decodeListener(bytes), sample: listenerJson() },
  { desc: RouteConfigurationSchema, decode: bytes => decodeRouteConfiguration(bytes), sample: routeJson() },
  {
    desc: ClusterSchema,
    decode: bytes => decodeCluster(bytes),
    sample: clusterJson({ transport_socket: tls('Upstream', { sni: 'a' }), outlier_detection: {} }),
  },
  {
    desc: ClusterLoadAssignmentSchema,
    decode: bytes => decodeEndpointAssignment(bytes),
    sample: { cluster_name: 'c', endpoints: [{ lb_endpoints: [endpointJson()] }] },
  },
  { desc: SecretSchema, decode: bytes => decodeSecret(bytes), sample: { name: 's', generic_secret: { secret: { inline_string: 'x' } } } },
]

function answers(result: Decoded<unknown>): void {
  if (result.ok) expect(result.value).toBeTruthy()
  else expect(result.errors.length).toBeGreaterThan(0)
}

describe.each(TARGETS)('$desc.name', ({ desc, decode, sample }) => {
  it('answers to random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), bytes => answers(decode(bytes))),
      { seed: SEED, numRuns: 300 },
    )
  })

  it('answers to a good message with bytes changed, inserted or cut', () => {
    const good = toBinary(desc, message(desc, sample))
    const changes = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(changes, fc.nat(good.length), fc.uint8Array({ maxLength: 8 }), (edits, cut, inserted) => {
        const bytes = Uint8Array.from(good)
        for (const [at, value] of edits) bytes[at] = value
        answers(decode(bytes))
        answers(decode(bytes.subarray(0, cut)))
        const longer = new Uint8Array([...bytes.subarray(0, cut), ...inserted, ...bytes.subarray(cut)])
        answers(decode(longer))
        printAny({ $typeName: 'google.protobuf.Any', typeUrl: `x/${desc.typeName}`, value: longer })
      }),
      { seed: SEED, numRuns: 300 },
    )
  })

  it('answers to an empty message', () => {
    answers(decode(toBinary(desc, create(desc))))
    expect(fromBinary(desc, new Uint8Array())).toBeTruthy()
  })
})

describe('parseBootstrap', () => {
  it('answers to random text', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 200, unit: 'binary' }), text => answers(parseBootstrap(text))),
      { seed: SEED, numRuns: 300 },
    )
  })

  it('answers to a good bootstrap with any one value replaced', () => {
    const good = JSON.stringify(bootstrapJson(listenerJson(), clusterJson({ transport_socket: tls('Upstream', { sni: 'a' }) })))
    const places = [...good.matchAll(/"[^"]*"|\d+|\[|\{/g)].map(found => [found.index, found[0]] as const)
    fc.assert(
      fc.property(fc.constantFrom(...places), fc.jsonValue({ maxDepth: 2 }), ([index, old], value) => {
        if (old === '[' || old === '{') return answers(parseBootstrap(good.slice(0, index) + JSON.stringify(value) + good.slice(index)))
        return answers(parseBootstrap(good.slice(0, index) + JSON.stringify(value) + good.slice(index + old.length)))
      }),
      { seed: SEED, numRuns: 500 },
    )
  })
})

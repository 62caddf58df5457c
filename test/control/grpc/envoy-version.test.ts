// Which versions of Envoy are served, by what their nodes say.
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { expect, it } from 'vitest'
import { tooOldEnvoy } from '../../../src/control/grpc/envoy-version.js'
import { NodeSchema } from '../../../src/xds/gen/envoy/config/core/v3/base_pb.js'

const node = (userAgentName: string, version?: string): MessageInitShape<typeof NodeSchema> => {
  const [majorNumber, minorNumber, patch] = (version ?? '').split('.').map(Number)
  return version === undefined
    ? { userAgentName }
    : {
        userAgentName,
        userAgentVersionType: {
          case: 'userAgentBuildVersion',
          value: { version: { majorNumber: majorNumber!, minorNumber: minorNumber!, patch: patch! } },
        },
      }
}

it.each([
  ['the oldest', node('envoy', '1.32.0'), undefined],
  ['a newer one', node('envoy', '1.40.0'), undefined],
  ['one of a next major version', node('envoy', '2.0.0'), undefined],
  ['one that names no version', node('envoy'), undefined],
  ['another program', node('outrigger', '0.1.0'), undefined],
  ['an older one', node('envoy', '1.31.8'), 'Envoy 1.31.8 is too old and is not supported by Consul: 1.32 is the oldest'],
])('%s', (_what, said, reason) => {
  expect(tooOldEnvoy(create(NodeSchema, said))).toBe(reason)
})

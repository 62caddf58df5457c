// Fields whose reading docs/differences.md names, and no other test.
import { expect, it } from 'vitest'
import { parseBootstrap } from '../../../src/xds/bootstrap.js'
import { CHANNEL_DEFAULTS } from '../../../src/xds/client/client-options.js'
import { ListenerSchema } from '../../../src/xds/gen/envoy/config/listener/v3/listener_pb.js'
import { decodeListener } from '../../../src/xds/resources/decode.js'
import { hcm, listenerJson, message } from './messages.js'

it('a config source `self` is the ADS stream', () => {
  const filter = hcm({ route_config: null, rds: { route_config_name: 'r', config_source: { self: {} } } })
  const decoded = decodeListener(message(ListenerSchema, listenerJson({ filters: [filter] })))
  expect(JSON.stringify(decoded)).toContain('{"kind":"ads"')
})

it('xdstp:// collections are refused by name', () => {
  const text = JSON.stringify({ dynamic_resources: { cds_resources_locator: 'xdstp://a/b', lds_resources_locator: 'xdstp://a/c' } })
  const parsed = parseBootstrap([text], { unknownFields: 'refuse' })
  expect(parsed.ok ? [] : parsed.errors.map(({ path }) => path)).toEqual(
    expect.arrayContaining(['dynamic_resources.lds_resources_locator', 'dynamic_resources.cds_resources_locator']),
  )
})

it('an ADS message may have 50 MiB, and an idle stream is pinged every 330 s', () => {
  expect(CHANNEL_DEFAULTS['grpc.max_receive_message_length']).toBe(50 * 1024 * 1024)
  expect(CHANNEL_DEFAULTS['grpc.keepalive_time_ms']).toBe(330_000)
})

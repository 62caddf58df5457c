import { describe, expect, it } from 'vitest'
import { parseBootstrap } from '../../../src/xds/bootstrap.js'

const TYPES = 'type.googleapis.com/envoy'
const injected = {
  name: 'envoy.resource_monitors.injected_resource',
  typed_config: { '@type': `${TYPES}.extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig`, filename: '/tmp/pressure' },
}

function parse(overload: object) {
  return parseBootstrap(JSON.stringify({ overload_manager: overload }))
}

function errorsOf(overload: object): string[] {
  const parsed = parse(overload)
  return parsed.ok ? [] : parsed.errors.map(({ path, reason }) => `${path}: ${reason}`)
}

const at = (value: number) => [{ name: injected.name, threshold: { value } }]

describe('overload_manager', () => {
  it('reads monitors, actions, points and floors', () => {
    const parsed = parse({
      refresh_interval: '0.25s',
      resource_monitors: [
        injected,
        {
          name: 'envoy.resource_monitors.fixed_heap',
          typed_config: { '@type': `${TYPES}.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig`, max_heap_size_bytes: 1000 },
        },
        {
          name: 'envoy.resource_monitors.cgroup_memory',
          typed_config: { '@type': `${TYPES}.extensions.resource_monitors.cgroup_memory.v3.CgroupMemoryConfig` },
        },
        {
          name: 'envoy.resource_monitors.global_downstream_max_connections',
          typed_config: {
            '@type': `${TYPES}.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig`,
            max_active_downstream_connections: 7,
          },
        },
      ],
      actions: [
        {
          name: 'envoy.overload_actions.reduce_timeouts',
          triggers: [{ name: injected.name, scaled: { scaling_threshold: 0.5, saturation_threshold: 0.9 } }],
          typed_config: {
            '@type': `${TYPES}.config.overload.v3.ScaleTimersOverloadActionConfig`,
            timer_scale_factors: [
              { timer: 'HTTP_DOWNSTREAM_CONNECTION_IDLE', min_timeout: '2s' },
              { timer: 'HTTP_DOWNSTREAM_STREAM_FLUSH', min_scale: { value: 10 } },
              { timer: 'HTTP_DOWNSTREAM_CONNECTION_MAX', min_scale: { value: 10 } },
            ],
          },
        },
      ],
      loadshed_points: [
        { name: 'envoy.load_shed_points.tcp_listener_accept', triggers: at(0.9) },
        { name: 'envoy.load_shed_points.http1_server_abort_dispatch', triggers: at(0.9) },
      ],
      buffer_factory_config: { minimum_account_to_track_power_of_two: 12 },
    })
    expect(parsed.ok && parsed.value.overload).toEqual({
      refreshIntervalMs: 250,
      monitors: [
        { name: injected.name, kind: 'injected', path: '/tmp/pressure' },
        { name: 'envoy.resource_monitors.fixed_heap', kind: 'fixed-heap', maxBytes: 1000 },
        { name: 'envoy.resource_monitors.cgroup_memory', kind: 'cgroup-memory', maxBytes: null },
        { name: 'envoy.resource_monitors.global_downstream_max_connections', kind: 'downstream-connections', max: 7 },
      ],
      actions: [{ name: 'envoy.overload_actions.reduce_timeouts', triggers: [{ resource: injected.name, from: 0.5, to: 0.9 }] }],
      shedPoints: [{ name: 'envoy.load_shed_points.tcp_listener_accept', triggers: [{ resource: injected.name, from: 0.9, to: 0.9 }] }],
      timeoutFloors: new Map([
        ['connection-idle', { kind: 'time', ms: 2000 }],
        ['connection-max', { kind: 'share', share: 0.1 }],
      ]),
      minTrackedBytes: 4096,
    })
    expect(parsed.ok && parsed.value.unsupported).toEqual([
      'overload_manager.loadshed_points[1].name',
      'overload_manager.actions[0].typed_config.timer_scale_factors[1].timer',
    ])
  })

  it('refuses by name what there is not, and what protects nothing', () => {
    const action = (name: string, triggers: object[] = at(0.9)) => ({ resource_monitors: [injected], actions: [{ name, triggers }] })
    expect(errorsOf(action('envoy.overload_actions.dance'))[0]).toContain(
      "overload_manager.actions[0].name: unknown overload action 'envoy.overload_actions.dance'",
    )
    expect(errorsOf(action('envoy.overload_actions.shrink_heap', [{ name: 'heap', threshold: { value: 1 } }]))).toEqual([
      "overload_manager.actions[0].triggers[0].name: unknown resource 'heap': no resource monitor has this name",
    ])
    expect(
      errorsOf(
        action('envoy.overload_actions.shrink_heap', [
          { name: injected.name, scaled: { scaling_threshold: 0.9, saturation_threshold: 0.9 } },
        ]),
      ),
    ).toEqual(['overload_manager.actions[0].triggers[0].scaled: scaling_threshold must be less than saturation_threshold'])
    expect(errorsOf(action('envoy.overload_actions.reduce_timeouts'))).toEqual([
      "overload_manager.actions[0].typed_config: 'envoy.overload_actions.reduce_timeouts' needs its settings: which timeouts, down to what",
    ])
    expect(errorsOf({ resource_monitors: [injected, injected] })).toEqual([
      `overload_manager.resource_monitors[1].name: duplicate resource monitor '${injected.name}'`,
    ])
    expect(
      errorsOf({
        resource_monitors: [
          {
            name: 'cpu',
            typed_config: {
              '@type': `${TYPES}.config.overload.v3.ScaleTimersOverloadActionConfig`,
              timer_scale_factors: [{ timer: 'TRANSPORT_SOCKET_CONNECT', min_timeout: '1s' }],
            },
          },
        ],
      })[0],
    ).toContain("unknown resource monitor 'cpu'")
  })
})

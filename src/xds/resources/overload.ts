// The bootstrap's `overload_manager` -> model. Called by bootstrap.ts. A resource monitor or action that there is not is refused by its
// name, and so is a trigger of a resource that nothing measures: nobody is to think that he is protected. Load shed points that have no
// place here are listed as without effect.

import type { Message } from '@bufbuild/protobuf'
import {
  LOAD_SHED_POINTS,
  type LoadShedPoint,
  OVERLOAD_ACTIONS,
  type OverloadAction,
  type OverloadConfig,
  type OverloadRule,
  type OverloadTrigger,
  type ResourceMonitor,
  type ScaledTimeout,
  type TimeoutFloor,
} from '../../model/overload.js'
import {
  type OverloadAction as ActionMessage,
  type OverloadManager,
  type LoadShedPoint as PointMessage,
  type ResourceMonitor as ResourceMonitorMessage,
  type ScaleTimersOverloadActionConfig,
  ScaleTimersOverloadActionConfigSchema,
  ScaleTimersOverloadActionConfig_TimerType as TimerType,
  type Trigger,
} from '../gen/envoy/config/overload/v3/overload_pb.js'
import type { CgroupMemoryConfig } from '../gen/envoy/extensions/resource_monitors/cgroup_memory/v3/cgroup_memory_pb.js'
import type { DownstreamConnectionsConfig } from '../gen/envoy/extensions/resource_monitors/downstream_connections/v3/downstream_connections_pb.js'
import type { FixedHeapConfig } from '../gen/envoy/extensions/resource_monitors/fixed_heap/v3/fixed_heap_pb.js'
import type { InjectedResourceConfig } from '../gen/envoy/extensions/resource_monitors/injected_resource/v3/injected_resource_pb.js'
import { describeType, unpackAny, unpackAs } from './any.js'
import type { Ctx } from './field-path.js'
import { durationMs, durationMsOr } from './values.js'

const DEFAULT_REFRESH_INTERVAL_MS = 1000
const REDUCE_TIMEOUTS = 'envoy.overload_actions.reduce_timeouts'

const SCALED_TIMEOUTS: ReadonlyMap<TimerType, ScaledTimeout> = new Map([
  [TimerType.HTTP_DOWNSTREAM_CONNECTION_IDLE, 'connection-idle'],
  [TimerType.HTTP_DOWNSTREAM_STREAM_IDLE, 'stream-idle'],
  [TimerType.TRANSPORT_SOCKET_CONNECT, 'handshake'],
  [TimerType.HTTP_DOWNSTREAM_CONNECTION_MAX, 'connection-max'],
])

export function decodeOverload(message: OverloadManager, ctx: Ctx): OverloadConfig {
  const monitors = message.resourceMonitors
    .map((monitor, i) => decodeMonitor(monitor, ctx.at('resource_monitors', i)))
    .filter(monitor => monitor !== null)
  checkTwice(message.resourceMonitors, ctx, 'resource_monitors', 'resource monitor')
  checkTwice(message.actions, ctx, 'actions', 'overload action')
  checkTwice(message.loadshedPoints, ctx, 'loadshed_points', 'load shed point')
  const measured = new Set(message.resourceMonitors.map(({ name }) => name))
  const actions = message.actions.map((action, i) => decodeAction(action, measured, ctx.at('actions', i))).filter(action => action !== null)
  const shedPoints = message.loadshedPoints
    .map((point, i) => decodeShedPoint(point, measured, ctx.at('loadshed_points', i)))
    .filter(point => point !== null)
  const exponent = message.bufferFactoryConfig?.minimumAccountToTrackPowerOfTwo ?? 0
  return {
    refreshIntervalMs: Math.max(1, durationMsOr(message.refreshInterval, DEFAULT_REFRESH_INTERVAL_MS)),
    monitors,
    actions,
    shedPoints,
    timeoutFloors: decodeFloors(message.actions, ctx),
    minTrackedBytes: exponent === 0 ? null : 2 ** exponent,
  }
}

function checkTwice(named: readonly { readonly name: string }[], ctx: Ctx, field: string, what: string): void {
  const seen = new Set<string>()
  named.forEach(({ name }, i) => {
    if (seen.has(name)) ctx.at(field, i).at('name').error(`duplicate ${what} '${name}'`)
    seen.add(name)
  })
}

function decodeMonitor({ name, configType }: ResourceMonitorMessage, ctx: Ctx): ResourceMonitor | null {
  const at = ctx.at('typed_config')
  if (configType.case === undefined) {
    at.error('value is required')
    return null
  }
  const { typeName, typeUrl, message, known } = unpackAny(configType.value, at)
  if (message === null && known) return null
  const monitor = monitorOf(name, typeName, message, at)
  if (monitor === null) {
    const there = 'there are envoy.resource_monitors.fixed_heap, cgroup_memory, global_downstream_max_connections and injected_resource'
    at.error(`unknown resource monitor '${name}' (${describeType(typeUrl)}): ${there}`)
  }
  return monitor
}

function monitorOf(name: string, typeName: string, message: Message | null, ctx: Ctx): ResourceMonitor | null {
  switch (typeName) {
    case 'envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig': {
      const { maxHeapSizeBytes } = message as FixedHeapConfig
      if (maxHeapSizeBytes === 0n) ctx.at('max_heap_size_bytes').error('value must be greater than 0')
      return { name, kind: 'fixed-heap', maxBytes: Number(maxHeapSizeBytes) }
    }
    case 'envoy.extensions.resource_monitors.cgroup_memory.v3.CgroupMemoryConfig': {
      const { maxMemoryBytes } = message as CgroupMemoryConfig
      return { name, kind: 'cgroup-memory', maxBytes: !maxMemoryBytes ? null : Number(maxMemoryBytes) }
    }
    case 'envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig':
      return { name, kind: 'downstream-connections', max: Number((message as DownstreamConnectionsConfig).maxActiveDownstreamConnections) }
    case 'envoy.extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig':
      return { name, kind: 'injected', path: (message as InjectedResourceConfig).filename }
    default:
      return null
  }
}

function decodeAction(action: ActionMessage, measured: ReadonlySet<string>, ctx: Ctx): OverloadRule<OverloadAction> | null {
  const name = OVERLOAD_ACTIONS.find(known => known === action.name)
  if (name === undefined) {
    ctx.at('name').error(`unknown overload action '${action.name}': there are ${OVERLOAD_ACTIONS.join(', ')}`)
    return null
  }
  const configured = action.typedConfig !== undefined
  if (configured && name !== REDUCE_TIMEOUTS) ctx.at('typed_config').error(`'${name}' takes no settings`)
  if (!configured && name === REDUCE_TIMEOUTS) ctx.at('typed_config').error(`'${name}' needs its settings: which timeouts, down to what`)
  return { name, triggers: decodeTriggers(action.triggers, measured, ctx) }
}

function decodeShedPoint(point: PointMessage, measured: ReadonlySet<string>, ctx: Ctx): OverloadRule<LoadShedPoint> | null {
  const triggers = decodeTriggers(point.triggers, measured, ctx)
  const name = LOAD_SHED_POINTS.find(known => known === point.name)
  if (name !== undefined) return { name, triggers }
  ctx.at('name').unsupported()
  return null
}

function decodeTriggers(triggers: readonly Trigger[], measured: ReadonlySet<string>, ctx: Ctx): OverloadTrigger[] {
  checkTwice(triggers, ctx, 'triggers', 'trigger of resource')
  return triggers.map(({ name, triggerOneof }, i) => {
    const at = ctx.at('triggers', i)
    if (!measured.has(name)) at.at('name').error(`unknown resource '${name}': no resource monitor has this name`)
    if (triggerOneof.case !== 'scaled') {
      const value = triggerOneof.value?.value ?? 1
      return { resource: name, from: value, to: value }
    }
    const { scalingThreshold: from, saturationThreshold: to } = triggerOneof.value
    if (from >= to) at.at('scaled').error('scaling_threshold must be less than saturation_threshold')
    return { resource: name, from, to }
  })
}

function decodeFloors(actions: readonly ActionMessage[], ctx: Ctx): ReadonlyMap<ScaledTimeout, TimeoutFloor> {
  const floors = new Map<ScaledTimeout, TimeoutFloor>()
  actions.forEach(({ name, typedConfig }, i) => {
    if (name !== REDUCE_TIMEOUTS || typedConfig === undefined) return
    const at = ctx.at('actions', i).at('typed_config')
    const config = unpackAs(typedConfig, ScaleTimersOverloadActionConfigSchema, at)
    config?.timerScaleFactors.forEach((factor, j) => {
      addFloor(floors, factor, at.at('timer_scale_factors', j))
    })
  })
  return floors
}

function addFloor(
  floors: Map<ScaledTimeout, TimeoutFloor>,
  { timer, overloadAdjust }: ScaleTimersOverloadActionConfig['timerScaleFactors'][number],
  ctx: Ctx,
): void {
  const kind = SCALED_TIMEOUTS.get(timer)
  if (kind === undefined) {
    ctx.at('timer').unsupported()
    return
  }
  if (floors.has(kind)) ctx.at('timer').error('the same timer stands twice')
  if (overloadAdjust.case === 'minTimeout') floors.set(kind, { kind: 'time', ms: durationMs(overloadAdjust.value) })
  else if (overloadAdjust.case === 'minScale') floors.set(kind, { kind: 'share', share: overloadAdjust.value.value / 100 })
}

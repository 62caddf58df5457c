// What tracers need of the process: its clients, clock, runtime, stats, names. Given by the server to Tracers.

import type { Clock } from '../../io/clock.js'
import type { OpenTelemetryTracerHandles, ZipkinTracerHandles } from '../../metrics/reporting-stats.js'
import type { Runtime } from '../match/runtime-fraction.js'
import type { OtlpTransport } from '../otlp/otlp-client.js'

export interface TracerEnvironment {
  readonly transport: OtlpTransport
  readonly clusters: { get(name: string): unknown }
  readonly clock: Clock
  readonly runtime: Runtime
  /** Name and version of the program, as collectors are told. */
  readonly program: { readonly name: string; readonly version: string }
  readonly serviceCluster: string
  readonly openTelemetryStats: () => OpenTelemetryTracerHandles
  readonly zipkinStats: () => ZipkinTracerHandles
  readonly log: (message: string) => void
}

// What the dataplane tells of itself, by consul-dataplane's names, beside the figures of this process. Fed by ConsulServers and by the proxy's xDS
// stream; a part of the merged metrics. One for each dataplane.
import { Counter, collectDefaultMetrics, Gauge, Registry, Summary } from 'prom-client'

const PREFIX = 'consul_dataplane_'
const AGE_BUCKETS = 5

/** gRPC's names of its status codes, as Go prints them. */
const CODES = (
  'OK Canceled Unknown InvalidArgument DeadlineExceeded NotFound AlreadyExists PermissionDenied ResourceExhausted FailedPrecondition ' +
  'Aborted OutOfRange Unimplemented Internal Unavailable DataLoss Unauthenticated'
).split(' ')

export class OwnMetrics {
  private readonly registry = new Registry()
  private readonly consulConnected: Gauge
  private readonly envoyConnected: Gauge
  private readonly errors: Counter
  private readonly connect: Summary
  private readonly discover: Summary
  private readonly login: Summary

  /** Durations are summed up over the last `retentionMs`. */
  constructor(retentionMs: number, isEnvoyConnected: () => boolean) {
    const registers = [this.registry]
    collectDefaultMetrics({ register: this.registry, prefix: PREFIX })
    const gauge = (name: string, help: string): Gauge => new Gauge({ name: PREFIX + name, help, registers })
    const summary = (name: string, help: string): Summary =>
      new Summary({ name: PREFIX + name, help, registers, maxAgeSeconds: retentionMs / 1000, ageBuckets: AGE_BUCKETS })
    this.consulConnected = gauge('consul_connected', 'Whether a Consul server is connected (1) or not (0)')
    this.envoyConnected = new Gauge({
      name: `${PREFIX}envoy_connected`,
      help: 'Whether the proxy has its stream of configuration (1) or not (0)',
      registers,
      collect: () => this.envoyConnected.set(isEnvoyConnected() ? 1 : 0),
    })
    this.errors = new Counter({
      name: `${PREFIX}connection_errors`,
      help: 'Calls and streams that a Consul server ended, by gRPC status',
      labelNames: ['error_code'],
      registers,
    })
    this.connect = summary('connect_duration', 'Milliseconds from the search for a Consul server to its use')
    this.discover = summary('discover_servers_duration', 'Milliseconds to find the addresses of the Consul servers')
    this.login = summary('login_duration', 'Milliseconds of a login with an auth method')
  }

  connected(yes: boolean): void {
    this.consulConnected.set(yes ? 1 : 0)
  }

  connectionError(code: number): void {
    this.errors.inc({ error_code: CODES[code] ?? String(code) })
  }

  connectDuration(ms: number): void {
    this.connect.observe(ms)
  }

  discoverDuration(ms: number): void {
    this.discover.observe(ms)
  }

  loginDuration(ms: number): void {
    this.login.observe(ms)
  }

  /** Prometheus' text. */
  text(): Promise<string> {
    return this.registry.metrics()
  }
}

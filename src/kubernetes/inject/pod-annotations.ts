// The annotations of a pod, by consul-k8s' names, as what is to be injected. Called by inject-pod.ts.
// Invariant: every `consul.hashicorp.com/` annotation is either read here, or named in a warning; what is read and malformed is a problem.
import type { Container, Pod, PodSpec, Resources, Volume, VolumeMount } from './pod.js'
import { type PodUpstream, readUpstreams } from './upstreams-annotation.js'

export const PREFIX = 'consul.hashicorp.com/'
/** On what has been injected, as an annotation and as a label. */
export const STATUS = `${PREFIX}connect-inject-status`
const META_PREFIX = 'service-meta-'

export interface InjectionDefaults {
  readonly transparentProxy: boolean
  readonly overwriteProbes: boolean
  readonly metrics: boolean
  readonly metricsPort: number
  readonly resources: Resources
}

/** What is to be injected. */
export interface Injection {
  readonly service: string
  /** 0 = nothing listens: the pod only calls others. */
  readonly port: number
  /** '' = what the config entries say. */
  readonly protocol: string
  readonly tags: readonly string[]
  readonly meta: Readonly<Record<string, string>>
  readonly upstreams: readonly PodUpstream[]
  /** Null: not transparent. */
  readonly transparent: TransparentRules | null
  readonly extraArgs: readonly string[]
  /** '' = the proxy's default. */
  readonly concurrency: string
  readonly shutdownGraceS: string
  readonly resources: Resources
  /** Null: no page of metrics. */
  readonly metricsPort: number | null
  readonly userVolumes: readonly Volume[]
  readonly userVolumeMounts: readonly VolumeMount[]
  /** Containers that see the sidecar's folder as well. */
  readonly mountInto: readonly string[]
}

export interface TransparentRules {
  readonly overwriteProbes: boolean
  readonly excludeInboundPorts: readonly string[]
  readonly excludeOutboundPorts: readonly string[]
  readonly excludeOutboundCidrs: readonly string[]
  readonly excludeUids: readonly string[]
}

/** consul-k8s has them; here they have no effect, and why. */
const WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  'enable-metrics-merging': 'the metrics of sidecar and application are scraped separately',
  'merged-metrics-port': 'the metrics of sidecar and application are scraped separately',
  'service-metrics-port': 'the metrics of sidecar and application are scraped separately',
  'service-metrics-path': 'the metrics of sidecar and application are scraped separately',
  'prometheus-ca-file': 'metrics are served without TLS',
  'prometheus-ca-path': 'metrics are served without TLS',
  'prometheus-cert-file': 'metrics are served without TLS',
  'prometheus-key-file': 'metrics are served without TLS',
  'consul-sidecar-cpu-limit': 'there is no such container: sidecar-proxy-cpu-limit is the sidecar',
  'consul-sidecar-cpu-request': 'there is no such container: sidecar-proxy-cpu-request is the sidecar',
  'consul-sidecar-memory-limit': 'there is no such container: sidecar-proxy-memory-limit is the sidecar',
  'consul-sidecar-memory-request': 'there is no such container: sidecar-proxy-memory-request is the sidecar',
  'connect-service-tags': 'its name of today is service-tags',
  'use-proxy-health-check': 'readiness is always asked of the sidecar itself',
  'enable-sidecar-proxy-lifecycle': 'the sidecar is a native one: it starts before and ends after the application in any case',
  'sidecar-proxy-lifecycle-graceful-port': 'the sidecar is stopped by the kubelet, which needs no port',
  'sidecar-proxy-lifecycle-graceful-shutdown-path': 'the sidecar is stopped by the kubelet, which needs no path',
  'sidecar-proxy-lifecycle-graceful-startup-path': 'containers start once the startup probe of the sidecar has passed',
  'sidecar-proxy-lifecycle-startup-grace-period-seconds': 'containers start once the startup probe of the sidecar has passed',
  'sidecar-proxy-lifecycle-enable-shutdown-drain-listeners': 'the sidecar always drains before it ends',
  'sidecar-proxy-startup-failure-seconds': 'the startup probe has one limit for all pods',
  'sidecar-proxy-liveness-failure-seconds': 'the liveness probe has one limit for all pods',
  'consul-namespace': 'namespaces are of Consul Enterprise',
  'connect-k8s-version': 'nothing reads it',
  'gateway-kind': 'gateways are not injected: examples/deploy/kubernetes has their manifests',
}

const FILTERED_LATER: ReadonlySet<string> = new Set(['connect-inject', 'connect-inject-status', 'kubernetes-service'])

export interface ReadAnnotations {
  readonly injection: Injection
  readonly problems: readonly string[]
  readonly warnings: readonly string[]
}

export function readAnnotations(pod: Pod, defaults: InjectionDefaults): ReadAnnotations {
  const reader = new AnnotationReader(pod.metadata?.annotations ?? {})
  const service = reader.text('connect-service') || reader.text('kubernetes-service') || pod.spec.containers[0]!.name
  if (service.includes(','))
    reader.problem('connect-service', service, 'several services in one pod are not supported: one pod, one service')
  else if (!/^[A-Za-z0-9]([A-Za-z0-9_.-]{0,126}[A-Za-z0-9])?$/.test(service))
    reader.problem('connect-service', service, 'is no name of a service')
  const transparent = reader.flag('transparent-proxy', defaults.transparentProxy)
  const rules: TransparentRules = {
    overwriteProbes: reader.flag('transparent-proxy-overwrite-probes', defaults.overwriteProbes),
    excludeInboundPorts: reader.list('transparent-proxy-exclude-inbound-ports', isPort, 'is no port'),
    excludeOutboundPorts: reader.list('transparent-proxy-exclude-outbound-ports', isPort, 'is no port'),
    excludeOutboundCidrs: reader.list('transparent-proxy-exclude-outbound-cidrs', isRange, 'is no range of IPv4 addresses'),
    excludeUids: reader.list('transparent-proxy-exclude-uids', isUid, 'is no number of a user'),
  }
  const metrics = reader.flag('enable-metrics', defaults.metrics)
  const metricsPort = reader.text('prometheus-scrape-port') || String(defaults.metricsPort)
  if (!isPort(metricsPort)) reader.problem('prometheus-scrape-port', metricsPort, 'is no port')
  const scrapePath = reader.text('prometheus-scrape-path')
  if (scrapePath !== '' && scrapePath !== METRICS_PATH)
    reader.problem('prometheus-scrape-path', scrapePath, `metrics are served at ${METRICS_PATH}`)
  const injection: Injection = {
    service,
    port: servicePort(reader, pod.spec),
    protocol: reader.oneOf('connect-service-protocol', ['', 'tcp', 'http', 'http2', 'grpc']),
    tags: splitTags(reader.text('service-tags')),
    meta: reader.withPrefix(META_PREFIX),
    upstreams: readUpstreams(reader.text('connect-service-upstreams'), reader.problems),
    transparent: transparent ? rules : null,
    extraArgs: reader.text('envoy-extra-args').split(/\s+/).filter(Boolean),
    concurrency: reader.checked('consul-envoy-proxy-concurrency', text => /^\d{1,3}$/.test(text), 'is no number of processes'),
    shutdownGraceS: reader.checked(
      'sidecar-proxy-lifecycle-shutdown-grace-period-seconds',
      text => /^\d{1,4}$/.test(text),
      'is no number of seconds',
    ),
    resources: readResources(reader, defaults.resources),
    metricsPort: metrics ? Number(metricsPort) : null,
    userVolumes: reader.json<Volume>('consul-sidecar-user-volume', ['name']),
    userVolumeMounts: reader.json<VolumeMount>('consul-sidecar-user-volume-mount', ['name', 'mountPath']),
    mountInto: reader.list(
      'connect-inject-mount-volume',
      name => pod.spec.containers.some(container => container.name === name),
      'is no container of the pod',
    ),
  }
  return { injection, problems: reader.problems, warnings: reader.unread() }
}

export const METRICS_PATH = '/metrics'

class AnnotationReader {
  readonly problems: string[] = []
  private readonly read = new Set<string>()

  constructor(private readonly annotations: Readonly<Record<string, string>>) {}

  problem(name: string, value: string, why: string): void {
    this.problems.push(`${PREFIX}${name} "${value}": ${why}`)
  }

  text(name: string): string {
    this.read.add(name)
    return (this.annotations[PREFIX + name] ?? '').trim()
  }

  checked(name: string, good: (text: string) => boolean, why: string): string {
    const text = this.text(name)
    if (text !== '' && !good(text)) this.problem(name, text, why)
    return text
  }

  oneOf(name: string, choices: readonly string[]): string {
    return this.checked(name, text => choices.includes(text), `must be one of ${choices.filter(Boolean).join(', ')}`)
  }

  flag(name: string, fallback: boolean): boolean {
    const text = this.text(name)
    const value = text === '' ? fallback : booleanOf(text)
    if (value === undefined) this.problem(name, text, 'must be true or false')
    return value ?? fallback
  }

  list(name: string, good: (item: string) => boolean, why: string): string[] {
    const items = this.text(name)
      .split(',')
      .map(item => item.trim())
      .filter(Boolean)
    for (const item of items) if (!good(item)) this.problem(name, item, why)
    return items
  }

  withPrefix(prefix: string): Record<string, string> {
    const found: Record<string, string> = {}
    for (const name of Object.keys(this.annotations)) {
      const key = name.startsWith(PREFIX + prefix) ? name.slice(PREFIX.length + prefix.length) : ''
      if (key !== '') found[key] = this.text(prefix + key)
    }
    return found
  }

  /** A JSON list of objects that have texts of these names. */
  json<T>(name: string, needed: readonly string[]): readonly T[] {
    const text = this.text(name)
    if (text === '') return []
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch {
      this.problem(name, text, 'is no JSON')
      return []
    }
    const items = Array.isArray(value) ? value : [value]
    const good = items.every(item => needed.every(key => typeof (item as Record<string, unknown> | null)?.[key] === 'string'))
    if (!good) this.problem(name, text, `must be a JSON list of objects with ${needed.join(' and ')}`)
    return good ? (items as T[]) : []
  }

  /** A warning for each annotation of ours that nobody has read. */
  unread(): string[] {
    return Object.keys(this.annotations).flatMap(name => {
      const own = name.startsWith(PREFIX) ? name.slice(PREFIX.length) : ''
      if (own === '' || this.read.has(own) || FILTERED_LATER.has(own)) return []
      return [`${name} has no effect: ${WITHOUT_EFFECT[own] ?? 'there is no such annotation'}`]
    })
  }
}

/** As Go reads them. */
export function booleanOf(text: string): boolean | undefined {
  if (/^(1|t|true)$/i.test(text)) return true
  return /^(0|f|false)$/i.test(text) ? false : undefined
}

/** A number, or the name of a port of a container; the first port that any container exposes where nothing is said. */
function servicePort(reader: AnnotationReader, { containers }: PodSpec): number {
  const text = reader.text('connect-service-port')
  const ports = containers.flatMap(({ ports: own = [] }: Container) => own)
  if (text === '') return ports[0]?.containerPort ?? 0
  if (text.includes(',')) reader.problem('connect-service-port', text, 'several services in one pod are not supported: one pod, one port')
  else if (/^\d+$/.test(text)) {
    if (isPort(text)) return Number(text)
    reader.problem('connect-service-port', text, 'is no port')
  } else {
    const named = ports.find(({ name }) => name === text)
    if (named !== undefined) return named.containerPort
    reader.problem('connect-service-port', text, 'no container has a port of this name')
  }
  return 0
}

/** `\,` is a comma of the tag itself. */
export function splitTags(text: string): string[] {
  return text
    .split(/(?<!\\),/)
    .map(tag => tag.replaceAll('\\,', ',').trim())
    .filter(Boolean)
}

function readResources(reader: AnnotationReader, defaults: Resources): Resources {
  const amount = (name: string): string =>
    reader.checked(
      `sidecar-proxy-${name}`,
      text => /^\d+(\.\d+)?(m|[kMGTPE]|[KMGTPE]i)?$/.test(text),
      'is no quantity, such as 100m or 128Mi',
    )
  const over = (of: Readonly<Record<string, string>> = {}, kind: 'limit' | 'request'): Record<string, string> => {
    const cpu = amount(`cpu-${kind}`)
    const memory = amount(`memory-${kind}`)
    return { ...of, ...(cpu === '' ? {} : { cpu }), ...(memory === '' ? {} : { memory }) }
  }
  return { limits: over(defaults.limits, 'limit'), requests: over(defaults.requests, 'request') }
}

function isPort(text: string): boolean {
  return /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65_535
}

function isUid(text: string): boolean {
  return /^\d{1,10}$/.test(text) && Number(text) < 2 ** 32 - 1
}

function isRange(text: string): boolean {
  const [address = '', bits, ...more] = text.split('/')
  const octets = address.split('.')
  const good = octets.length === 4 && octets.every(octet => /^\d{1,3}$/.test(octet) && Number(octet) <= 255)
  return good && more.length === 0 && (bits === undefined || (/^\d{1,2}$/.test(bits) && Number(bits) <= 32))
}

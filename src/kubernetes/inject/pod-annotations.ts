// The annotations of a pod, by consul-k8s' names, as what is to be injected. Called by inject-pod.ts.
// Invariant: every `consul.hashicorp.com/` annotation is either read here, or named in a warning; what is read and malformed is a problem.
import { isIP } from 'node:net'
import { AnnotationReader, PREFIX, splitTags } from './annotation-reader.js'
import type { Container, Pod, PodSpec, Resources, Volume, VolumeMount } from './pod.js'
import { type NamedPorts, type PodUpstream, readUpstreams } from './upstreams-annotation.js'

/** On what has been injected, as an annotation and as a label. */
export const STATUS = `${PREFIX}connect-inject-status`
const META_PREFIX = 'service-meta-'
/** Each has a sidecar, with ports of its own: those of a kind are that far apart at least. */
const MAX_SERVICES = 16
/** Kubernetes' numbers of resources, but negative ones. */
const QUANTITY = /^\+?(\d+\.?\d*|\.\d+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d{1,2})?$/

export interface InjectionDefaults {
  readonly transparentProxy: boolean
  readonly overwriteProbes: boolean
  readonly metrics: boolean
  readonly metricsPort: number
  readonly resources: Resources
}

/** What is to be injected. */
export interface Injection {
  /** At least one, each with a sidecar of its own; upstreams are the first one's. */
  readonly services: readonly NamedPort[]
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
  /** How long a sidecar may take to start, and to answer again, before the kubelet restarts it; '' = as all others, '0' = it never does. */
  readonly startupFailureS: string
  readonly livenessFailureS: string
  /** Of the proxy's `Config`; the other annotations go over it. */
  readonly proxyConfig: Readonly<Record<string, unknown>>
  readonly resources: Resources
  /** Null: no page of metrics. */
  readonly metricsPort: number | null
  readonly userVolumes: readonly Volume[]
  readonly userVolumeMounts: readonly VolumeMount[]
  /** Containers that see the sidecar's folder as well. */
  readonly mountInto: readonly string[]
}

export interface NamedPort {
  readonly name: string
  /** 0 = nothing listens: the pod only calls others. */
  readonly port: number
}

export interface TransparentRules {
  readonly overwriteProbes: boolean
  readonly excludeInboundPorts: readonly string[]
  readonly excludeOutboundPorts: readonly string[]
  readonly excludeOutboundCidrs: readonly string[]
  readonly excludeUids: readonly string[]
}

export interface ReadAnnotations {
  readonly injection: Injection
  readonly problems: readonly string[]
  readonly warnings: readonly string[]
}

export function readAnnotations(pod: Pod, defaults: InjectionDefaults): ReadAnnotations {
  const reader = new AnnotationReader(pod.metadata?.annotations ?? {})
  const services = readServices(reader, pod.spec)
  const transparent = reader.flag('transparent-proxy', defaults.transparentProxy)
  if (transparent && services.length > 1)
    reader.problem('transparent-proxy', 'true', 'a pod of several services cannot be transparent: what comes in has one sidecar')
  const rules: TransparentRules = {
    overwriteProbes: reader.flag('transparent-proxy-overwrite-probes', defaults.overwriteProbes),
    excludeInboundPorts: reader.list('transparent-proxy-exclude-inbound-ports', isPort, 'is no port'),
    excludeOutboundPorts: reader.list('transparent-proxy-exclude-outbound-ports', isPort, 'is no port'),
    excludeOutboundCidrs: reader.list('transparent-proxy-exclude-outbound-cidrs', isRange, 'is no range of addresses'),
    excludeUids: reader.list('transparent-proxy-exclude-uids', isUid, 'is no number of a user'),
  }
  const metrics = reader.flag('enable-metrics', defaults.metrics)
  const metricsPort = reader.text('prometheus-scrape-port') || String(defaults.metricsPort)
  if (!isPort(metricsPort)) reader.problem('prometheus-scrape-port', metricsPort, 'is no port')
  const scrapePath = reader.text('prometheus-scrape-path')
  if (scrapePath !== '' && scrapePath !== METRICS_PATH)
    reader.problem('prometheus-scrape-path', scrapePath, `metrics are served at ${METRICS_PATH}`)
  const injection: Injection = {
    services,
    protocol: reader.oneOf('connect-service-protocol', ['', 'tcp', 'http', 'http2', 'grpc']),
    tags: splitTags(reader.text('service-tags')),
    meta: reader.withPrefix(META_PREFIX),
    upstreams: readUpstreams(reader.text('connect-service-upstreams'), namedPorts(pod.spec), reader.problems),
    transparent: transparent ? rules : null,
    extraArgs: reader.text('envoy-extra-args').split(/\s+/).filter(Boolean),
    concurrency: reader.checked('consul-envoy-proxy-concurrency', text => /^\d{1,3}$/.test(text), 'is no number of processes'),
    shutdownGraceS: reader.seconds('sidecar-proxy-lifecycle-shutdown-grace-period-seconds'),
    startupFailureS: reader.seconds('sidecar-proxy-startup-failure-seconds'),
    livenessFailureS: reader.seconds('sidecar-proxy-liveness-failure-seconds'),
    proxyConfig: reader.map('proxy-config-map'),
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

function namedPorts({ containers }: PodSpec): NamedPorts {
  const named = containers.flatMap(({ ports = [] }) => ports.filter(({ name }) => name !== undefined))
  return new Map(named.map(({ name, containerPort }) => [name!, containerPort]))
}

/** With commas between them several: as many names as ports, in the same order. */
function readServices(reader: AnnotationReader, spec: PodSpec): NamedPort[] {
  const text = reader.text('connect-service') || reader.text('kubernetes-service') || spec.containers[0]!.name
  const names = text.split(',').map(name => name.trim())
  const ports = reader
    .text('connect-service-port')
    .split(',')
    .map(port => port.trim())
  for (const name of names)
    if (!/^[A-Za-z0-9]([A-Za-z0-9_.-]{0,126}[A-Za-z0-9])?$/.test(name)) reader.problem('connect-service', name, 'is no name of a service')
  if (new Set(names).size < names.length) reader.problem('connect-service', text, 'names a service twice')
  if (names.length > MAX_SERVICES) reader.problem('connect-service', text, `a pod has ${MAX_SERVICES} services at most`)
  if (names.length !== ports.length)
    reader.problem('connect-service-port', ports.join(','), `${names.length} services need as many ports, in the same order`)
  return names.map((name, i) => ({ name, port: servicePort(reader, ports[i] ?? '', spec) }))
}

/** A number, or the name of a port of a container; the first port that any container exposes where nothing is said. */
function servicePort(reader: AnnotationReader, text: string, { containers }: PodSpec): number {
  const ports = containers.flatMap(({ ports: own = [] }: Container) => own)
  if (text === '') return ports[0]?.containerPort ?? 0
  if (/^\d+$/.test(text)) {
    if (isPort(text)) return Number(text)
    reader.problem('connect-service-port', text, 'is no port')
  } else {
    const named = ports.find(({ name }) => name === text)
    if (named !== undefined) return named.containerPort
    reader.problem('connect-service-port', text, 'no container has a port of this name')
  }
  return 0
}

function readResources(reader: AnnotationReader, defaults: Resources): Resources {
  const amount = (name: string): string =>
    reader.checked(`sidecar-proxy-${name}`, text => QUANTITY.test(text), 'is no quantity, such as 100m or 128Mi')
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
  const family = address.includes('%') ? 0 : isIP(address)
  const most = family === 4 ? 32 : 128
  return family !== 0 && more.length === 0 && (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= most))
}

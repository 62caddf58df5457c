// What the injected sidecar registers of its pod. The webhook writes it, as JSON, into the sidecar's environment, where the pod's name and
// address are not known yet; `outrigger k8s sidecar` reads it there, and registers it. Called by sidecar-container.ts and commands/k8s.
// Invariant: IDs are consul-k8s': `<pod>-<service>`, and `-sidecar-proxy` behind it.
import { isIPv6 } from 'node:net'
import type { AppProbe } from './app-probes.js'
import type { PodUpstream } from './upstreams-annotation.js'

export interface PodService {
  readonly name: string
  /** Among the services of its pod: each has ports of its own. */
  readonly index: number
  readonly port: number
  readonly protocol: string
  readonly tags: readonly string[]
  readonly meta: Readonly<Record<string, string>>
  readonly upstreams: readonly PodUpstream[]
  readonly transparent: boolean
  readonly exposedPaths: readonly ExposedPath[]
  /** What the sidecar asks of the application, so that nobody is sent to it before it is ready. */
  readonly appProbes: readonly AppProbe[]
  /** Null: none. */
  readonly metricsPort: number | null
  readonly proxyConfig: Readonly<Record<string, unknown>>
}

/** A path that is served in the clear, for the kubelet's probes. */
export interface ExposedPath {
  readonly listenerPort: number
  readonly localPort: number
  readonly path: string
  /** HTTP/1 where nothing is said. */
  readonly protocol?: 'http2'
}

/** Where and as what it runs: of the downward API. */
export interface PodPlace {
  readonly podName: string
  readonly podIp: string
  readonly namespace: string
  readonly nodeName: string
}

/** consul-k8s' ports, of the pod's only or first service; those of the next are one higher each. */
export const FIRST_PORTS = { proxy: 20_000, ready: 20_100, admin: 19_000 } as const
export const OUTBOUND_PORT = 15_001
export const LOWEST_PROBE_PORT = 20_300

export const POD_SERVICE_VARIABLE = 'OUTRIGGER_POD_SERVICE'
/** Names the folder in memory, where the sidecar keeps what `k8s leave` needs. */
export const POD_FOLDER_VARIABLE = 'OUTRIGGER_POD_FOLDER'
const CHECK_INTERVAL = '5s'
/** The first may come before the sidecar listens. */
const FAILURES_BEFORE_CRITICAL = 2
/** The sidecar says three times in it whether the pod is ready. */
export const READY_CHECK_TTL_S = 30
/** A pod that is gone without a word, its node with it perhaps. */
const DEREGISTER_AFTER = '10m'

export function serviceId(service: Pick<PodService, 'name'>, { podName }: Pick<PodPlace, 'podName'>): string {
  return `${podName}-${service.name}`
}

export function portsOf(index: number): { readonly proxy: number; readonly ready: number; readonly admin: number } {
  return { proxy: FIRST_PORTS.proxy + index, ready: FIRST_PORTS.ready + index, admin: FIRST_PORTS.admin + index }
}

export function readyCheckId(service: Pick<PodService, 'name'>, place: Pick<PodPlace, 'podName'>): string {
  return `${serviceId(service, place)}-ready`
}

/** Of the sidecar itself, and of its application. */
export function readyProbes({ index, appProbes }: Pick<PodService, 'index' | 'appProbes'>): AppProbe[] {
  const http = { path: '/ready', tls: false, headers: [] }
  return [{ container: 'the sidecar', port: portsOf(index).ready, http, periodS: 5, timeoutS: 5, failures: 2, successes: 1 }, ...appProbes]
}

export function sidecarId(service: Pick<PodService, 'name'>, place: Pick<PodPlace, 'podName'>): string {
  return `${serviceId(service, place)}-sidecar-proxy`
}

/** The body of `PUT /v1/agent/service/register`. */
export function registrationOf(service: PodService, place: PodPlace): Record<string, unknown> {
  const { podIp } = place
  const ports = portsOf(service.index)
  const id = serviceId(service, place)
  const at = (port: number): string => `${isIPv6(podIp) ? `[${podIp}]` : podIp}:${port}`
  const any = isIPv6(podIp) ? '[::]' : '0.0.0.0'
  const meta = {
    ...service.meta,
    'pod-name': place.podName,
    'k8s-namespace': place.namespace,
    'k8s-node': place.nodeName,
    'external-source': 'kubernetes',
  }
  const check = {
    Name: 'Sidecar of the pod',
    HTTP: `http://${at(ports.ready)}/ready`,
    Interval: CHECK_INTERVAL,
    FailuresBeforeCritical: FAILURES_BEFORE_CRITICAL,
    Status: 'passing',
    DeregisterCriticalServiceAfter: DEREGISTER_AFTER,
  }
  // Not ready until the sidecar says so, which it does at once: a rollout goes on as soon as the kubelet says it.
  const ready = { CheckID: readyCheckId(service, place), Name: 'Readiness of the pod', TTL: `${READY_CHECK_TTL_S}s`, Status: 'critical' }
  return {
    ID: id,
    Name: service.name,
    Address: podIp,
    Port: service.port,
    Tags: service.tags,
    Meta: meta,
    Checks: [check, ready],
    Connect: {
      SidecarService: {
        Address: podIp,
        Port: ports.proxy,
        Tags: service.tags,
        Meta: meta,
        Checks: [{ Name: ready.Name, AliasService: id }],
        Proxy: {
          ...(service.transparent ? { Mode: 'transparent', TransparentProxy: { OutboundListenerPort: OUTBOUND_PORT } } : {}),
          Config: {
            ...service.proxyConfig,
            envoy_ready_bind_addr: `${any}:${ports.ready}`,
            ...(service.protocol === '' ? {} : { protocol: service.protocol }),
            ...(service.metricsPort === null ? {} : { envoy_prometheus_bind_addr: `${any}:${service.metricsPort}` }),
          },
          Upstreams: service.upstreams.map(({ type, name, localPort, datacenter, peer }) => ({
            DestinationType: type,
            DestinationName: name,
            LocalBindPort: localPort,
            ...(datacenter === '' ? {} : { Datacenter: datacenter }),
            ...(peer === '' ? {} : { DestinationPeer: peer }),
          })),
          ...(service.exposedPaths.length === 0
            ? {}
            : {
                Expose: {
                  Paths: service.exposedPaths.map(({ listenerPort, localPort, path, protocol = 'http' }) => ({
                    ListenerPort: listenerPort,
                    LocalPathPort: localPort,
                    Path: path,
                    Protocol: protocol,
                  })),
                },
              }),
        },
      },
    },
  }
}

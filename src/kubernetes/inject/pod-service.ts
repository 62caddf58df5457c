// What the injected sidecar registers of its pod. The webhook writes it, as JSON, into the sidecar's environment, where the pod's name and
// address are not known yet; `outrigger k8s sidecar` reads it there, and registers it. Called by sidecar-container.ts and commands/k8s.
// Invariant: IDs are consul-k8s': `<pod>-<service>`, and `-sidecar-proxy` behind it.
import { isIPv6 } from 'node:net'
import type { PodUpstream } from './upstreams-annotation.js'

export interface PodService {
  readonly name: string
  readonly port: number
  readonly protocol: string
  readonly tags: readonly string[]
  readonly meta: Readonly<Record<string, string>>
  readonly upstreams: readonly PodUpstream[]
  readonly transparent: boolean
  readonly exposedPaths: readonly ExposedPath[]
  /** Null: none. */
  readonly metricsPort: number | null
}

/** A path that is served in the clear, for the kubelet's probes. */
export interface ExposedPath {
  readonly listenerPort: number
  readonly localPort: number
  readonly path: string
}

/** Where and as what it runs: of the downward API. */
export interface PodPlace {
  readonly podName: string
  readonly podIp: string
  readonly namespace: string
  readonly nodeName: string
}

/** consul-k8s' ports. */
export const PROXY_PORT = 20_000
export const READY_PORT = 20_100
export const ADMIN_PORT = 19_000
export const OUTBOUND_PORT = 15_001
export const LOWEST_PROBE_PORT = 20_300

export const POD_SERVICE_VARIABLE = 'OUTRIGGER_POD_SERVICE'
const CHECK_INTERVAL = '10s'
/** A pod that is gone without a word, its node with it perhaps. */
const DEREGISTER_AFTER = '10m'

export function serviceId(service: Pick<PodService, 'name'>, { podName }: Pick<PodPlace, 'podName'>): string {
  return `${podName}-${service.name}`
}

export function sidecarId(service: Pick<PodService, 'name'>, place: Pick<PodPlace, 'podName'>): string {
  return `${serviceId(service, place)}-sidecar-proxy`
}

/** The body of `PUT /v1/agent/service/register`. */
export function registrationOf(service: PodService, place: PodPlace): Record<string, unknown> {
  const { podIp } = place
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
    HTTP: `http://${at(READY_PORT)}/ready`,
    Interval: CHECK_INTERVAL,
    DeregisterCriticalServiceAfter: DEREGISTER_AFTER,
  }
  return {
    ID: serviceId(service, place),
    Name: service.name,
    Address: podIp,
    Port: service.port,
    Tags: service.tags,
    Meta: meta,
    Checks: [check],
    Connect: {
      SidecarService: {
        Address: podIp,
        Port: PROXY_PORT,
        Tags: service.tags,
        Meta: meta,
        Checks: [check],
        Proxy: {
          ...(service.transparent ? { Mode: 'transparent', TransparentProxy: { OutboundListenerPort: OUTBOUND_PORT } } : {}),
          Config: {
            envoy_ready_bind_addr: `${any}:${READY_PORT}`,
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
                  Paths: service.exposedPaths.map(({ listenerPort, localPort, path }) => ({
                    ListenerPort: listenerPort,
                    LocalPathPort: localPort,
                    Path: path,
                    Protocol: 'http',
                  })),
                },
              }),
        },
      },
    },
  }
}

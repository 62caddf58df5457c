// The readiness probes of a pod's own containers, as the sidecar asks them too: the mesh sends nobody to an application that is not ready. Pure;
// called by inject-pod.ts. The answers are the kubelet's by other means (kubernetes/readiness/).
// Invariant: a pod is ready when all of its containers are; what only the kubelet can ask (a command in the container) is said in a warning.
import { type Container, isNativeSidecar, type PodSpec, type Probe } from './pod.js'

export interface AppProbe {
  readonly container: string
  readonly port: number
  /** Of an HTTP GET; null: that the port takes connections is enough. */
  readonly http: HttpProbe | null
  readonly periodS: number
  readonly timeoutS: number
  /** In a row, before a change counts. */
  readonly failures: number
  readonly successes: number
}

export interface HttpProbe {
  readonly path: string
  readonly tls: boolean
  readonly headers: readonly (readonly [name: string, value: string])[]
}

export interface AppProbes {
  readonly probes: readonly AppProbe[]
  readonly warnings: readonly string[]
}

export function appProbesOf({ containers, initContainers = [] }: PodSpec): AppProbes {
  const probes: AppProbe[] = []
  const warnings: string[] = []
  for (const container of [...containers, ...initContainers.filter(isNativeSidecar)]) {
    const { name, readinessProbe: probe } = container
    if (probe === undefined) continue
    const asked = askedOf(probe, container)
    if (typeof asked === 'string') {
      warnings.push(`the mesh does not see the readiness of container ${name}: ${asked}`)
      continue
    }
    const { periodSeconds = 10, timeoutSeconds = 1, failureThreshold = 3, successThreshold = 1 } = probe
    const limits = { periodS: periodSeconds, timeoutS: timeoutSeconds, failures: failureThreshold, successes: successThreshold }
    probes.push({ container: name, ...asked, ...limits })
  }
  return { probes, warnings }
}

/** A text is why it cannot be asked. */
function askedOf({ httpGet, tcpSocket, grpc }: Probe, container: Container): Pick<AppProbe, 'port' | 'http'> | string {
  const elsewhere = httpGet?.host ?? tcpSocket?.host ?? ''
  if (elsewhere !== '') return `it is asked of another host, ${elsewhere}`
  const given = httpGet?.port ?? tcpSocket?.port ?? grpc?.port
  if (given === undefined) return 'its probe is a command that only the kubelet can run'
  const port = portOf(given, container)
  if (port === undefined) return `it has no port named "${given}"`
  if (httpGet === undefined) return { port, http: null }
  const headers = (httpGet.httpHeaders ?? []).map(({ name, value }) => [name, value] as const)
  return { port, http: { path: httpGet.path ?? '/', tls: httpGet.scheme === 'HTTPS', headers } }
}

/** By number, or by the name of a port of the container. */
export function portOf(port: number | string, { ports = [] }: Container): number | undefined {
  return typeof port === 'number' ? port : ports.find(({ name }) => name === port)?.containerPort
}

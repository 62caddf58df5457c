// The probes of a transparent pod, whose ports lead to the sidecar. The kubelet has no certificate of the mesh: its HTTP and gRPC probes are moved to
// ports where the sidecar serves just what they ask, in the clear; what cannot be moved is said in a warning. Pure; called by inject-pod.ts.
// Invariant: what the kubelet does not ask of the pod's own address stays as it is.
import { portOf } from './app-probes.js'
import type { PatchOperation } from './patch-operations.js'
import { type Container, isNativeSidecar, type PodSpec, type Probe } from './pod.js'
import { type ExposedPath, LOWEST_PROBE_PORT } from './pod-service.js'

export interface MovedProbes {
  readonly patch: readonly PatchOperation[]
  readonly paths: readonly ExposedPath[]
  readonly warnings: readonly string[]
}

const PROBES = ['livenessProbe', 'readinessProbe', 'startupProbe'] as const
/** consul-k8s': liveness from 20300 on, readiness from 20400, startup from 20500. */
const PORTS_A_KIND = 100
const GRPC_HEALTH = '/grpc.health.v1.Health/Check'

/** `initBefore`: init containers that the patch puts before the pod's own. `excluded`: ports that do not lead to the sidecar. */
export function moveProbes({ containers, initContainers = [] }: PodSpec, initBefore: number, excluded: ReadonlySet<number>): MovedProbes {
  const places = [
    ...containers.map((container, i) => ({ container, place: `/spec/containers/${i}` })),
    ...initContainers
      .map((container, i) => ({ container, place: `/spec/initContainers/${initBefore + i}` }))
      .filter(({ container }) => isNativeSidecar(container)),
  ]
  const patch: PatchOperation[] = []
  const paths: ExposedPath[] = []
  const warnings: string[] = []
  for (const [i, { container, place }] of places.entries())
    for (const [k, kind] of PROBES.entries()) {
      const asked = askedOf(container[kind], container)
      if (asked === undefined || excluded.has(asked.localPort)) continue
      if ('problem' in asked) {
        warnings.push(`the ${kind} of container ${container.name} ${asked.problem}`)
        continue
      }
      const { field, ...exposed } = asked
      const listenerPort = LOWEST_PROBE_PORT + k * PORTS_A_KIND + i
      paths.push({ listenerPort, ...exposed })
      patch.push({ op: 'replace', path: `${place}/${kind}/${field}/port`, value: listenerPort })
    }
  return { patch, paths, warnings }
}

type Asked =
  | (Omit<ExposedPath, 'listenerPort'> & { readonly field: 'httpGet' | 'grpc' })
  | { readonly localPort: number; readonly problem: string }

/** Undefined: nothing that meets the sidecar. */
function askedOf({ httpGet, tcpSocket, grpc }: Probe = {}, container: Container): Asked | undefined {
  if (grpc !== undefined) return { field: 'grpc', localPort: grpc.port, path: GRPC_HEALTH, protocol: 'http2' }
  const { port, host = '' } = httpGet ?? tcpSocket ?? {}
  const localPort = port === undefined || host !== '' ? undefined : portOf(port, container)
  if (localPort === undefined) return undefined
  if (httpGet === undefined) return { localPort, problem: 'is a connection that the sidecar takes, whether the application does or not' }
  // The application answers for itself, and nobody in between can read the path.
  if (httpGet.scheme === 'HTTPS')
    return { localPort, problem: `fails over HTTPS at the sidecar: transparent-proxy-exclude-inbound-ports may name its port ${localPort}` }
  const [path = ''] = (httpGet.path ?? '').split('?')
  return { field: 'httpGet', localPort, path: path.startsWith('/') ? path : `/${path}` }
}

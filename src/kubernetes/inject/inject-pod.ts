// Whether a pod gets a sidecar, and the JSON patch that gives it one. Pure; called by webhook/admission-review.ts for each pod that is created.
// Invariant: a pod that has been injected is left as it is; one that asks for what cannot be is denied with every reason at once.

import { type NamespaceRules, namespaceExcludes } from '../namespace-rules.js'
import { booleanOf, PREFIX } from './annotation-reader.js'
import { appProbesOf, portOf } from './app-probes.js'
import type { Pod, PodSpec, VolumeMount } from './pod.js'
import { type InjectionDefaults, METRICS_PATH, type NamedPort, readAnnotations, STATUS, type TransparentRules } from './pod-annotations.js'
import { type ExposedPath, LOWEST_PROBE_PORT } from './pod-service.js'
import {
  DATA_VOLUME,
  dataVolumes,
  REDIRECT_NAME,
  redirectContainer,
  SIDECAR_NAME,
  SIDECAR_UID,
  type SidecarSettings,
  sidecarContainers,
} from './sidecar-container.js'

export interface InjectionPolicy extends InjectionDefaults, NamespaceRules {
  /** Whether pods that say nothing are injected. */
  readonly byDefault: boolean
  readonly sidecar: SidecarSettings
  /** What is wrong with arguments of the proxy. */
  readonly checkProxyArgs: (args: readonly string[]) => readonly string[]
}

export interface PatchOperation {
  readonly op: 'add' | 'replace'
  readonly path: string
  readonly value: unknown
}

export type Review =
  | { readonly verdict: 'untouched'; readonly warnings: readonly string[] }
  | { readonly verdict: 'injected'; readonly patch: readonly PatchOperation[]; readonly warnings: readonly string[] }
  | { readonly verdict: 'denied'; readonly reason: string; readonly warnings: readonly string[] }

export function reviewPod(pod: Pod, namespace: string, policy: InjectionPolicy): Review {
  const annotations = pod.metadata?.annotations ?? {}
  if (annotations[STATUS] !== undefined) return { verdict: 'untouched', warnings: [] }
  const asked = annotations[`${PREFIX}connect-inject`]?.trim()
  const wanted = asked === undefined ? policy.byDefault : booleanOf(asked)
  if (wanted === undefined) return denied([`${PREFIX}connect-inject "${asked}": must be true or false`], [])
  if (!wanted) return { verdict: 'untouched', warnings: [] }
  const excluded = namespaceExcludes(namespace, policy)
  const withoutSidecar = (why: string): Review => ({
    verdict: 'untouched',
    warnings: asked === undefined ? [] : [`${PREFIX}connect-inject has no effect: ${why}`],
  })
  if (excluded !== undefined) return withoutSidecar(excluded)
  if (pod.spec.hostNetwork === true) {
    const why = 'the pod is in the network of its host, where a sidecar would take the ports of the host'
    return asked === undefined ? withoutSidecar(why) : denied([`${PREFIX}connect-inject: ${why}`], [])
  }
  return inject(pod, policy)
}

function denied(problems: readonly string[], warnings: readonly string[]): Review {
  return { verdict: 'denied', reason: `no sidecar is injected: ${problems.join('; ')}`, warnings }
}

function inject(pod: Pod, policy: InjectionPolicy): Review {
  const { injection, problems: malformed, warnings: unread } = readAnnotations(pod, policy)
  const { spec } = pod
  const probes = injection.transparent?.overwriteProbes === true ? overwriteProbes(spec) : { patch: [], paths: [] }
  const problems = [
    ...malformed,
    ...policy.checkProxyArgs(injection.extraArgs).map(reason => `${PREFIX}envoy-extra-args: ${reason}`),
    ...collisions(spec, injection.transparent),
  ]
  const { probes: appProbes, warnings: unseen } = appProbesOf(spec)
  const warnings = [...unread, ...unseen, ...loginWarnings(pod, injection.services, policy.sidecar)]
  if (problems.length > 0) return denied(problems, warnings)
  const redirect = injection.transparent === null ? [] : [redirectContainer(injection, probes.paths, policy.sidecar)]
  const metrics: Record<string, string> =
    injection.metricsPort === null
      ? {}
      : { 'prometheus.io/scrape': 'true', 'prometheus.io/path': METRICS_PATH, 'prometheus.io/port': String(injection.metricsPort) }
  const patch = [
    ...prepend('/spec/initContainers', spec.initContainers, [
      ...redirect,
      ...sidecarContainers(injection, { exposedPaths: probes.paths, appProbes }, policy.sidecar),
    ]),
    ...append('/spec/volumes', spec.volumes, [...dataVolumes(policy.sidecar), ...injection.userVolumes]),
    ...spec.containers.flatMap((container, i) =>
      injection.mountInto.includes(container.name)
        ? append<VolumeMount>(`/spec/containers/${i}/volumeMounts`, container.volumeMounts, [DATA_VOLUME])
        : [],
    ),
    ...probes.patch,
    ...merge('/metadata/annotations', pod.metadata?.annotations, { ...metrics, [STATUS]: 'injected' }),
    ...merge('/metadata/labels', pod.metadata?.labels, { [STATUS]: 'injected' }),
  ]
  return { verdict: 'injected', patch, warnings }
}

function collisions(
  { containers, initContainers = [], volumes = [], securityContext }: PodSpec,
  transparent: TransparentRules | null,
): string[] {
  const names = new Set([SIDECAR_NAME, REDIRECT_NAME])
  const taken = [...containers, ...initContainers]
    .filter(({ name }) => names.has(name) || /^outrigger-sidecar-\d+$/.test(name))
    .map(({ name }) => `a container is named ${name} already`)
  const volume = volumes.some(({ name }) => name === DATA_VOLUME.name) ? [`a volume is named ${DATA_VOLUME.name} already`] : []
  const likeSidecar =
    transparent === null
      ? []
      : [...containers, ...initContainers].filter(
          container => (container.securityContext?.runAsUser ?? securityContext?.runAsUser) === SIDECAR_UID,
        )
  const users = likeSidecar.map(({ name }) => `container ${name} runs as user ${SIDECAR_UID}, by which the traffic of the sidecar is known`)
  return [...taken, ...volume, ...users]
}

/** The identity that the login gives is named after the service account. */
function loginWarnings({ spec }: Pod, services: readonly NamedPort[], { authMethod }: SidecarSettings): string[] {
  const account = spec.serviceAccountName ?? 'default'
  if (authMethod === '') return []
  return services
    .filter(({ name }) => name !== account)
    .map(({ name }) => `the service account "${account}" is not named as the service "${name}": its login may give no right to register it`)
}

const PROBES = ['livenessProbe', 'readinessProbe', 'startupProbe'] as const
/** consul-k8s': liveness from 20300 on, readiness from 20400, startup from 20500. */
const PORTS_A_KIND = 100

/** The kubelet has no certificate: its HTTP probes go to ports where the sidecar serves their paths in the clear. */
function overwriteProbes({ containers }: PodSpec): { readonly patch: PatchOperation[]; readonly paths: ExposedPath[] } {
  const patch: PatchOperation[] = []
  const paths: ExposedPath[] = []
  containers.forEach((container, i) => {
    PROBES.forEach((kind, k) => {
      const get = container[kind]?.httpGet
      // With TLS the application answers for itself, and nobody in between can read the path.
      if (get === undefined || get.scheme === 'HTTPS') return
      const localPort = portOf(get.port, container)
      if (localPort === undefined) return
      const listenerPort = LOWEST_PROBE_PORT + k * PORTS_A_KIND + i
      paths.push({ listenerPort, localPort, path: (get.path ?? '/').split('?')[0] || '/' })
      patch.push({ op: 'replace', path: `/spec/containers/${i}/${kind}/httpGet/port`, value: listenerPort })
    })
  })
  return { patch, paths }
}

function append<T>(path: string, present: readonly T[] | undefined, items: readonly T[]): PatchOperation[] {
  if (present === undefined) return [{ op: 'add', path, value: items }]
  return items.map(value => ({ op: 'add', path: `${path}/-`, value }))
}

function prepend<T>(path: string, present: readonly T[] | undefined, items: readonly T[]): PatchOperation[] {
  if (present === undefined) return [{ op: 'add', path, value: items }]
  return items.map((value, i) => ({ op: 'add', path: `${path}/${i}`, value }))
}

function merge(
  path: string,
  present: Readonly<Record<string, string>> | undefined,
  pairs: Readonly<Record<string, string>>,
): PatchOperation[] {
  if (present === undefined) return [{ op: 'add', path, value: pairs }]
  return Object.entries(pairs).map(([key, value]) => ({ op: 'add', path: `${path}/${escaped(key)}`, value }))
}

/** RFC 6901. */
function escaped(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1')
}

// Whether a pod gets a sidecar, and the JSON patch that gives it one. Pure; called by webhook/admission-review.ts for each pod that is created.
// Invariant: a pod that has been injected is left as it is; one that asks for what cannot be is denied with every reason at once.

import { type NamespaceRules, namespaceExcludes } from '../namespace-rules.js'
import { booleanOf, PREFIX } from './annotation-reader.js'
import { appProbesOf } from './app-probes.js'
import { append, merge, type PatchOperation, prepend } from './patch-operations.js'
import { isNativeSidecar, type Pod, type PodSpec, type VolumeMount } from './pod.js'
import {
  type Injection,
  type InjectionDefaults,
  METRICS_PATH,
  type NamedPort,
  readAnnotations,
  STATUS,
  type TransparentRules,
} from './pod-annotations.js'
import { type ExposedPath, OUTBOUND_PORT, portsOf } from './pod-service.js'
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
import { type MovedProbes, moveProbes } from './transparent-probes.js'

export interface InjectionPolicy extends InjectionDefaults, NamespaceRules {
  /** Whether pods that say nothing are injected. */
  readonly byDefault: boolean
  readonly sidecar: SidecarSettings
  /** What is wrong with arguments of the proxy. */
  readonly checkProxyArgs: (args: readonly string[]) => readonly string[]
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
  const why = unfitFor(pod.spec)
  if (why !== undefined) {
    return asked === undefined ? withoutSidecar(why) : denied([`${PREFIX}connect-inject: ${why}`], [])
  }
  return inject(pod, policy)
}

function unfitFor({ hostNetwork, os, nodeSelector }: PodSpec): string | undefined {
  if (hostNetwork === true) return 'the pod is in the network of its host, where a sidecar would take the ports of the host'
  const isWindows = os?.name === 'windows' || nodeSelector?.['kubernetes.io/os'] === 'windows'
  return isWindows ? 'the pod is one of Windows, for which there is no sidecar' : undefined
}

function denied(problems: readonly string[], warnings: readonly string[]): Review {
  return { verdict: 'denied', reason: `no sidecar is injected: ${problems.join('; ')}`, warnings }
}

function inject(pod: Pod, policy: InjectionPolicy): Review {
  const { injection, problems: malformed, warnings: unread } = readAnnotations(pod, policy)
  const { spec } = pod
  const { transparent, services } = injection
  const injectedInits = services.length + (transparent === null ? 0 : 1)
  const probes: MovedProbes =
    transparent?.overwriteProbes === true
      ? moveProbes(spec, injectedInits, new Set(transparent.excludeInboundPorts.map(Number)))
      : { patch: [], paths: [], warnings: [] }
  const problems = [
    ...malformed,
    ...policy.checkProxyArgs(injection.extraArgs).map(reason => `${PREFIX}envoy-extra-args: ${reason}`),
    ...collisions(spec, transparent),
    ...portCollisions(spec, injection, probes.paths),
  ]
  const { probes: appProbes, warnings: unseen } = appProbesOf(spec)
  const warnings = [...unread, ...unseen, ...probes.warnings, ...loginWarnings(pod, services, policy.sidecar)]
  if (problems.length > 0) return denied(problems, warnings)
  const redirect = transparent === null ? [] : [redirectContainer(injection, probes.paths, policy.sidecar)]
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

/** Ports of the pod's own containers and upstreams that its sidecars take. */
function portCollisions({ containers, initContainers = [] }: PodSpec, injection: Injection, probePaths: readonly ExposedPath[]): string[] {
  const { services, transparent, metricsPort, upstreams } = injection
  const taken = new Set([
    ...services.flatMap((_, i) => [...Object.values(portsOf(i)), ...(metricsPort === null ? [] : [metricsPort + i])]),
    ...(transparent === null ? [] : [OUTBOUND_PORT]),
    ...probePaths.map(({ listenerPort }) => listenerPort),
  ])
  const own = [...containers, ...initContainers.filter(isNativeSidecar)].flatMap(({ name, ports = [] }) =>
    ports
      .filter(({ containerPort, protocol = 'TCP' }) => protocol === 'TCP' && taken.has(containerPort))
      .map(({ containerPort }) => `container ${name} has the port ${containerPort}, which a sidecar takes`),
  )
  const called = upstreams
    .filter(({ localPort }) => taken.has(localPort))
    .map(({ name, localPort }) => `upstream ${name} has the port ${localPort}, which a sidecar takes`)
  return [...own, ...called]
}

/** The identity that the login gives is named after the service account. */
function loginWarnings({ spec }: Pod, services: readonly NamedPort[], { authMethod }: SidecarSettings): string[] {
  const account = spec.serviceAccountName ?? 'default'
  if (authMethod === '') return []
  return services
    .filter(({ name }) => name !== account)
    .map(({ name }) => `the service account "${account}" is not named as the service "${name}": its login may give no right to register it`)
}

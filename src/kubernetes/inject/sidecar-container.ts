// The containers that are injected: the sidecar, as a native one (an init container that restarts, so that it is up before the application
// and ends after it), and before it, where the pod is transparent, the one that redirects the traffic. Called by inject-pod.ts.
// Invariant: the sidecar has no rights beyond its own: no root, no capability, nothing writable but its folder in memory.

import type { AppProbe } from './app-probes.js'
import type { Container, EnvVar, Probe, SecurityContext, Volume, VolumeMount } from './pod.js'
import type { Injection } from './pod-annotations.js'
import {
  type ExposedPath,
  FIRST_PORTS,
  OUTBOUND_PORT,
  POD_FOLDER_VARIABLE,
  POD_SERVICE_VARIABLE,
  type PodService,
  portsOf,
} from './pod-service.js'

export const SIDECAR_NAME = 'outrigger-sidecar'
export const REDIRECT_NAME = 'outrigger-redirect'
/** consul-k8s' user of the proxy. */
export const SIDECAR_UID = 5995
/** consul-k8s' folder and volume. */
export const DATA_VOLUME: VolumeMount = { name: 'consul-connect-inject-data', mountPath: '/consul/connect-inject' }
export const TOKEN_VOLUME: VolumeMount = { name: 'outrigger-login-token', mountPath: '/var/run/secrets/outrigger', readOnly: true }

export interface SidecarSettings {
  readonly image: string
  /** Of the control plane, as CONSUL_HTTP_ADDR and CONSUL_GRPC_ADDR. */
  readonly httpAddress: string
  readonly grpcAddress: string
  /** PEM that verifies both; '' = the system's. */
  readonly caPem: string
  /** Auth method by which sidecars log in with the token of their service account; '' = no login. */
  readonly authMethod: string
  readonly logLevel: string
}

export function dataVolumes({ authMethod }: SidecarSettings): Volume[] {
  const data: Volume = { name: DATA_VOLUME.name, emptyDir: { medium: 'Memory' } }
  if (authMethod === '') return [data]
  const token = { serviceAccountToken: { path: 'token', expirationSeconds: 3600 } }
  return [data, { name: TOKEN_VOLUME.name, projected: { sources: [token] } }]
}

/** What the pod's own containers say: paths of their probes that the sidecar serves in the clear, and whether they are ready. */
export interface PodProbes {
  readonly exposedPaths: readonly ExposedPath[]
  readonly appProbes: readonly AppProbe[]
}

/** One for each service of the pod. */
export function sidecarContainers(injection: Injection, probes: PodProbes, settings: SidecarSettings): Container[] {
  return injection.services.map((_, index) => sidecarContainer(injection, index, probes, settings))
}

/** The first has the plain name; a service may be named as no container may. */
function sidecarName(index: number): string {
  return index === 0 ? SIDECAR_NAME : `${SIDECAR_NAME}-${index + 1}`
}

/** Names of ports are at most 15 characters, and unique in a pod. */
function portName(name: string, index: number): string {
  return index === 0 ? name : `${name}-${index + 1}`
}

function sidecarContainer(injection: Injection, index: number, probes: PodProbes, settings: SidecarSettings): Container {
  const { extraArgs, concurrency, shutdownGraceS, startupFailureS, livenessFailureS } = injection
  const service = podService(injection, index, probes)
  const ports = portsOf(index)
  const admin = `127.0.0.1:${ports.admin}`
  const livenessS = Number(livenessFailureS || LIVENESS_FAILURE_S)
  const proxyArgs = [
    ...(concurrency === '' ? [] : ['--concurrency', concurrency]),
    ...(shutdownGraceS === '' ? [] : ['--shutdown-grace-s', shutdownGraceS]),
    ...(settings.logLevel === '' || extraArgs.some(arg => /^(-l|--log-level)/.test(arg)) ? [] : ['--log-level', settings.logLevel]),
    ...extraArgs,
  ]
  return {
    name: sidecarName(index),
    image: settings.image,
    restartPolicy: 'Always',
    command: ['outrigger'],
    workingDir: '/',
    args: [
      'k8s',
      'sidecar',
      '-admin-bind',
      admin,
      ...(settings.authMethod === '' ? [] : ['-auth-method', settings.authMethod]),
      ...(proxyArgs.length === 0 ? [] : ['--', ...proxyArgs]),
    ],
    env: environment(service, settings),
    ports: [
      { name: portName('proxy', index), containerPort: ports.proxy },
      { name: portName('proxy-ready', index), containerPort: ports.ready },
      ...(service.metricsPort === null ? [] : [{ name: portName('proxy-metric', index), containerPort: service.metricsPort }]),
    ],
    startupProbe: asked('/startup', ports.ready, {
      periodSeconds: 1,
      failureThreshold: Number(startupFailureS || STARTUP_FAILURE_S) || NO_LIMIT,
    }),
    readinessProbe: asked('/ready', ports.ready, { periodSeconds: 5, failureThreshold: 2 }),
    // One that drains is alive.
    ...(livenessS === 0
      ? {}
      : {
          livenessProbe: asked('/live', ports.ready, {
            periodSeconds: LIVENESS_PERIOD_S,
            failureThreshold: Math.ceil(livenessS / LIVENESS_PERIOD_S),
          }),
        }),
    lifecycle: { preStop: { exec: { command: ['outrigger', 'k8s', 'leave', '-admin', admin] } } },
    resources: injection.resources,
    securityContext: SIDECAR_SECURITY,
    volumeMounts: [DATA_VOLUME, ...(settings.authMethod === '' ? [] : [TOKEN_VOLUME]), ...injection.userVolumeMounts],
  }
}

const SIDECAR_SECURITY: SecurityContext = {
  runAsUser: SIDECAR_UID,
  runAsGroup: SIDECAR_UID,
  runAsNonRoot: true,
  readOnlyRootFilesystem: true,
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
}

const STARTUP_FAILURE_S = 120
/** Of a threshold: a day and more, where 0 seconds are asked for. The containers after it wait all the same. */
const NO_LIMIT = 2 ** 31 - 1
const LIVENESS_FAILURE_S = 60
const LIVENESS_PERIOD_S = 10

function asked(path: string, port: number, limits: Pick<Probe, 'periodSeconds' | 'failureThreshold'>): Probe {
  return { httpGet: { path, port }, timeoutSeconds: 5, ...limits }
}

function podService(injection: Injection, index: number, { exposedPaths, appProbes }: PodProbes): PodService {
  const { services, protocol, tags, meta, upstreams, transparent, metricsPort, proxyConfig } = injection
  return {
    ...services[index]!,
    index,
    protocol,
    tags,
    meta,
    upstreams: index === 0 ? upstreams : [],
    transparent: transparent !== null,
    exposedPaths,
    appProbes,
    metricsPort: metricsPort === null ? null : metricsPort + index,
    proxyConfig,
  }
}

function environment(service: PodService, settings: SidecarSettings): EnvVar[] {
  const field = (variable: string, fieldPath: string): EnvVar => ({ name: variable, valueFrom: { fieldRef: { fieldPath } } })
  return [
    field('NODE_NAME', 'spec.nodeName'),
    field('HOST_IP', 'status.hostIP'),
    field('POD_NAME', 'metadata.name'),
    field('POD_NAMESPACE', 'metadata.namespace'),
    field('POD_IP', 'status.podIP'),
    // Where a value may name other variables: it is meant as it stands.
    { name: POD_SERVICE_VARIABLE, value: JSON.stringify(service).replaceAll('$(', '$$$$(') },
    // The only folder that it may write.
    { name: POD_FOLDER_VARIABLE, value: DATA_VOLUME.mountPath },
    { name: 'TMPDIR', value: DATA_VOLUME.mountPath },
    { name: 'CONSUL_HTTP_ADDR', value: settings.httpAddress },
    { name: 'CONSUL_GRPC_ADDR', value: settings.grpcAddress },
    ...(settings.caPem === '' ? [] : caVariables(settings.caPem)),
  ]
}

/** `outrigger k8s sidecar` writes the first one into the file that the other two name. */
function caVariables(pem: string): EnvVar[] {
  const file = `${DATA_VOLUME.mountPath}/ca.pem`
  return [
    { name: 'CONSUL_CACERT_PEM', value: pem },
    { name: 'CONSUL_CACERT', value: file },
    { name: 'CONSUL_GRPC_CACERT', value: file },
  ]
}

/** Runs to its end before the sidecar starts; needs the network's capabilities, and nothing of the control plane. */
export function redirectContainer(injection: Injection, exposedPaths: readonly ExposedPath[], settings: SidecarSettings): Container {
  const rules = injection.transparent!
  const each = (flag: string, values: readonly (string | number)[]): string[] => values.flatMap(value => [flag, String(value)])
  const inClear = [
    FIRST_PORTS.ready,
    ...(injection.metricsPort === null ? [] : [injection.metricsPort]),
    ...exposedPaths.map(path => path.listenerPort),
  ]
  return {
    name: REDIRECT_NAME,
    image: settings.image,
    command: ['outrigger'],
    workingDir: '/',
    args: [
      'connect',
      'redirect-traffic',
      ...each('-proxy-uid', [SIDECAR_UID]),
      ...each('-proxy-inbound-port', [FIRST_PORTS.proxy]),
      ...each('-proxy-outbound-port', [OUTBOUND_PORT]),
      ...each('-exclude-inbound-port', [...inClear, ...rules.excludeInboundPorts]),
      ...each('-exclude-outbound-port', rules.excludeOutboundPorts),
      ...each('-exclude-outbound-cidr', rules.excludeOutboundCidrs),
      ...each('-exclude-uid', rules.excludeUids),
    ],
    resources: injection.resources,
    securityContext: {
      runAsUser: 0,
      runAsGroup: 0,
      runAsNonRoot: false,
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      capabilities: { add: ['NET_ADMIN', 'NET_RAW'], drop: ['ALL'] },
    },
  }
}

// The containers that are injected: the sidecar, as a native one (an init container that restarts, so that it is up before the application
// and ends after it), and before it, where the pod is transparent, the one that redirects the traffic. Called by inject-pod.ts.
// Invariant: the sidecar has no rights beyond its own: no root, no capability, nothing writable but its folder in memory.

import type { Container, EnvVar, Probe, SecurityContext, Volume, VolumeMount } from './pod.js'
import type { Injection } from './pod-annotations.js'
import {
  ADMIN_PORT,
  type ExposedPath,
  OUTBOUND_PORT,
  POD_SERVICE_VARIABLE,
  type PodService,
  PROXY_PORT,
  READY_PORT,
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

export function sidecarContainer(injection: Injection, exposedPaths: readonly ExposedPath[], settings: SidecarSettings): Container {
  const { extraArgs, concurrency, shutdownGraceS, metricsPort } = injection
  const proxyArgs = [
    ...(concurrency === '' ? [] : ['--concurrency', concurrency]),
    ...(shutdownGraceS === '' ? [] : ['--shutdown-grace-s', shutdownGraceS]),
    ...(settings.logLevel === '' || extraArgs.some(arg => /^(-l|--log-level)/.test(arg)) ? [] : ['--log-level', settings.logLevel]),
    ...extraArgs,
  ]
  return {
    name: SIDECAR_NAME,
    image: settings.image,
    restartPolicy: 'Always',
    command: ['outrigger'],
    args: [
      'k8s',
      'sidecar',
      '-admin-bind',
      `127.0.0.1:${ADMIN_PORT}`,
      ...(settings.authMethod === '' ? [] : ['-auth-method', settings.authMethod]),
      ...(proxyArgs.length === 0 ? [] : ['--', ...proxyArgs]),
    ],
    env: environment(injection, exposedPaths, settings),
    ports: [
      { name: 'proxy', containerPort: PROXY_PORT },
      { name: 'proxy-ready', containerPort: READY_PORT },
      ...(metricsPort === null ? [] : [{ name: 'proxy-metrics', containerPort: metricsPort }]),
    ],
    startupProbe: ready({ periodSeconds: 1, failureThreshold: 120 }),
    readinessProbe: ready({ periodSeconds: 5, failureThreshold: 2 }),
    livenessProbe: ready({ periodSeconds: 10, failureThreshold: 6 }),
    lifecycle: { preStop: { exec: { command: ['outrigger', 'k8s', 'leave', '-admin', `127.0.0.1:${ADMIN_PORT}`] } } },
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

function ready(limits: Omit<Probe, 'httpGet'>): Probe {
  return { httpGet: { path: '/ready', port: READY_PORT }, timeoutSeconds: 5, ...limits }
}

function environment(injection: Injection, exposedPaths: readonly ExposedPath[], settings: SidecarSettings): EnvVar[] {
  const { service: name, port, protocol, tags, meta, upstreams, transparent, metricsPort } = injection
  const service: PodService = {
    name,
    port,
    protocol,
    tags,
    meta,
    upstreams,
    transparent: transparent !== null,
    exposedPaths,
    metricsPort,
  }
  const field = (variable: string, fieldPath: string): EnvVar => ({ name: variable, valueFrom: { fieldRef: { fieldPath } } })
  return [
    field('NODE_NAME', 'spec.nodeName'),
    field('HOST_IP', 'status.hostIP'),
    field('POD_NAME', 'metadata.name'),
    field('POD_NAMESPACE', 'metadata.namespace'),
    field('POD_IP', 'status.podIP'),
    // Where a value may name other variables: it is meant as it stands.
    { name: POD_SERVICE_VARIABLE, value: JSON.stringify(service).replaceAll('$(', '$$$$(') },
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
    READY_PORT,
    ...(injection.metricsPort === null ? [] : [injection.metricsPort]),
    ...exposedPaths.map(path => path.listenerPort),
  ]
  return {
    name: REDIRECT_NAME,
    image: settings.image,
    command: ['outrigger'],
    args: [
      'connect',
      'redirect-traffic',
      ...each('-proxy-uid', [SIDECAR_UID]),
      ...each('-proxy-inbound-port', [PROXY_PORT]),
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

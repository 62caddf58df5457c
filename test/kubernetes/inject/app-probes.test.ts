// Which of a pod's readiness probes the sidecar can ask, and with what.
import { expect, it } from 'vitest'
import { appProbesOf } from '../../../src/kubernetes/inject/app-probes.js'
import type { Probe } from '../../../src/kubernetes/inject/pod.js'

const probesOf = (readinessProbe?: Probe) =>
  appProbesOf({ containers: [{ name: 'web', ports: [{ name: 'http', containerPort: 8080 }], ...(readinessProbe && { readinessProbe }) }] })
const limits = { periodS: 10, timeoutS: 1, failures: 3, successes: 1 }

it('takes an HTTP probe with path, headers, scheme and limits', () => {
  const httpGet = { port: 'http', path: '/healthz', scheme: 'HTTPS', httpHeaders: [{ name: 'Host', value: 'web' }] }
  expect(probesOf({ httpGet, periodSeconds: 5, timeoutSeconds: 2, failureThreshold: 1, successThreshold: 4 })).toEqual({
    probes: [
      {
        container: 'web',
        port: 8080,
        http: { path: '/healthz', tls: true, headers: [['Host', 'web']] },
        periodS: 5,
        timeoutS: 2,
        failures: 1,
        successes: 4,
      },
    ],
    warnings: [],
  })
})

it.each<[string, Probe]>([
  ['TCP', { tcpSocket: { port: 'http' } }],
  ['gRPC', { grpc: { port: 8080 } }],
])('asks a %s probe by a connection, with Kubernetes’ limits', (_, probe) => {
  expect(probesOf(probe)).toEqual({ probes: [{ container: 'web', port: 8080, http: null, ...limits }], warnings: [] })
})

it.each<[string, Probe, string]>([
  ['a command', { exec: { command: ['true'] } }, 'only the kubelet can run'],
  ['another host', { httpGet: { port: 80, host: 'db' } }, 'another host, db'],
  ['an unknown port', { tcpSocket: { port: 'grpc' } }, 'no port named "grpc"'],
])('says that the mesh does not see %s', (_, probe, why) => {
  expect(probesOf(probe)).toEqual({ probes: [], warnings: [expect.stringContaining(why)] })
})

it('has nothing to ask of a container without a probe', () => {
  expect(probesOf()).toEqual({ probes: [], warnings: [] })
})

it('asks native sidecars of the pod as well, and no other init container', () => {
  const readinessProbe = { tcpSocket: { port: 7000 } }
  const initContainers = [
    { name: 'migrate', readinessProbe },
    { name: 'cache', restartPolicy: 'Always', readinessProbe },
  ]
  expect(appProbesOf({ containers: [{ name: 'web' }], initContainers }).probes).toEqual([
    { container: 'cache', port: 7000, http: null, ...limits },
  ])
})

// AdmissionReviews in the form that a Kubernetes API server sends them, for pods of a Deployment and of a Job.
import type { InjectionPolicy } from '../../src/kubernetes/inject/inject-pod.js'

// biome-ignore lint/suspicious/noExplicitAny: documents are looked into freely.
export type Json = any

export const UID = '705ab4f5-6393-11e8-b7cc-42010a800002'

export interface PodParts {
  readonly annotations?: Readonly<Record<string, string>>
  readonly spec?: Readonly<Record<string, unknown>>
}

const TOKEN_MOUNT = { name: 'kube-api-access-x7q2f', readOnly: true, mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' }

export function deploymentPod({ annotations, spec = {} }: PodParts = {}): Json {
  return {
    kind: 'Pod',
    apiVersion: 'v1',
    metadata: {
      generateName: 'web-5d9c7f8c6b-',
      creationTimestamp: null,
      labels: { app: 'web', 'pod-template-hash': '5d9c7f8c6b' },
      ...(annotations === undefined ? {} : { annotations }),
      ownerReferences: [
        { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-5d9c7f8c6b', uid: '1f0c…', controller: true, blockOwnerDeletion: true },
      ],
    },
    spec: {
      volumes: [
        { name: 'kube-api-access-x7q2f', projected: { sources: [{ serviceAccountToken: { expirationSeconds: 3607, path: 'token' } }] } },
      ],
      containers: [
        {
          name: 'web',
          image: 'registry.example/web:3',
          ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }],
          resources: {},
          volumeMounts: [TOKEN_MOUNT],
          readinessProbe: { httpGet: { path: '/healthz?full=1', port: 'http', scheme: 'HTTP' }, periodSeconds: 10 },
          livenessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 10 },
        },
      ],
      restartPolicy: 'Always',
      terminationGracePeriodSeconds: 30,
      serviceAccountName: 'web',
      securityContext: {},
      ...spec,
    },
    status: {},
  }
}

/** One that only calls others: no port, no volume, no labels beside its job's. */
export function jobPod(annotations: Readonly<Record<string, string>>): Json {
  return {
    kind: 'Pod',
    apiVersion: 'v1',
    metadata: { generateName: 'report-', labels: { 'batch.kubernetes.io/job-name': 'report' }, annotations },
    spec: { containers: [{ name: 'report', image: 'registry.example/report:1', resources: {} }], restartPolicy: 'Never' },
  }
}

export function reviewOf(pod: unknown, over: Readonly<Record<string, unknown>> = {}): Json {
  return {
    kind: 'AdmissionReview',
    apiVersion: 'admission.k8s.io/v1',
    request: {
      uid: UID,
      kind: { group: '', version: 'v1', kind: 'Pod' },
      resource: { group: '', version: 'v1', resource: 'pods' },
      requestKind: { group: '', version: 'v1', kind: 'Pod' },
      requestResource: { group: '', version: 'v1', resource: 'pods' },
      namespace: 'shop',
      operation: 'CREATE',
      userInfo: { username: 'system:serviceaccount:kube-system:replicaset-controller' },
      object: pod,
      oldObject: null,
      dryRun: false,
      options: { kind: 'CreateOptions', apiVersion: 'meta.k8s.io/v1' },
      ...over,
    },
  }
}

export function policyOf(over: Partial<InjectionPolicy> = {}): InjectionPolicy {
  return {
    byDefault: false,
    allowNamespaces: ['*'],
    denyNamespaces: ['kube-system', 'kube-public'],
    transparentProxy: false,
    overwriteProbes: true,
    metrics: false,
    metricsPort: 20_200,
    resources: { limits: { memory: '256Mi' }, requests: { cpu: '50m', memory: '96Mi' } },
    sidecar: {
      image: 'outrigger:1.0',
      httpAddress: 'outrigger.mesh:8500',
      grpcAddress: 'outrigger.mesh:8502',
      caPem: '',
      authMethod: '',
      logLevel: '',
    },
    checkProxyArgs: () => [],
    ...over,
  }
}

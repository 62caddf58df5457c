// What a pod becomes: the patches of the webhook, applied as the API server applies them.
import type { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { normalizeGoFlags } from '../../../src/cli/command-line/go-flags.js'
import { buildProgram } from '../../../src/cli/program.js'
import { parseProxyFlags } from '../../../src/cli/proxy-flags.js'
import { type InjectionPolicy, reviewPod } from '../../../src/kubernetes/inject/inject-pod.js'
import { deploymentPod, type Json, jobPod, policyOf } from '../../support/admission-reviews.js'
import { testIo } from '../../support/command-io.js'
import { applyPatch } from '../../support/json-patch.js'
import { fieldProblems } from '../../support/kube-fields.js'

const A = 'consul.hashicorp.com/'
const asked = (more: Readonly<Record<string, string>> = {}): Record<string, string> => ({
  [`${A}connect-inject`]: 'true',
  ...Object.fromEntries(Object.entries(more).map(([key, value]) => [A + key, value])),
})

function injected(pod: Json, policy: InjectionPolicy = policyOf(), namespace = 'shop'): Json {
  const review = reviewPod(pod, namespace, policy)
  if (review.verdict !== 'injected') throw new Error(`${review.verdict}: ${JSON.stringify(review)}`)
  const patched = applyPatch(pod, review.patch)
  expect(fieldProblems('Pod', patched)).toEqual([])
  return patched
}

function refusal(pod: Json, policy: InjectionPolicy = policyOf()): string {
  const review = reviewPod(pod, 'shop', policy)
  return review.verdict === 'denied' ? review.reason : review.verdict
}

const sidecarOf = (pod: Json): Json => pod.spec.initContainers.find(({ name }: Json) => name === 'outrigger-sidecar')
const variable = (container: Json, name: string): string => container.env.find((each: Json) => each.name === name).value
/** As the kubelet expands it, where no variable is meant. */
const serviceOf = (pod: Json): Json => JSON.parse(variable(sidecarOf(pod), 'OUTRIGGER_POD_SERVICE').replaceAll('$$(', '$('))

describe('a pod of a deployment', () => {
  it('gets a native sidecar with probes, a drain and no rights of its own', () => {
    const pod = injected(deploymentPod({ annotations: asked() }))
    expect(sidecarOf(pod)).toMatchObject({
      image: 'outrigger:1.0',
      restartPolicy: 'Always',
      command: ['outrigger'],
      workingDir: '/',
      args: ['k8s', 'sidecar', '-admin-bind', '127.0.0.1:19000'],
      startupProbe: { httpGet: { path: '/startup', port: 20100 }, periodSeconds: 1, failureThreshold: 120 },
      readinessProbe: { httpGet: { path: '/ready', port: 20100 } },
      livenessProbe: { httpGet: { path: '/live', port: 20100 }, periodSeconds: 10, failureThreshold: 6 },
      lifecycle: { preStop: { exec: { command: ['outrigger', 'k8s', 'leave', '-admin', '127.0.0.1:19000'] } } },
      resources: { limits: { memory: '256Mi' }, requests: { cpu: '50m', memory: '96Mi' } },
      securityContext: {
        runAsNonRoot: true,
        readOnlyRootFilesystem: true,
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
      },
    })
    expect(sidecarOf(pod).env.map(({ name }: Json) => name)).toEqual(
      expect.arrayContaining(['NODE_NAME', 'POD_NAME', 'POD_IP', 'POD_NAMESPACE', 'CONSUL_HTTP_ADDR', 'CONSUL_GRPC_ADDR']),
    )
    expect(serviceOf(pod)).toMatchObject({ name: 'web', port: 8080, upstreams: [], transparent: false })
    expect(pod.spec.volumes.map(({ name }: Json) => name)).toEqual(['kube-api-access-x7q2f', 'consul-connect-inject-data'])
    expect(pod.spec.containers).toEqual(deploymentPod().spec.containers)
    expect(pod.metadata.annotations[`${A}connect-inject-status`]).toBe('injected')
    expect(pod.metadata.labels).toEqual({ app: 'web', 'pod-template-hash': '5d9c7f8c6b', [`${A}connect-inject-status`]: 'injected' })
  })

  it('is left alone the second time', () => {
    const pod = injected(deploymentPod({ annotations: asked() }))
    expect(reviewPod(pod, 'shop', policyOf({ byDefault: true }))).toEqual({ verdict: 'untouched', warnings: [] })
  })

  it('registers what its annotations say', () => {
    const pod = injected(
      deploymentPod({
        annotations: asked({
          'connect-service': 'shop-web',
          'connect-service-port': 'http',
          'connect-service-protocol': 'http',
          'service-tags': 'v1,with\\,comma',
          'service-meta-team': 'a $(NOT) b',
          'connect-service-upstreams':
            'api:1234, cart:1235:dc2, self:http,stock.svc:1236,mail.svc.east.peer:1237,log.svc.dc3.dc:1238,pay.svc.default.ns.default.ap:1239,prepared_query:near:1240',
        }),
      }),
    )
    const place = { datacenter: '', peer: '' }
    expect(serviceOf(pod)).toEqual({
      name: 'shop-web',
      index: 0,
      port: 8080,
      protocol: 'http',
      tags: ['v1', 'with,comma'],
      meta: { team: 'a $(NOT) b' },
      transparent: false,
      exposedPaths: [],
      appProbes: [expect.objectContaining({ container: 'web', port: 8080 })],
      metricsPort: null,
      proxyConfig: {},
      upstreams: [
        { type: 'service', name: 'api', localPort: 1234, ...place },
        { type: 'service', name: 'cart', localPort: 1235, ...place, datacenter: 'dc2' },
        { type: 'service', name: 'self', localPort: 8080, ...place },
        { type: 'service', name: 'stock', localPort: 1236, ...place },
        { type: 'service', name: 'mail', localPort: 1237, ...place, peer: 'east' },
        { type: 'service', name: 'log', localPort: 1238, ...place, datacenter: 'dc3' },
        { type: 'service', name: 'pay', localPort: 1239, ...place },
        { type: 'prepared_query', name: 'near', localPort: 1240, ...place },
      ],
    })
    expect(variable(sidecarOf(pod), 'OUTRIGGER_POD_SERVICE')).toContain('a $$(NOT) b')
  })

  it('takes limits of the probes and the proxy’s own configuration from its annotations', () => {
    const pod = injected(
      deploymentPod({
        annotations: asked({
          'sidecar-proxy-startup-failure-seconds': '30',
          'sidecar-proxy-liveness-failure-seconds': '25',
          'proxy-config-map': '{"local_connect_timeout_ms":1000,"protocol":"grpc"}',
        }),
      }),
    )
    expect(sidecarOf(pod)).toMatchObject({ startupProbe: { failureThreshold: 30 }, livenessProbe: { failureThreshold: 3 } })
    expect(serviceOf(pod).proxyConfig).toEqual({ local_connect_timeout_ms: 1000, protocol: 'grpc' })
  })

  it('is never restarted by a probe where its annotations say 0', () => {
    const none = { 'sidecar-proxy-startup-failure-seconds': '0', 'sidecar-proxy-liveness-failure-seconds': '0' }
    const sidecar = sidecarOf(injected(deploymentPod({ annotations: asked(none) })))
    expect(sidecar.startupProbe).toMatchObject({ periodSeconds: 1, failureThreshold: 2_147_483_647 })
    expect(sidecar).not.toHaveProperty('livenessProbe')
  })

  it('serves metrics where they are asked for, and says so to Prometheus', () => {
    const pod = injected(deploymentPod({ annotations: asked({ 'enable-metrics': 'true', 'prometheus-scrape-port': '9102' }) }))
    expect(serviceOf(pod).metricsPort).toBe(9102)
    expect(pod.metadata.annotations).toMatchObject({
      'prometheus.io/scrape': 'true',
      'prometheus.io/port': '9102',
      'prometheus.io/path': '/metrics',
    })
  })

  it('takes resources, volumes and arguments of the proxy from its annotations', () => {
    const pod = injected(
      deploymentPod({
        annotations: asked({
          'sidecar-proxy-cpu-limit': '500m',
          'sidecar-proxy-memory-request': '64Mi',
          'envoy-extra-args': '--log-level debug',
          'consul-envoy-proxy-concurrency': '2',
          'consul-sidecar-user-volume': '[{"name":"certs","secret":{"secretName":"certs"}}]',
          'consul-sidecar-user-volume-mount': '[{"name":"certs","mountPath":"/certs"}]',
          'connect-inject-mount-volume': 'web',
        }),
      }),
    )
    expect(sidecarOf(pod).resources).toEqual({ limits: { cpu: '500m', memory: '256Mi' }, requests: { cpu: '50m', memory: '64Mi' } })
    expect(sidecarOf(pod).args.slice(4)).toEqual(['--', '--concurrency', '2', '--log-level', 'debug'])
    expect(pod.spec.volumes.at(-1)).toEqual({ name: 'certs', secret: { secretName: 'certs' } })
    expect(sidecarOf(pod).volumeMounts.at(-1)).toEqual({ name: 'certs', mountPath: '/certs' })
    expect(pod.spec.containers[0].volumeMounts.at(-1)).toEqual({ name: 'consul-connect-inject-data', mountPath: '/consul/connect-inject' })
  })

  it('logs in with a token of its own where there is an auth method', () => {
    const { sidecar } = policyOf()
    const policy = policyOf({ sidecar: { ...sidecar, authMethod: 'kubernetes', caPem: 'PEM' } })
    const pod = injected(deploymentPod({ annotations: asked() }), policy)
    expect(sidecarOf(pod).args).toEqual(expect.arrayContaining(['-auth-method', 'kubernetes']))
    expect(pod.spec.volumes.at(-1)).toMatchObject({
      name: 'outrigger-login-token',
      projected: { sources: [{ serviceAccountToken: { path: 'token' } }] },
    })
    expect([variable(sidecarOf(pod), 'CONSUL_CACERT_PEM'), variable(sidecarOf(pod), 'CONSUL_CACERT')]).toEqual([
      'PEM',
      '/consul/connect-inject/ca.pem',
    ])
    const other = reviewPod(deploymentPod({ annotations: asked(), spec: { serviceAccountName: 'other' } }), 'shop', policy)
    expect(other.warnings).toEqual([expect.stringContaining('"other" is not named as the service "web"')])
  })
})

describe('a pod of several services', () => {
  const annotations = asked({
    'connect-service': 'web,admin',
    'connect-service-port': 'http, 9090',
    'connect-service-upstreams': 'api:1234',
    'service-tags': 'v1',
    'enable-metrics': 'true',
  })

  it('has a sidecar for each, with ports of its own', () => {
    const pod = injected(deploymentPod({ annotations }))
    const [first, second, ...more] = pod.spec.initContainers
    expect(more).toEqual([])
    expect([first, second].map(({ name }) => name)).toEqual(['outrigger-sidecar', 'outrigger-sidecar-2'])
    const services = [first, second].map(each => JSON.parse(variable(each, 'OUTRIGGER_POD_SERVICE')))
    expect(services).toMatchObject([
      { name: 'web', index: 0, port: 8080, tags: ['v1'], metricsPort: 20_200, upstreams: [{ name: 'api' }] },
      { name: 'admin', index: 1, port: 9090, tags: ['v1'], metricsPort: 20_201, upstreams: [] },
    ])
    const ports = [first, second].flatMap(each => each.ports)
    for (const part of ['name', 'containerPort']) expect(new Set(ports.map(port => port[part])).size).toBe(ports.length)
    expect(ports.every(({ name }) => name.length <= 15)).toBe(true)
    expect(second).toMatchObject({
      readinessProbe: { httpGet: { path: '/ready', port: 20_101 } },
      lifecycle: { preStop: { exec: { command: ['outrigger', 'k8s', 'leave', '-admin', '127.0.0.1:19001'] } } },
    })
    expect(second.args).toContain('127.0.0.1:19001')
  })

  it.each([
    ['one port for both', { 'connect-service-port': '80' }, '2 services need as many ports'],
    ['one service twice', { 'connect-service': 'web,web' }, 'names a service twice'],
    [
      'seventeen',
      { 'connect-service': [...'abcdefghijklmnopq'].join(), 'connect-service-port': Array(17).fill(1).join() },
      '16 services at most',
    ],
    ['a transparent one', { 'transparent-proxy': 'true' }, 'cannot be transparent'],
  ])('%s is denied', (_, more, reason) => {
    const over = Object.fromEntries(Object.entries(more).map(([name, value]) => [A + name, value]))
    expect(refusal(deploymentPod({ annotations: { ...annotations, ...over } }))).toContain(reason)
  })
})

describe('a transparent pod', () => {
  const rules = asked({
    'transparent-proxy': 'true',
    'transparent-proxy-exclude-inbound-ports': '9000, 9001',
    'transparent-proxy-exclude-outbound-ports': '5432',
    'transparent-proxy-exclude-outbound-cidrs': '10.9.0.0/16',
    'transparent-proxy-exclude-uids': '1337',
  })

  it('has its traffic redirected before anything else runs, by the one container that may', () => {
    const pod = injected(deploymentPod({ annotations: rules, spec: { initContainers: [{ name: 'migrate', image: 'migrate:1' }] } }))
    expect(pod.spec.initContainers.map(({ name }: Json) => name)).toEqual(['outrigger-redirect', 'outrigger-sidecar', 'migrate'])
    expect(pod.spec.initContainers[0]).toMatchObject({
      securityContext: { runAsUser: 0, capabilities: { add: ['NET_ADMIN', 'NET_RAW'], drop: ['ALL'] }, allowPrivilegeEscalation: false },
    })
    expect(pod.spec.initContainers[0].args.join(' ')).toBe(
      'connect redirect-traffic -proxy-uid 5995 -proxy-inbound-port 20000 -proxy-outbound-port 15001 -exclude-inbound-port 20100' +
        ' -exclude-inbound-port 20400 -exclude-inbound-port 9000 -exclude-inbound-port 9001 -exclude-outbound-port 5432' +
        ' -exclude-outbound-cidr 10.9.0.0/16 -exclude-uid 1337',
    )
  })

  it('has the HTTP probes of its application answered in the clear', () => {
    const pod = injected(deploymentPod({ annotations: rules }))
    expect(pod.spec.containers[0].readinessProbe.httpGet).toEqual({ path: '/healthz?full=1', port: 20400, scheme: 'HTTP' })
    expect(pod.spec.containers[0].livenessProbe).toEqual({ tcpSocket: { port: 8080 }, periodSeconds: 10 })
    expect(serviceOf(pod)).toMatchObject({ transparent: true, exposedPaths: [{ listenerPort: 20400, localPort: 8080, path: '/healthz' }] })
  })

  it('has those answered whose path does without a slash, which the kubelet sets before it', () => {
    for (const [path, exposed] of [
      ['healthz?full=1', '/healthz'],
      ['?full=1', '/'],
    ]) {
      const pod = injected(probed({ readinessProbe: { httpGet: { path, port: 8080 } } }))
      expect(serviceOf(pod).exposedPaths).toMatchObject([{ localPort: 8080, path: exposed }])
    }
  })

  it('keeps its probes where it says so', () => {
    const pod = injected(deploymentPod({ annotations: { ...rules, [`${A}transparent-proxy-overwrite-probes`]: 'false' } }))
    expect(pod.spec.containers).toEqual(deploymentPod().spec.containers)
  })

  const probed = (probes: object, more: object = {}): Json => {
    const container = { name: 'web', image: 'web:1', ports: [{ name: 'http', containerPort: 8080 }], ...probes }
    return deploymentPod({ annotations: rules, spec: { containers: [container], ...more } })
  }

  it('has gRPC probes answered in the clear as well', () => {
    const pod = injected(probed({ livenessProbe: { grpc: { port: 8080, service: 'live' }, periodSeconds: 5 } }))
    expect(pod.spec.containers[0].livenessProbe).toEqual({ grpc: { port: 20300, service: 'live' }, periodSeconds: 5 })
    expect(serviceOf(pod).exposedPaths).toEqual([
      { listenerPort: 20300, localPort: 8080, path: '/grpc.health.v1.Health/Check', protocol: 'http2' },
    ])
    expect(pod.spec.initContainers[0].args.join(' ')).toContain('-exclude-inbound-port 20300')
  })

  it('has those of its own native sidecars answered too, at their place behind what is injected', () => {
    const get = (port: number): object => ({ httpGet: { path: '/up', port } })
    const initContainers = [
      { name: 'migrate', image: 'migrate:1' },
      { name: 'cache', image: 'cache:1', restartPolicy: 'Always', startupProbe: get(7000), readinessProbe: get(7000) },
    ]
    const pod = injected(probed({ readinessProbe: get(8080) }, { initContainers }))
    expect(pod.spec.initContainers.map(({ name }: Json) => name)).toEqual(['outrigger-redirect', 'outrigger-sidecar', 'migrate', 'cache'])
    expect(pod.spec.initContainers[3]).toMatchObject({
      startupProbe: { httpGet: { path: '/up', port: 20501 } },
      readinessProbe: { httpGet: { path: '/up', port: 20401 } },
    })
    expect(pod.spec.containers[0].readinessProbe.httpGet.port).toBe(20400)
    expect(serviceOf(pod).exposedPaths).toHaveLength(3)
  })

  it.each([
    ['of another host', { readinessProbe: { httpGet: { host: '10.1.2.3', port: 8080 } } }, []],
    ['of a port that is left alone', { readinessProbe: { httpGet: { port: 9000 } }, livenessProbe: { tcpSocket: { port: 9001 } } }, []],
    ['that are commands', { livenessProbe: { exec: { command: ['true'] } } }, []],
    [
      'of connections, with a warning',
      { livenessProbe: { tcpSocket: { port: 'http' } } },
      ['the livenessProbe of container web is a connection that the sidecar takes, whether the application does or not'],
    ],
    [
      'over HTTPS, with a warning',
      { startupProbe: { httpGet: { port: 8080, scheme: 'HTTPS' } } },
      ['the startupProbe of container web fails over HTTPS at the sidecar: transparent-proxy-exclude-inbound-ports may name its port 8080'],
    ],
  ])('keeps probes %s', (_, probes, warnings) => {
    const pod = probed(probes)
    expect(injected(pod).spec.containers).toEqual(pod.spec.containers)
    const said = reviewPod(pod, 'shop', policyOf()).warnings.filter(text => !text.startsWith('the mesh does not see'))
    expect(said).toEqual(warnings)
  })

  it('may leave addresses of IPv6 alone', () => {
    const annotations = { ...rules, [`${A}transparent-proxy-exclude-outbound-cidrs`]: 'fd00::/8, 10.0.0.1' }
    expect(injected(deploymentPod({ annotations })).spec.initContainers[0].args.join(' ')).toContain(
      '-exclude-outbound-cidr fd00::/8 -exclude-outbound-cidr 10.0.0.1',
    )
    for (const range of ['fd00::/129', '10.0.0.0/33', 'fe80::1%eth0', '10.0/8'])
      expect(refusal(deploymentPod({ annotations: { ...rules, [`${A}transparent-proxy-exclude-outbound-cidrs`]: range } }))).toContain(
        `"${range}": is no range of addresses`,
      )
  })

  it("may not run as the sidecar's user", () => {
    expect(refusal(deploymentPod({ annotations: rules, spec: { securityContext: { runAsUser: 5995 } } }))).toContain(
      'container web runs as user 5995',
    )
  })
})

describe('other pods', () => {
  it('a job, which listens nowhere, is registered without a port', () => {
    const pod = injected(jobPod(asked({ 'connect-service-upstreams': 'api:1234' })))
    expect(pod.spec.initContainers).toHaveLength(1)
    expect(pod.spec.volumes).toHaveLength(1)
    expect(serviceOf(pod)).toMatchObject({ name: 'report', port: 0 })
  })

  it('one of several containers is named and reached as the first that says something', () => {
    const containers = [
      { name: 'log', image: 'log:1' },
      { name: 'api', image: 'api:1', ports: [{ containerPort: 7000 }] },
    ]
    const pod = injected(deploymentPod({ annotations: asked({ 'kubernetes-service': 'api' }), spec: { containers } }))
    expect(serviceOf(pod)).toMatchObject({ name: 'api', port: 7000 })
  })

  it('one that listens where its sidecar does is denied', () => {
    const container = { name: 'web', image: 'web:1', ports: [{ containerPort: 20000 }, { containerPort: 19000, protocol: 'UDP' }] }
    const annotations = asked({ 'connect-service-upstreams': 'api:20100,db:5432' })
    expect(refusal(deploymentPod({ annotations, spec: { containers: [container] } }))).toBe(
      'no sidecar is injected: container web has the port 20000, which a sidecar takes; upstream api has the port 20100, which a sidecar takes',
    )
  })

  it.each([{ os: { name: 'windows' } }, { nodeSelector: { 'kubernetes.io/os': 'windows' } }])('one of Windows has none: %j', spec => {
    expect(refusal(deploymentPod({ annotations: asked(), spec }))).toContain('the pod is one of Windows')
    expect(reviewPod(deploymentPod({ spec }), 'shop', policyOf({ byDefault: true })).verdict).toBe('untouched')
  })

  it.each(['1', '0.5', '100m', '1e3', '128Mi', '2G', '5E', '100u'])('%s is a quantity of Kubernetes', text => {
    const pod = injected(deploymentPod({ annotations: asked({ 'sidecar-proxy-memory-limit': text }) }))
    expect(sidecarOf(pod).resources.limits.memory).toBe(text)
  })

  it('one in the network of its host is denied where it asks, else left alone', () => {
    const spec = { hostNetwork: true }
    expect(refusal(deploymentPod({ annotations: asked(), spec }))).toContain('in the network of its host')
    expect(reviewPod(deploymentPod({ spec }), 'shop', policyOf({ byDefault: true }))).toEqual({ verdict: 'untouched', warnings: [] })
  })
})

describe('who is injected', () => {
  const plain = deploymentPod()
  it.each([
    ['nobody who says nothing, without a default', plain, policyOf(), 'shop', 'untouched'],
    ['who says nothing, with the default', plain, policyOf({ byDefault: true }), 'shop', 'injected'],
    [
      'not who opts out',
      deploymentPod({ annotations: { [`${A}connect-inject`]: 'false' } }),
      policyOf({ byDefault: true }),
      'shop',
      'untouched',
    ],
    ['not in a namespace that is denied', plain, policyOf({ byDefault: true }), 'kube-system', 'untouched'],
    ['not beyond the namespaces that are allowed', plain, policyOf({ byDefault: true, allowNamespaces: ['mesh'] }), 'shop', 'untouched'],
    [
      'denied goes over allowed',
      plain,
      policyOf({ byDefault: true, allowNamespaces: ['shop'], denyNamespaces: ['shop'] }),
      'shop',
      'untouched',
    ],
  ])('%s', (_, pod, policy, namespace, verdict) => {
    expect(reviewPod(pod, namespace, policy).verdict).toBe(verdict)
  })

  it('says why an annotation has no effect in a namespace that is denied', () => {
    const review = reviewPod(deploymentPod({ annotations: asked() }), 'kube-system', policyOf())
    expect(review).toEqual({ verdict: 'untouched', warnings: [`${A}connect-inject has no effect: the namespace "kube-system" is denied`] })
  })
})

describe('what is malformed is denied, and all of it is said at once', () => {
  it.each([
    ['connect-inject', 'maybe', 'must be true or false'],
    ['connect-service', 'a,b', '2 services need as many ports'],
    ['proxy-config-map', '[]', 'must be a JSON object'],
    ['sidecar-proxy-startup-failure-seconds', '1m', 'is no number of seconds'],
    ['connect-service', 'a b', 'is no name of a service'],
    ['connect-service-port', 'grpc', 'no container has a port of this name'],
    ['connect-service-port', '70000', 'is no port'],
    ['connect-service-protocol', 'udp', 'must be one of tcp, http, http2, grpc'],
    ['connect-service-upstreams', 'api', 'has no port'],
    ['connect-service-upstreams', 'api.team:1', 'namespaces are of Consul Enterprise'],
    ['connect-service-upstreams', 'api.svc.a.peer.b.dc:1', 'either .dc or .peer'],
    ['connect-service-upstreams', 'api.svc.a.zone:1', 'none of the labels'],
    ['connect-service-upstreams', 'a:1,b:1', 'the port 1 is that of a already'],
    ['connect-service-upstreams', 'prepared_query:x', 'has no port'],
    ['transparent-proxy', 'yes', 'must be true or false'],
    ['transparent-proxy-exclude-outbound-cidrs', '10.0.0.0/33', 'is no range'],
    ['transparent-proxy-exclude-uids', 'root', 'is no number of a user'],
    ['sidecar-proxy-cpu-limit', 'much', 'is no quantity'],
    ['prometheus-scrape-path', '/stats', 'metrics are served at /metrics'],
    ['consul-sidecar-user-volume', '{', 'is no JSON'],
    ['consul-sidecar-user-volume', '[{"x":1}]', 'a JSON list of objects with name'],
    ['connect-inject-mount-volume', 'other', 'is no container of the pod'],
  ])('%s: %s', (name, value, reason) => {
    expect(refusal(deploymentPod({ annotations: asked({ [name]: value }) }))).toContain(reason)
  })

  it('several at once, arguments of the proxy among them', () => {
    const pod = deploymentPod({ annotations: asked({ 'transparent-proxy': 'yes', 'envoy-extra-args': '--no-such' }) })
    const reason = refusal(pod, policyOf({ checkProxyArgs: args => parseProxyFlags(args).errors }))
    expect(reason).toContain('transparent-proxy "yes"')
    expect(reason).toContain('envoy-extra-args: --no-such: there is no such flag')
  })
})

it('names annotations without effect, and those that there are not', () => {
  const { warnings } = reviewPod(
    deploymentPod({ annotations: asked({ 'merged-metrics-port': '1', 'conect-service': 'x' }) }),
    'shop',
    policyOf(),
  )
  expect(warnings).toEqual([
    expect.stringContaining('merged-metrics-port has no effect: the metrics of sidecar and application are scraped separately'),
    expect.stringContaining('conect-service has no effect: there is no such annotation'),
  ])
})

describe('what the containers run', () => {
  /** The command that the words name, and what commander makes of the rest. */
  function parsed(argv: readonly string[]): {
    readonly name: string
    readonly unknown: readonly string[]
    readonly operands: readonly string[]
  } {
    const program = buildProgram(testIo())
    let command: Command = program
    const words = normalizeGoFlags(program, argv)
    while (words.length > 0) {
      const below = command.commands.find(each => each.name() === words[0])
      if (below === undefined) break
      command = below
      words.shift()
    }
    const { operands, unknown } = command.parseOptions(words)
    return { name: command.name(), unknown: command.description().startsWith('refused:') ? [] : unknown, operands }
  }

  it('are commands that there are, with flags that they have', () => {
    const { sidecar } = policyOf()
    const policy = policyOf({ sidecar: { ...sidecar, authMethod: 'kubernetes', logLevel: 'info' } })
    const pod = injected(
      deploymentPod({ annotations: asked({ 'transparent-proxy': 'true', 'sidecar-proxy-lifecycle-shutdown-grace-period-seconds': '9' }) }),
      policy,
    )
    const [redirect, own] = pod.spec.initContainers
    expect(parsed(redirect.args)).toMatchObject({ name: 'redirect-traffic', unknown: [] })
    const { name, unknown, operands } = parsed(own.args)
    expect([name, unknown]).toEqual(['sidecar', []])
    expect(parseProxyFlags(operands)).toMatchObject({ errors: [], shutdownGraceS: 9, logLevel: 'info' })
    expect(parsed(own.lifecycle.preStop.exec.command.slice(1))).toMatchObject({ name: 'leave', unknown: [], operands: [] })
  })
})

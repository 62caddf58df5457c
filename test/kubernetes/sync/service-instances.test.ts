// What each type of Service becomes, and what its annotations change.
import { describe, expect, it } from 'vitest'
import type { EndpointSlice, KubeNode, KubeService } from '../../../src/kubernetes/sync/kube-objects.js'
import { type InstanceRules, instancesOf, slicesByService } from '../../../src/kubernetes/sync/service-instances.js'

const A = 'consul.hashicorp.com/'
const RULES: InstanceRules = {
  byDefault: true,
  allowNamespaces: ['*'],
  denyNamespaces: ['kube-system'],
  clusterIps: true,
  nodePortAddress: 'ExternalOnly',
  tag: 'k8s',
  namespaceSuffix: false,
}
const PORTS = [
  { name: 'http', port: 80, nodePort: 30_080 },
  { name: 'admin', port: 81, nodePort: 30_081 },
]

function service(
  spec: Partial<KubeService['spec']> = {},
  more: { annotations?: Record<string, string>; status?: KubeService['status'] } = {},
): KubeService {
  return {
    metadata: { name: 'web', namespace: 'shop', annotations: more.annotations ?? {} },
    spec: { type: 'ClusterIP', ports: PORTS, ...spec },
    status: more.status ?? {},
  }
}

const slice: EndpointSlice = {
  metadata: { name: 'web-x', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'web' } },
  addressType: 'IPv4',
  ports: [
    { name: 'http', port: 8080 },
    { name: 'admin', port: 8081 },
  ],
  endpoints: [
    { addresses: ['10.1.0.2'], conditions: { ready: true }, nodeName: 'n1' },
    { addresses: ['10.1.0.3'], conditions: { ready: false }, nodeName: 'n2' },
  ],
}

const node = (name: string, addresses: readonly { type: string; address: string }[]): [string, KubeNode] => [
  name,
  { metadata: { name }, status: { addresses } },
]
const NODES = new Map([
  node('n1', [
    { type: 'ExternalIP', address: '192.0.2.1' },
    { type: 'InternalIP', address: '10.0.0.1' },
  ]),
  node('n2', [{ type: 'InternalIP', address: '10.0.0.2' }]),
])

const places = (of: KubeService, rules: Partial<InstanceRules> = {}): string[] =>
  instancesOf(of, [slice], NODES, { ...RULES, ...rules }).instances.map(
    ({ address, port, ready }) => `${address}:${port}${ready ? '' : ' not ready'}`,
  )

describe('a Service', () => {
  it.each<[string, KubeService, Partial<InstanceRules>, string[]]>([
    ['of type ClusterIP is its pods', service(), {}, ['10.1.0.2:8080', '10.1.0.3:8080 not ready']],
    ['of type ClusterIP is left out where that is said', service(), { clusterIps: false }, []],
    ['of a denied namespace is left out', service(), { denyNamespaces: ['shop'] }, []],
    ['is left out where all namespaces are denied', service(), { denyNamespaces: ['*'] }, []],
    [
      'without an address of its own is its pods all the same',
      service({ clusterIP: 'None' }),
      { clusterIps: false },
      ['10.1.0.2:8080', '10.1.0.3:8080 not ready'],
    ],
    ['of type NodePort is the nodes with pods of it', service({ type: 'NodePort' }), {}, ['192.0.2.1:30080']],
    [
      'of type NodePort, by any address',
      service({ type: 'NodePort' }),
      { nodePortAddress: 'ExternalFirst' },
      ['10.0.0.2:30080 not ready', '192.0.2.1:30080'],
    ],
    [
      'of type NodePort, by inner addresses',
      service({ type: 'NodePort' }),
      { nodePortAddress: 'InternalOnly' },
      ['10.0.0.1:30080', '10.0.0.2:30080 not ready'],
    ],
    [
      'of type LoadBalancer is its balancer',
      service({ type: 'LoadBalancer' }, { status: { loadBalancer: { ingress: [{ ip: '192.0.2.9' }, { hostname: 'lb.example' }] } } }),
      {},
      ['192.0.2.9:80', 'lb.example:80'],
    ],
    ['whose balancer is not there yet is nowhere', service({ type: 'LoadBalancer' }), {}, []],
    ['of type ExternalName is that name', service({ type: 'ExternalName', externalName: 'db.example' }), {}, ['db.example:80']],
    ['with external addresses is those', service({ externalIPs: ['192.0.2.7'] }), {}, ['192.0.2.7:80']],
    ['of another namespace is left out', service(), { allowNamespaces: ['mesh'] }, []],
    ['that says nothing is left out where only the explicit count', service(), { byDefault: false }, []],
    [
      'that says so is taken then',
      service({}, { annotations: { [`${A}service-sync`]: 'true' } }),
      { byDefault: false },
      ['10.1.0.2:8080', '10.1.0.3:8080 not ready'],
    ],
    ['that opts out is left out', service({}, { annotations: { [`${A}service-sync`]: 'false' } }), {}, []],
    [
      'has the port that it names',
      service({}, { annotations: { [`${A}service-port`]: 'admin' } }),
      {},
      ['10.1.0.2:8081', '10.1.0.3:8081 not ready'],
    ],
    [
      'has the number that it names',
      service({ externalIPs: ['192.0.2.7'] }, { annotations: { [`${A}service-port`]: '9000' } }),
      {},
      ['192.0.2.7:9000'],
    ],
  ])('%s', (_, of, rules, expected) => {
    expect(places(of, rules)).toEqual(expected)
  })

  it('has name, tags and notes of its annotations', () => {
    const annotations = { [`${A}service-name`]: 'front', [`${A}service-tags`]: 'a,b\\,c', [`${A}service-meta-team`]: 'shop' }
    expect(instancesOf(service({}, { annotations }), [slice], NODES, RULES).instances[0]).toEqual({
      id: 'shop-web-10.1.0.2-8080',
      service: 'front',
      address: '10.1.0.2',
      port: 8080,
      tags: ['k8s', 'a', 'b,c'],
      meta: {
        'port-http': '30080',
        'port-admin': '30081',
        team: 'shop',
        'external-source': 'kubernetes',
        'external-k8s-ns': 'shop',
        'external-k8s-ref-name': 'web',
      },
      ready: true,
    })
    expect(instancesOf(service(), [slice], NODES, { ...RULES, namespaceSuffix: true }).instances[0]!.service).toBe('web-shop')
  })

  it.each([
    ['service-sync', 'maybe', 'must be true or false'],
    ['service-port', 'none', 'the service has no port of this name'],
    ['service-port', '99999', 'is no port'],
  ])('whose %s is "%s" is left out, and why is said', (name, value, reason) => {
    const { instances, problem } = instancesOf(service({}, { annotations: { [A + name]: value } }), [slice], NODES, RULES)
    expect([instances, problem]).toEqual([[], expect.stringContaining(`service shop/web: ${A}${name} "${value}": ${reason}`)])
  })
})

it('slices belong to the Service that their label names', () => {
  expect([...slicesByService([slice, { ...slice, metadata: { name: 'x', namespace: 'shop' } }]).entries()]).toEqual([['shop/web', [slice]]])
})

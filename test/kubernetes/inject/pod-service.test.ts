// What an injected pod registers, taken by a real control plane, and what its end takes back.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type PodService, registrationOf } from '../../../src/kubernetes/inject/pod-service.js'
import type { Json } from '../../support/admission-reviews.js'
import { CliFixture } from '../../support/cli-fixture.js'

const fixture = new CliFixture()
beforeAll(() => fixture.start())
afterAll(() => fixture.stop())

const place = { podName: 'web-5d9c-x', podIp: '10.1.2.3', namespace: 'shop', nodeName: 'node-7' }
const service: PodService = {
  name: 'web',
  index: 0,
  port: 8080,
  protocol: 'http',
  tags: ['v1'],
  meta: { team: 'shop' },
  upstreams: [{ type: 'service', name: 'api', localPort: 1234, datacenter: '', peer: '' }],
  transparent: false,
  exposedPaths: [{ listenerPort: 20_400, localPort: 8080, path: '/healthz' }],
  appProbes: [],
  metricsPort: 20_200,
  proxyConfig: { local_connect_timeout_ms: 1_000, protocol: 'tcp' },
}

const get = async (path: string): Promise<Json> => (await fetch(`http://${fixture.plane.httpAddress}${path}`)).json()

it('is a service and its sidecar, under the IDs that consul-k8s gives', async () => {
  const answer = await fetch(`http://${fixture.plane.httpAddress}/v1/agent/service/register`, {
    method: 'PUT',
    body: JSON.stringify(registrationOf(service, place)),
  })
  expect([answer.status, await answer.text()]).toEqual([200, ''])
  expect(await get('/v1/agent/service/web-5d9c-x-web')).toMatchObject({
    Service: 'web',
    Address: '10.1.2.3',
    Port: 8080,
    Meta: { team: 'shop', 'pod-name': 'web-5d9c-x', 'k8s-namespace': 'shop', 'k8s-node': 'node-7' },
  })
  expect(await get('/v1/agent/service/web-5d9c-x-web-sidecar-proxy')).toMatchObject({
    Kind: 'connect-proxy',
    Port: 20_000,
    Proxy: {
      DestinationServiceName: 'web',
      LocalServicePort: 8080,
      Config: {
        local_connect_timeout_ms: 1_000,
        protocol: 'http',
        envoy_ready_bind_addr: '0.0.0.0:20100',
        envoy_prometheus_bind_addr: '0.0.0.0:20200',
      },
      Upstreams: [{ DestinationName: 'api', LocalBindPort: 1234 }],
      Expose: { Paths: [{ ListenerPort: 20_400, LocalPathPort: 8080, Path: '/healthz' }] },
    },
  })
  const bootstrap = JSON.stringify(await get('/v1/outrigger/bootstrap/web-5d9c-x-web-sidecar-proxy?admin_bind=127.0.0.1:19000'))
  expect(bootstrap).toContain('"port_value":20100')
  expect(bootstrap).toContain('"port_value":20200')
})

it('is gone once the pod leaves, although the sidecar is gone already', async () => {
  Object.assign(fixture.env, {
    OUTRIGGER_POD_SERVICE: JSON.stringify(service),
    POD_NAME: place.podName,
    POD_IP: place.podIp,
    POD_NAMESPACE: place.namespace,
    NODE_NAME: place.nodeName,
  })
  const { code, err } = await fixture.call('k8s', 'leave', '-admin', '127.0.0.1:1', '-wait', '0')
  expect([code, err]).toEqual([0, expect.stringMatching(/^outrigger: drain: cannot reach the sidecar/)])
  expect(await get('/v1/agent/services')).toEqual({})
})

it('an address of IPv6 is written as one', () => {
  const { Checks: checks, Connect: connect } = registrationOf(service, { ...place, podIp: 'fd00::7' }) as Json
  expect(checks[0].HTTP).toBe('http://[fd00::7]:20100/ready')
  expect(connect.SidecarService.Proxy.Config.envoy_ready_bind_addr).toBe('[::]:20100')
})

it('says where it is meant to run', async () => {
  const { code, err } = await new CliFixture().call('k8s', 'sidecar')
  expect([code, err]).toEqual([1, 'outrigger: OUTRIGGER_POD_SERVICE is not set: this runs in pods that the webhook has injected\n'])
})

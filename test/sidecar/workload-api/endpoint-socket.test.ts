// SPIFFE_ENDPOINT_SOCKET as the SPIFFE Workload Endpoint specification has it.
import { describe, expect, it } from 'vitest'
import { WORKLOAD_API_CLUSTER } from '../../../src/model/workload-api.js'
import {
  definesWorkloadApi,
  isWorkloadApi,
  parseEndpointSocket,
  workloadApiBootstrap,
} from '../../../src/sidecar/workload-api/endpoint-socket.js'
import { parseBootstrap } from '../../../src/xds/bootstrap.js'

describe('the address of a Workload API', () => {
  it.each([
    ['unix:///run/spire/agent.sock', { kind: 'pipe', path: '/run/spire/agent.sock', mode: 0 }],
    ['unix:/run/spire/agent.sock', { kind: 'pipe', path: '/run/spire/agent.sock', mode: 0 }],
    ['tcp://127.0.0.1:8000', { kind: 'socket', host: '127.0.0.1', port: 8000 }],
    ['tcp://[::1]:8000', { kind: 'socket', host: '::1', port: 8000 }],
  ])('%s', (text, address) => {
    expect(parseEndpointSocket(text)).toMatchObject({ ok: true, value: address })
  })

  it.each([
    ['/run/spire/agent.sock', /neither/],
    ['http://127.0.0.1:8000', /neither/],
    ['unix://run/agent.sock', /names a host/],
    ['unix:agent.sock', /no absolute path/],
    ['unix:///', /no absolute path/],
    ['unix:///a?b', /more than/],
    ['unix:///a#b', /more than/],
    ['unix:///%zz', /neither/],
    [`unix:///${'a'.repeat(107)}`, /107 bytes/],
    ['tcp://localhost:8000', /no IP address/],
    ['tcp://127.0.0.1', /no port/],
    ['tcp://127.0.0.1:8000/foo', /has a path/],
    ['tcp://user@127.0.0.1:8000', /more than/],
  ])('%s is refused', (text, reason) => {
    const parsed = parseEndpointSocket(text)
    expect(parsed.ok).toBe(false)
    expect(parsed.ok ? '' : parsed.errors[0]!.reason).toMatch(reason)
  })

  it.each([
    [workloadApiBootstrap({ kind: 'pipe', path: '/run/agent.sock', mode: 0 }), true],
    [`clusters:\n- name: ${WORKLOAD_API_CLUSTER}\n`, true],
    [`{"envoy_grpc":{"cluster_name":"${WORKLOAD_API_CLUSTER}"}}`, false],
    [`clusters: [{ name: ${WORKLOAD_API_CLUSTER}_2 }]`, false],
  ])('%s has the cluster: %s', (text, has) => {
    expect(definesWorkloadApi(text)).toBe(has)
  })

  it('becomes a static cluster of the bootstrap, marked as what it is', () => {
    const parsed = parseBootstrap(['{}', workloadApiBootstrap({ kind: 'pipe', path: '/run/agent.sock', mode: 0 })])
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors))
    expect(parsed.value.clusters.map(cluster => [cluster.name, isWorkloadApi(cluster)])).toEqual([[WORKLOAD_API_CLUSTER, true]])
  })
})

// The listeners of exposed checks: who may ask.
import { expect, it } from 'vitest'
import { exposedCluster, exposedListeners, exposedPorts } from '../../../src/control/snapshot/exposed-paths.js'
import type { ProxyView } from '../../../src/control/snapshot/proxy-view.js'

const CHECK = { Path: '/health', LocalPathPort: 8080, ListenerPort: 21_500, Protocol: 'http' } as const

function sourcesOf(
  listening: { readonly Address?: string; readonly bindAddress?: string },
  sources: readonly string[],
): string[] | undefined {
  const { Address = '', bindAddress = '' } = listening
  const proxy = { Address, Port: 20_000, Proxy: { LocalServicePort: 8080 } }
  const view = { exposed: [{ ...CHECK, sources }], config: { bindAddress }, proxy, protocol: 'http', accessLogs: undefined }
  const [listener] = exposedListeners(view as unknown as ProxyView)
  const match = listener!.filterChains![0]!.filterChainMatch
  return match?.sourcePrefixRanges?.map(({ addressPrefix, prefixLen }) => `${addressPrefix}/${prefixLen}`)
}

it.each([
  ['at every address: this machine and the node', {}, ['10.0.0.9'], ['127.0.0.0/8', '10.0.0.9/32']],
  [
    'at one: this machine, which dials it from there, and the node',
    { Address: '10.1.1.1' },
    ['10.0.0.9'],
    ['127.0.0.0/8', '10.1.1.1/32', '10.0.0.9/32'],
  ],
  [
    'at that of the node: each range once, since Envoy takes none twice',
    { Address: '10.0.0.9' },
    ['10.0.0.9'],
    ['127.0.0.0/8', '10.0.0.9/32'],
  ],
  ['bound elsewhere than others reach it', { Address: '10.1.1.1', bindAddress: '10.2.2.2' }, [], ['127.0.0.0/8', '10.2.2.2/32']],
  ['of IPv6', { bindAddress: '::' }, ['::1'], ['127.0.0.0/8', '::1/128']],
])('a sidecar %s', (_, listening, sources, ranges) => {
  expect(sourcesOf(listening, sources)).toEqual(ranges)
})

it('a path that is exposed by itself is for everybody', () => {
  const view = { exposed: [CHECK], config: {}, proxy: { Address: '', Proxy: {} }, protocol: 'http', accessLogs: undefined }
  expect(exposedListeners(view as unknown as ProxyView)[0]!.filterChains![0]).not.toHaveProperty('filterChainMatch')
})

it('one port in two protocols has a cluster for each, whatever their order', () => {
  const path = (Protocol: string, LocalPathPort: number, ListenerPort: number) => ({ Path: '/', Protocol, LocalPathPort, ListenerPort })
  const exposed = [
    path('http2', 9_000, 1),
    path('http', 9_000, 2),
    path('http2', 9_000, 3),
    path('http2', 9_001, 4),
    path('http2', 8_080, 5),
    path('http', 8_080, 6),
  ]
  const view = { exposed, proxy: { Proxy: { LocalServicePort: 8_080 } }, protocol: 'http' } as unknown as ProxyView
  expect(view.exposed.map(each => exposedCluster(view, each))).toEqual([
    'exposed_cluster_9000_http2',
    'exposed_cluster_9000',
    'exposed_cluster_9000_http2',
    'exposed_cluster_9001',
    'exposed_cluster_8080',
    'local_app',
  ])
  expect(exposedPorts(view).map(({ ListenerPort }) => ListenerPort)).toEqual([1, 2, 4, 5])
})

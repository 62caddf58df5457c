// List and watch against an API server with the real protocol.
import { afterEach, beforeEach, expect, it } from 'vitest'
import { KubeClient, type KubeObject } from '../../../src/kubernetes/api/kube-client.js'
import { ObjectWatch } from '../../../src/kubernetes/api/object-watch.js'
import { FakeKubeApi } from '../../support/fake-kube-api.js'
import { until } from '../../support/proxy-process.js'

const PATH = '/api/v1/services'
const service = (name: string, port = 80): object => ({ metadata: { name, namespace: 'shop' }, spec: { ports: [{ port }] } })

let kube: FakeKubeApi
let client: KubeClient
let watch: ObjectWatch<KubeObject & { readonly spec: { readonly ports: readonly { readonly port: number }[] } }>
let problems: string[]

function watchServices(silentMs?: number): typeof watch {
  const onProblem = (message: string): void => void problems.push(message)
  return new ObjectWatch(client, {
    path: PATH,
    onChange: () => {},
    onProblem,
    random: () => 0,
    ...(silentMs === undefined ? {} : { silentMs }),
  })
}

beforeEach(async () => {
  kube = await FakeKubeApi.start(2)
  for (const name of ['a', 'b', 'c', 'd', 'e']) kube.put(PATH, service(name))
  client = new KubeClient(kube.config)
  problems = []
  watch = watchServices()
})

afterEach(async () => {
  await watch.stop()
  client.close()
  await kube.stop()
})

const names = (): string => [...watch.objects.keys()].map(key => key.slice('shop/'.length)).join('')
const lists = (): number =>
  kube.requests.filter(line => line.startsWith('GET') && !line.includes('watch=1') && !line.includes('continue')).length
const watches = (): string[] => kube.requests.filter(line => line.includes('watch=1'))

it('lists by pages, and then follows what is added, changed and deleted', async () => {
  await until('names', () => names() === 'abcde')
  kube.put(PATH, service('f'))
  kube.put(PATH, service('a', 81))
  kube.delete(PATH, 'b', 'shop')
  await until('names', () => names() === 'acdef')
  expect(watch.objects.get('shop/a')!.spec.ports[0]!.port).toBe(81)
  expect([lists(), problems]).toEqual([1, []])
})

it('goes on from a bookmark when the watch ends, without a new list', async () => {
  await until('kube.watching', () => kube.watching === 1)
  kube.bookmark()
  await new Promise(resolve => setImmediate(resolve))
  kube.put(PATH, service('f'))
  await until('names', () => names() === 'abcdef')
  const before = watches().length
  kube.endWatches()
  kube.put(PATH, service('g'))
  await until('names', () => names() === 'abcdefg')
  expect(watches().at(before)).toMatch(/resourceVersion=107&allowWatchBookmarks=true/)
  expect(lists()).toBe(1)
})

it('lists anew when its version is gone, and keeps what it knew until then', async () => {
  await until('kube.watching', () => kube.watching === 1)
  kube.failures.push({ match: `GET ${PATH}?limit`, status: 500 })
  kube.delete(PATH, 'a', 'shop')
  kube.compact()
  await until('lists', () => lists() === 3)
  await until('names', () => names() === 'bcde')
  expect(problems).toEqual([`${PATH}: etcdserver: leader changed`])
})

it('takes a watch up again on which nothing comes for longer than the server lets one live', async () => {
  await watch.stop()
  await until('the first watch is over', () => kube.watching === 0)
  watch = watchServices(50)
  await until('a second watch', () => watches().length >= 3)
  kube.put(PATH, service('f'))
  await until('names', () => names() === 'abcdef')
  expect([lists(), problems[0]]).toEqual([2, expect.stringContaining('nothing came for 0.05 s')])
})

it('lists anew of a server that was restored, to which its version is of the future', async () => {
  await until('kube.watching', () => kube.watching === 1)
  kube.restore()
  kube.delete(PATH, 'a', 'shop')
  await until('names', () => names() === 'bcde')
  expect(lists()).toBe(2)
  expect(problems).toEqual([`${PATH}: Timeout: Too large resource version`])
})

it('leaves a server alone as long as that asks for, and goes on from where it was', async () => {
  await until('kube.watching', () => kube.watching === 1)
  kube.failures.push({ match: 'watch=1', status: 429, retryAfterS: 1 })
  const from = performance.now()
  kube.endWatches()
  kube.put(PATH, service('f'))
  await until('names', () => names() === 'abcdef')
  expect(performance.now() - from).toBeGreaterThan(950)
  expect(lists()).toBe(1)
})

it('keeps what it knew while the server is away, and follows it when it is back', async () => {
  await until('kube.watching', () => kube.watching === 1)
  const { server } = kube.config
  await kube.stop()
  await until('it is noticed', () => problems.length > 0)
  expect(names()).toBe('abcde')
  kube = await FakeKubeApi.start(2, Number(new URL(server).port))
  kube.put(PATH, service('z'))
  await until('names', () => names() === 'z')
})

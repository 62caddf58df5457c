// examples/observability against a mesh of bin/outrigger control and two sidecars: tracing as its proxy-defaults set it (one request is one
// trace in a collector of the test's own), and every query of its dashboards and alert rules reads series that are there after traffic.
import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { fetchOnce } from '../support/http1-client.js'
import { MeshFixture, type Registered } from '../support/mesh-fixture.js'
import { HttpOrigin, http } from '../support/origins.js'
import { hasSeries, selectorsOf } from '../support/prom-queries.js'
import { type ProxyProcess, until } from '../support/proxy-process.js'
import { TraceCollector } from '../support/trace-collector.js'

const folder = `${import.meta.dirname}/../../examples/observability`
const read = (name: string): string => readFileSync(`${folder}/${name}`, 'utf8')
const entry = read('tracing/proxy-defaults.yaml')
const origin = new HttpOrigin(
  ({ path }, socket) => void socket.write(http('ok', path === '/fails' ? '500 Internal Server Error' : '200 OK')),
)
const collector = new TraceCollector()
const mesh = new MeshFixture()
const sidecars: ProxyProcess[] = []
let web: Registered

beforeAll(async () => {
  await Promise.all([origin.listen(), collector.listen(), mesh.start()])
  await mesh.write('/v1/config', parse(entry.replaceAll('4318', String(collector.port))) as object)
  await mesh.register('api', { name: 'api', port: origin.port })
  sidecars.push(await mesh.sidecar('api'))
  web = await mesh.register('web', { name: 'web', upstreams: ['api'] })
  await mesh.intention('api', [{ Name: 'web', Action: 'allow' }])
  sidecars.push(await mesh.sidecar('web'))
})

afterAll(async () => {
  await mesh.stop()
  await Promise.all([origin.close(), collector.close()])
})

it('one request is one trace through both sidecars', async () => {
  const traceId = '0123456789abcdef0123456789abcdef'
  const headers = { traceparent: `00-${traceId}-1123456789abcdef-01` }
  await until('the upstream answers', async () => (await fetchOnce(web.upstreams.get('api')!, '/a', headers)).status === 200)
  const received = origin.requests.at(-1)!.headers.get('traceparent')!
  const spans = await until('four spans', () => {
    const found = collector.spans.filter(span => span.traceId === traceId && span.tags['http.status_code'] === '200')
    return found.length >= 4 ? found : null
  })
  // From the application back to who asked.
  const chain: string[] = []
  for (let id = received.split('-')[2]; ; ) {
    const span = spans.find(candidate => candidate.id === id)
    if (span === undefined) break
    chain.push(`${span.kind} ${span.tags['node_id'] ?? span.tags['upstream_cluster']}`)
    id = span.parentId
  }
  expect(chain).toEqual([
    'client local_app',
    'server api-sidecar-proxy',
    expect.stringMatching(/^client api\.default\./),
    'server web-sidecar-proxy',
  ])
  expect(spans[0]!.resource).toMatchObject({ 'service.name': 'mesh' })
})

describe('queries', () => {
  interface Dashboard {
    readonly panels: readonly { readonly title: string; readonly targets: readonly { readonly expr: string }[] }[]
  }
  interface Rules {
    readonly groups: readonly { readonly rules: readonly { readonly alert: string; readonly expr: string }[] }[]
  }
  let page = ''

  beforeAll(async () => {
    expect((await fetchOnce(web.upstreams.get('api')!, '/fails')).status).toBe(500)
    const pages = await until('histograms are flushed', async () => {
      const texts = await Promise.all(sidecars.map(async sidecar => (await sidecar.get('/stats/prometheus')).body))
      return texts.every(text => text.includes('envoy_cluster_upstream_rq_time_bucket')) ? texts : null
    })
    page = [...pages, await (await fetch(`${mesh.url}/v1/agent/metrics?format=prometheus`)).text()].join('\n')
  })

  const missing = (expression: string): string[] => {
    const selectors = selectorsOf(expression)
    expect(selectors.length, expression).toBeGreaterThan(0)
    return selectors.filter(selector => !hasSeries(page, selector)).map(({ text }) => text)
  }

  it.each(readdirSync(`${folder}/grafana`))('of the dashboard %s', name => {
    const { panels } = JSON.parse(read(`grafana/${name}`)) as Dashboard
    expect(panels.length).toBeGreaterThan(4)
    for (const { title, targets } of panels) expect([title, targets.flatMap(({ expr }) => missing(expr))]).toEqual([title, []])
  })

  it('of the alert rules', () => {
    const { groups } = parse(read('prometheus/alerts.yaml')) as Rules
    expect(groups.map(({ rules }) => rules.length)).toEqual([3, 4, 4])
    for (const { alert, expr } of groups.flatMap(({ rules }) => rules)) expect([alert, missing(expr)]).toEqual([alert, []])
  })

  it('a query for a series that is not there is found out', () => {
    expect(missing('rate(envoy_server_live{consul_source_service="nobody"}[5m])')).toEqual([
      'envoy_server_live{consul_source_service="nobody"}',
    ])
    expect(missing('envoy_no_such_thing_total')).toEqual(['envoy_no_such_thing_total'])
  })
})

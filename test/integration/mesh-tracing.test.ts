// Tracing of a whole mesh as examples/observability/tracing/proxy-defaults.yaml sets it: through bin/outrigger control and two sidecars, with
// a collector of the test's own. One request is one trace: caller, its try, callee, its try.
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { parse } from 'yaml'
import { fetchOnce } from '../support/http1-client.js'
import { MeshFixture, type Registered } from '../support/mesh-fixture.js'
import { HttpOrigin, http } from '../support/origins.js'
import { until } from '../support/proxy-process.js'
import { TraceCollector } from '../support/trace-collector.js'

const entry = readFileSync(new URL('../../examples/observability/tracing/proxy-defaults.yaml', import.meta.url), 'utf8')
const origin = new HttpOrigin((_, socket) => void socket.write(http('ok')))
const collector = new TraceCollector()
const mesh = new MeshFixture()
let web: Registered

beforeAll(async () => {
  await Promise.all([origin.listen(), collector.listen(), mesh.start()])
  await mesh.write('/v1/config', parse(entry.replaceAll('4318', String(collector.port))) as object)
  await mesh.register('api', { name: 'api', port: origin.port })
  await mesh.sidecar('api')
  web = await mesh.register('web', { name: 'web', upstreams: ['api'] })
  await mesh.intention('api', [{ Name: 'web', Action: 'allow' }])
  await mesh.sidecar('web')
}, 60_000)

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

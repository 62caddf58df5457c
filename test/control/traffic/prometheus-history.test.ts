// Longer times from a Prometheus: what it is asked, what its answers come to, and that nobody's name becomes part of a query's words.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { PrometheusHistory } from '../../../src/control/traffic/prometheus-history.js'
import { ApiFixture } from '../http-api/api-fixture.js'

const NOW_MS = 1_800_000_123_456
const DAY_MS = 86_400_000
const STEP = 720
const END = Math.floor(NOW_MS / 1000 / STEP) * STEP

let server: Server | undefined
let asked: URLSearchParams[] = []
afterEach(() => {
  server?.closeAllConnections()
  server?.close()
})

type Answer = (query: string) => {
  readonly status?: number
  readonly values?: readonly (readonly [number, string])[]
  readonly text?: string
}

async function prometheus(answer: Answer): Promise<string> {
  asked = []
  server = createServer((request, response) => {
    const url = new URL(request.url!, 'http://h')
    asked.push(url.searchParams)
    const { status = 200, values, text } = answer(url.searchParams.get('query')!)
    const result = values === undefined ? [] : [{ metric: {}, values }]
    response.writeHead(url.pathname === '/prom/api/v1/query_range' ? status : 404)
    response.end(text ?? JSON.stringify({ status: 'success', data: { resultType: 'matrix', result } }))
  })
  await new Promise<void>(resolve => server!.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/prom/`
}

const history = (url: string): PrometheusHistory => new PrometheusHistory(url, () => NOW_MS)

describe('a day', () => {
  it('is asked for in steps of minutes, whole ones, and comes to points', async () => {
    const url = await prometheus(query => {
      if (query.includes('rq_total'))
        return {
          values: [
            [END - STEP, '2'],
            [END, '0'],
          ],
        }
      if (query.includes('envoy_response_code_class="5"')) return { values: [[END - STEP, '0.5']] }
      return {
        values: [
          [END - STEP, query.includes('0.99,') ? '120' : '7'],
          [END, 'NaN'],
        ],
      }
    })
    expect(await history(url).series({ destination: 'api' }, DAY_MS)).toEqual([
      {
        at: (END - STEP) * 1000,
        totals: { requests: 1440, failures: 360, requestsPerSecond: 2, successRate: 0.75, p50: 7, p90: 7, p99: 120, active: 0 },
      },
      {
        at: END * 1000,
        totals: { requests: 0, failures: 0, requestsPerSecond: 0, successRate: null, p50: null, p90: null, p99: null, active: 0 },
      },
    ])
    expect(asked).toHaveLength(5)
    for (const each of asked)
      expect([each.get('start'), each.get('end'), each.get('step')]).toEqual([String(END - 86_400), String(END), String(STEP)])
    expect(asked.map(each => each.get('query'))).toContain(
      `sum(rate(envoy_cluster_upstream_rq_total{consul_destination_service="api"}[${STEP}s]))`,
    )
  })

  it('of nobody in particular is of all services of the mesh', async () => {
    const url = await prometheus(() => ({}))
    expect(await history(url).series({ source: 'web' }, DAY_MS)).toEqual([])
    expect(asked[0]!.get('query')).toContain('{consul_destination_service!="",consul_source_service="web"}')
  })

  it('of a name with quotes in it is asked for by that name', async () => {
    const url = await prometheus(() => ({}))
    await history(url).series({ destination: 'a"} or vector(1) #\\' }, DAY_MS)
    expect(asked[0]!.get('query')).toContain('{consul_destination_service="a\\"} or vector(1) #\\\\"}')
  })
})

describe('what goes wrong is one line', () => {
  it.each([
    ['no answer of a range', { text: '{}' }, 'Prometheus: the answer is none of a range query'],
    ['no JSON', { text: 'hello' }, 'Prometheus: the answer is no JSON'],
    ['a refusal', { status: 422 }, 'Prometheus: HTTP 422'],
  ] as const)('%s', async (_what, answer, expected) => {
    const url = await prometheus(() => answer)
    await expect(history(url).series({}, DAY_MS)).rejects.toThrow(expected)
  })
})

describe('the HTTP API', () => {
  it('asks it for more than an hour, and says which it cannot reach', async () => {
    const url = await prometheus(() => ({ values: [[END, '3']] }))
    const api = await ApiFixture.start({ prometheus: url })
    try {
      expect((await api.get('/v1/outrigger/console')).body).toMatchObject({ LongRanges: true })
      expect((await api.get('/v1/outrigger/traffic/series?window=24h&destination=api')).body).toEqual([
        expect.objectContaining({ Totals: expect.objectContaining({ RequestsPerSecond: 3 }) }),
      ])
      expect((await api.get('/v1/outrigger/traffic/series?window=1h')).body).toEqual([])
      expect(asked).toHaveLength(5)
      expect((await api.get('/v1/outrigger/traffic/series?window=9999h')).status).toBe(400)
      server!.closeAllConnections()
      await new Promise(resolve => server!.close(resolve))
      expect(await api.get('/v1/outrigger/traffic/series?window=24h')).toMatchObject({ status: 502, body: 'Prometheus: ECONNREFUSED' })
    } finally {
      await api.stop()
    }
  })

  it('without one says which option there is', async () => {
    const api = await ApiFixture.start()
    try {
      expect((await api.get('/v1/outrigger/console')).body).toMatchObject({ LongRanges: false })
      const { status, body } = await api.get('/v1/outrigger/traffic/series?window=24h')
      expect([status, body]).toEqual([
        400,
        'window: what is longer than an hour ago is asked of a Prometheus, and none is named to the control plane (--prometheus)',
      ])
    } finally {
      await api.stop()
    }
  })
})

import { describe, expect, it, vi } from 'vitest'
import { type AsyncResult, MAX_ASYNC_RESPONSE_BYTES, UpstreamAsyncClient } from '../../../src/l7/client/async-client.js'
import type { ClientEvents, RequestHead } from '../../../src/l7/codec/codec.js'
import { HeaderList } from '../../../src/l7/codec/header-list.js'
import { asyncClientStats } from '../../../src/metrics/stat-names.js'
import { StatsStore } from '../../../src/metrics/stats-store.js'
import { responseHead } from '../filters/fake-call.js'

/** One endpoint whose connection records what is sent; the test speaks for the upstream through `events`. */
function world() {
  const state = {
    events: null as ClientEvents | null,
    head: null as RequestHead | null,
    body: '',
    resets: 0,
    protocol: '',
    failPool: false,
    waiting: 0,
  }
  const counter = () => ({ value: 0 })
  const main = new Proxy(Object.create(null) as Record<string, { value: number }>, {
    get: (target, key: string) => (target[key] ??= counter()),
  })
  const breakers = { tryRequest: () => true, releaseRequest: vi.fn(), describe: (limit: string) => limit }
  const host = {
    cluster: {
      config: { tls: null, name: 'c', http: { autoSni: false } },
      breakers: () => breakers,
      traffic: { main, chargeResponse: () => {} },
      recordLocalOriginSuccess: () => {},
    },
    stats: { rqTotal: 0 },
    activeRequests: 0,
  }
  const stream = {
    sendHead: (head: RequestHead) => (state.head = head),
    sendData: (chunk: Buffer) => (state.body += chunk.toString('latin1')),
    reset: () => state.resets++,
  }
  const connection = {
    fresh: true,
    newStream: (events: ClientEvents) => {
      state.events = events
      return stream
    },
  }
  const pool = {
    acquire: (waiter: { onPoolReady(c: unknown): void; onPoolFailure(f: unknown): void }) => {
      if (state.failPool) waiter.onPoolFailure({ kind: 'closed' })
      else waiter.onPoolReady(connection)
    },
    cancel: () => {},
  }
  const pools = {
    protocolFor: () => 'http1',
    poolFor: (_host: unknown, protocol: string) => {
      state.protocol = protocol
      return pool
    },
  }
  const clusters = {
    get: (name: string) =>
      name === 'c' ? { pick: () => host, traffic: { main } } : name === 'empty' ? { pick: () => null, traffic: { main } } : undefined,
  }
  const client = new UpstreamAsyncClient(clusters as never, pools as never, () => 0, asyncClientStats(new StatsStore()), null as never)
  return { state, client, host, breakers }
}

const request = (body: Buffer | null = null, timeoutMs = 0) => ({
  method: 'POST',
  path: '/p',
  authority: 'a',
  headers: new HeaderList(),
  body,
  timeoutMs,
})
const GRPC = { cluster: 'c', target: '', authority: '', timeoutMs: null, initialMetadata: [{ key: 'x-token', value: 't' }] }

describe('UpstreamAsyncClient', () => {
  it('sends a request and gives the whole answer once', () => {
    const { state, client, host, breakers } = world()
    const results: AsyncResult[] = []
    client.send('c', request(Buffer.from('hi')), result => results.push(result))
    expect([state.head?.path, state.head?.headers.get('content-length'), state.body]).toEqual(['/p', '2', 'hi'])
    state.events!.onHead(responseHead(201, { 'x-a': '1' }), false)
    const reused = Buffer.from('ab')
    state.events!.onData(reused, false)
    reused.fill(0)
    state.events!.onData(Buffer.from('cd'), true)
    expect(results).toMatchObject([{ kind: 'response', status: 201 }])
    expect((results[0] as { body: Buffer }).body.toString()).toBe('abcd')
    expect([client.active, host.activeRequests, breakers.releaseRequest.mock.calls.length, state.resets]).toEqual([0, 0, 1, 0])
  })

  it('reports unknown and empty clusters, and pool failures, but never from inside send', async () => {
    const { state, client } = world()
    state.failPool = true
    const reasons: string[] = []
    const done = Promise.all(
      ['nope', 'empty', 'c'].map(
        name =>
          new Promise<void>(resolve =>
            client.send(name, request(), result => {
              if (result.kind === 'failure') reasons.push(result.reason)
              resolve()
            }),
          ),
      ),
    )
    expect(reasons).toEqual([])
    await done
    expect(reasons).toEqual(['no-cluster', 'no-healthy-upstream', 'reset'])
    expect(client.active).toBe(0)
  })

  it('gives up on an answer that is too long, and on time', () => {
    vi.useFakeTimers()
    try {
      const { state, client } = world()
      const results: AsyncResult[] = []
      client.send('c', request(), result => results.push(result))
      state.events!.onHead(responseHead(), false)
      state.events!.onData(Buffer.alloc(MAX_ASYNC_RESPONSE_BYTES), false)
      state.events!.onData(Buffer.alloc(1), false)
      client.send('c', request(null, 50), result => results.push(result))
      vi.advanceTimersByTime(50)
      expect(results).toMatchObject([{ reason: 'too-large' }, { reason: 'timeout' }])
      expect([state.resets, client.active]).toEqual([2, 0])
    } finally {
      vi.useRealTimers()
    }
  })

  it('says nothing after a cancel', () => {
    const { state, client } = world()
    const callback = vi.fn()
    client.send('c', request(), callback).cancel()
    state.events!.onHead(responseHead(), true)
    expect(callback).not.toHaveBeenCalled()
    expect([state.resets, client.active]).toEqual([1, 0])
  })

  it('speaks unary gRPC over HTTP/2', () => {
    const { state, client } = world()
    const callback = vi.fn()
    client.unary(GRPC, '/s/M', Buffer.from('abc'), 250, callback)
    expect([state.protocol, state.body, state.head?.headers.get('grpc-timeout'), state.head?.headers.get('x-token')]).toEqual([
      'http2',
      '\0\0\0\0\x03abc',
      '250m',
      't',
    ])
    state.events!.onHead(responseHead(200), false)
    state.events!.onData(Buffer.from('\0\0\0\0\x02ok'), false)
    state.events!.onTrailers(HeaderList.of(['grpc-status', '0']))
    expect(callback).toHaveBeenCalledWith(0, Buffer.from('ok'), '')
  })

  it.each<[string, number, Record<string, string>, string, Record<string, string>, number]>([
    ['an error status', 200, {}, '', { 'grpc-status': '7', 'grpc-message': 'no' }, 7],
    ['a trailers-only error', 200, { 'grpc-status': '5' }, '', {}, 5],
    ['an HTTP error', 503, {}, '', {}, 14],
    ['no status', 200, {}, '', { x: '1' }, 2],
    ['a compressed message', 200, {}, '\x01\0\0\0\x01x', { 'grpc-status': '0' }, 13],
    ['a cut message', 200, {}, '\0\0\0\0\x05x', { 'grpc-status': '0' }, 13],
  ])('maps %s', (_what, status, headers, body, trailers, expected) => {
    const { state, client } = world()
    const callback = vi.fn()
    client.unary(GRPC, '/s/M', Buffer.alloc(0), 0, callback)
    state.events!.onHead(responseHead(status, headers), Object.keys(trailers).length === 0)
    if (Object.keys(trailers).length > 0) {
      if (body !== '') state.events!.onData(Buffer.from(body, 'latin1'), false)
      state.events!.onTrailers(HeaderList.of(...Object.entries(trailers)))
    }
    expect(callback.mock.calls[0]![0]).toBe(expected)
  })
})

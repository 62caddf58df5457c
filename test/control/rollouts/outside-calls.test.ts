// Webhooks and Prometheus over real sockets: bounded in time, tries and size, and ended at once by an abort.
import { createHmac } from 'node:crypto'
import { createServer, type IncomingHttpHeaders, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { type Notice, outsideCalls } from '../../../src/control/rollouts/outside-calls.js'
import type { Webhook } from '../../../src/control/rollouts/rollout-types.js'
import { UNSIGNED } from '../../../src/control/rollouts/webhook-secrets.js'

let server: Server | undefined
afterEach(() => {
  server?.closeAllConnections()
  server?.close()
})

async function serve(listener: RequestListener): Promise<string> {
  server = createServer(listener)
  await new Promise<void>(resolve => server!.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const never = new AbortController().signal
const ID = 'msg_1'
const NOW_MS = 1_700_000_000_999
const calls = outsideCalls(UNSIGNED, () => NOW_MS)
/** That of the documentation of Standard Webhooks, and another. */
const SECRETS = ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', `whsec_${Buffer.alloc(32, 7).toString('base64')}`]
const notice: Notice = {
  Rollout: 'r',
  Service: 'api',
  From: 'v1',
  To: 'v2',
  When: 'before',
  Phase: 'Starting',
  Step: -1,
  Weight: 0,
  Reason: '',
}
const hook = (URL: string, Timeout = '5s'): Webhook => ({ Name: 'ask', When: 'before', URL, Timeout })

describe('a webhook', () => {
  it('is posted what it is about, as JSON', async () => {
    let body = ''
    const url = await serve((request, response) => {
      request.on('data', (chunk: Buffer) => {
        body += chunk.toString()
      })
      request.on('end', () => response.end(`${request.method} ${request.headers['content-type']}`))
    })
    expect(await calls.notify(hook(url), notice, ID, never)).toBeUndefined()
    expect(JSON.parse(body)).toEqual(notice)
  })

  it('is tried once more, and no more than that', async () => {
    let asked = 0
    const url = await serve((_request, response) => response.writeHead(asked++ === 0 ? 503 : 204).end())
    expect(await calls.notify(hook(url), notice, ID, never)).toBeUndefined()
    asked = -10
    server!.removeAllListeners('request')
    server!.on('request', (_request, response) => {
      asked++
      response.writeHead(500).end()
    })
    expect(await calls.notify(hook(url), notice, ID, never)).toBe('webhook "ask": HTTP 500')
    expect(asked).toBe(-8)
  })

  it('is signed with each secret over id, time and body, the second try with the same id', async () => {
    const seen: { headers: IncomingHttpHeaders; body: string }[] = []
    const url = await serve(async (request, response) => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk as Buffer)
      seen.push({ headers: request.headers, body: Buffer.concat(chunks).toString() })
      response.writeHead(seen.length === 1 ? 500 : 200).end()
    })
    expect(
      await outsideCalls(
        async () => SECRETS,
        () => NOW_MS,
      ).notify(hook(url), notice, ID, never),
    ).toBeUndefined()
    expect(seen).toHaveLength(2)
    for (const { headers, body } of seen) {
      expect([headers['webhook-id'], headers['webhook-timestamp']]).toEqual([ID, '1700000000'])
      const signatures = SECRETS.map(secret =>
        createHmac('sha256', Buffer.from(secret.slice(6), 'base64'))
          .update(`${ID}.1700000000.${body}`)
          .digest('base64'),
      )
      expect(headers['webhook-signature']).toBe(signatures.map(each => `v1,${each}`).join(' '))
    }
  })

  it('without secrets says its id and time, and no signature', async () => {
    let headers: IncomingHttpHeaders = {}
    const url = await serve((request, response) => {
      headers = request.headers
      response.end()
    })
    await calls.notify(hook(url), notice, ID, never)
    expect(headers).toMatchObject({ 'webhook-id': ID, 'webhook-timestamp': '1700000000' })
    expect(headers).not.toHaveProperty('webhook-signature')
  })

  it('whose secrets cannot be read is not sent', async () => {
    let asked = 0
    const url = await serve((_request, response) => {
      asked++
      response.end()
    })
    const gone = outsideCalls(
      () => Promise.reject(new Error('--webhook-secret-file x: ENOENT')),
      () => NOW_MS,
    )
    expect(await gone.notify(hook(url), notice, ID, never)).toBe('webhook "ask": --webhook-secret-file x: ENOENT')
    expect(asked).toBe(0)
  })

  it('that redirects is not followed', async () => {
    const url = await serve((_request, response) => response.writeHead(302, { location: '/elsewhere' }).end())
    expect(await calls.notify(hook(url), notice, ID, never)).toBe('webhook "ask": HTTP 302')
  })

  it('that does not answer in time has failed', async () => {
    const url = await serve(() => {})
    expect(await calls.notify(hook(url, '100ms'), notice, ID, never)).toBe('webhook "ask": no answer in time')
  })

  it('that nobody serves has failed', async () => {
    const url = await serve(() => {})
    await new Promise(resolve => server!.close(resolve))
    expect(await calls.notify(hook(url), notice, ID, never)).toBe('webhook "ask": ECONNREFUSED')
  })

  it('ends with an abort, and is not tried again', async () => {
    const abort = new AbortController()
    const url = await serve(() => abort.abort())
    expect(await calls.notify(hook(url, '1m'), notice, ID, abort.signal)).toBe('webhook "ask": cancelled')
  })
})

describe('a query', () => {
  const query = { Name: 'carts', Query: 'sum(rate(carts[1m]))', Min: 1, Max: 10 }
  const vector = (...values: string[]): string =>
    JSON.stringify({ status: 'success', data: { resultType: 'vector', result: values.map(value => ({ metric: {}, value: [1, value] })) } })

  it.each([
    ['within its limits', vector('5'), 'good', 'carts 5'],
    ['above', vector('11.5'), 'bad', 'query "carts": 11.5 above 10'],
    ['below', vector('0.5'), 'bad', 'query "carts": 0.5 below 1'],
    ['a scalar', JSON.stringify({ data: { resultType: 'scalar', result: [1, '2'] } }), 'good', 'carts 2'],
    ['no series', vector(), 'hold', 'metrics gone: query "carts": no series'],
    ['several series', vector('1', '2'), 'hold', 'metrics gone: query "carts": 2 series, and one is wanted'],
    ['NaN', vector('NaN'), 'hold', 'metrics gone: query "carts": its value is no number'],
    ['no JSON', 'hello', 'hold', 'metrics gone: query "carts": the answer is no JSON'],
    ['another answer', '{}', 'hold', 'metrics gone: query "carts": the answer is none of an instant query'],
    ['too much', ' '.repeat(1_100_000), 'hold', 'metrics gone: query "carts": the answer is larger than 1048576 bytes'],
  ])('answered with %s', async (_what, answer, kind, reason) => {
    let asked = ''
    const url = await serve((request, response) => {
      asked = request.url!
      response.end(answer)
    })
    expect(await calls.ask(`${url}/prometheus/`, query, never)).toEqual({ kind, reason })
    expect(asked).toBe(`/prometheus/api/v1/query?query=${encodeURIComponent(query.Query).replaceAll('(', '%28').replaceAll(')', '%29')}`)
  })

  it('refused by Prometheus holds', async () => {
    const url = await serve((_request, response) => response.writeHead(422).end('{}'))
    expect(await calls.ask(url, query, never)).toEqual({ kind: 'hold', reason: 'metrics gone: query "carts": HTTP 422' })
  })
})

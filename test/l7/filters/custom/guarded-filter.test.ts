import { describe, expect, it } from 'vitest'
import { HeaderList } from '../../../../src/l7/codec/header-list.js'
import type { HttpFilterCall, HttpStreamFilter } from '../../../../src/l7/filters/custom/custom-filter.js'
import type { HttpFilter } from '../../../../src/model/http-filter.js'
import { FakeCall, FakeEnvironment, requestHead, responseHead } from '../fake-call.js'
import { FakeChainHost } from '../fake-chain-host.js'

type Open = (call: HttpFilterCall) => HttpStreamFilter | null

/** A chain of filters of the embedding program, one for each `open`. */
function chainOf(opens: readonly Open[], { ended = false } = {}) {
  const env = new FakeEnvironment()
  const filters = opens.map((open, i) => {
    const typeName = `test.F${i}`
    env.customFilters.set(typeName, { typeUrl: typeName, parseConfig: json => json, create: () => open })
    return { kind: 'custom', name: `f${i}`, config: { typeName, config: {} } } satisfies Partial<HttpFilter>
  })
  const request = requestHead({ method: ended ? 'GET' : 'POST', contentLength: ended ? 0 : -1 })
  const host = new FakeChainHost(request, ended, env.factories(filters))
  const errors = (i = 0): number => env.store.counter(`http.in.f${i}.errors`).value
  return { host, request, errors, env }
}

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

describe('hooks', () => {
  it('run in order on the request and in reverse on the response, without a turn of the event loop', () => {
    const seen: string[] = []
    const named =
      (name: string): Open =>
      () => ({
        onRequest: () => void seen.push(`request ${name}`),
        onResponse: ({ status, local }) => void seen.push(`response ${name} ${status} ${local}`),
        onEnd: () => void seen.push(`end ${name}`),
      })
    const { host } = chainOf([named('a'), named('b')], { ended: true })
    host.chain.run()
    host.chain.startResponse(responseHead(200), true)
    expect(seen).toEqual(['request a', 'request b', 'response b 200 false', 'response a 200 false', 'end a', 'end b'])
    expect(host.seen).toEqual(['passed', 'head 200 end'])
  })

  it('are asked for at each request, and null is none of them', () => {
    let asked = 0
    const { host } = chainOf([
      () => {
        asked++
        return null
      },
    ])
    host.chain.run()
    host.data('x', true)
    expect([asked, host.seen]).toEqual([1, ['passed', 'up x']])
  })

  it('that return a promise hold the message until it is settled', async () => {
    let letGo = (): void => {}
    const { host } = chainOf(
      [
        () => ({
          onRequest: () => new Promise<void>(resolve => (letGo = resolve)),
          onResponse: async response => {
            await turn()
            response.headers.set('x-late', '1')
          },
        }),
      ],
      { ended: true },
    )
    host.chain.run()
    expect(host.seen).not.toContain('passed')
    letGo()
    await turn()
    expect(host.seen).toContain('passed')
    host.chain.startResponse(responseHead(200), false)
    host.chain.responseData(Buffer.from('body'), true)
    expect(host.response).toBe(null)
    await turn()
    await turn()
    expect(host.response?.headers.get('x-late')).toBe('1')
    expect(host.seen.slice(-2)).toEqual(['data body', 'end'])
  })

  it('see pieces of bodies as they come, and change them', () => {
    const { host, request } = chainOf([
      () => ({
        changesBodies: true,
        onRequestData: chunk => Buffer.from(`<${chunk.toString()}>`),
        onResponseData: chunk => Buffer.from(chunk.toString().toUpperCase().repeat(2)),
      }),
    ])
    request.contentLength = 2
    request.headers.set('content-length', '2')
    host.chain.run()
    expect([request.contentLength, request.headers.get('content-length')]).toEqual([-1, undefined])
    host.data('a', false)
    host.data('b', true)
    const head = responseHead(200, { 'content-length': '1' })
    head.contentLength = 1
    host.chain.startResponse(head, false)
    host.chain.responseData(Buffer.from('r'), true)
    expect(host.seen).toEqual(['passed', 'up <a>', 'up <b>', 'head 200', 'data RR', 'end'])
    expect(host.response?.headers.has('content-length')).toBe(false)
  })

  it('see trailers of both directions', () => {
    const seen: string[] = []
    const { host } = chainOf([
      () => ({
        onRequestTrailers: trailers => void seen.push(`request ${trailers.get('X-T')}`),
        onResponseTrailers: trailers => {
          seen.push(`response ${trailers.get('grpc-status')}`)
          trailers.set('x-added', '1')
        },
      }),
    ])
    host.chain.run()
    host.trailers()
    host.chain.startResponse(responseHead(200), false)
    const trailers = HeaderList.of(['grpc-status', '0'])
    host.chain.responseTrailers(trailers)
    expect(seen).toEqual(['request 1', 'response 0'])
    expect(trailers.get('x-added')).toBe('1')
  })
})

describe('whole bodies', () => {
  it('of requests are read and replaced before anything goes on', async () => {
    const { host, request } = chainOf([
      () => ({
        async onRequest(_request, call) {
          const body = await call.readRequestBody(100)
          call.replaceRequestBody(`${body.toString()}!`)
        },
      }),
    ])
    host.chain.run()
    host.data('he', false)
    host.data('llo', true)
    await turn()
    expect(host.seen).toContain('passed')
    expect(host.body.whole().toString()).toBe('hello!')
    expect([request.contentLength, request.headers.get('content-length')]).toEqual([6, '6'])
  })

  it('of requests that end before are rejected, which is no error of the filter', async () => {
    let rejected = ''
    const { host, errors } = chainOf([
      () => ({
        onRequest: async (_request, call) => {
          await call.readRequestBody(100).catch((error: Error) => {
            rejected = error.message
            throw error
          })
        },
      }),
    ])
    host.chain.run()
    host.end()
    await turn()
    expect([rejected, errors()]).toEqual(['the request ended before its body was there', 0])
  })

  it('of responses are rewritten with their head', () => {
    const { host } = chainOf([
      () => ({
        onResponse(response, call) {
          call.rewriteResponseBody(100, body => {
            response.headers.set('x-bytes', String(body.length))
            return body.toString().replace('world', 'mesh')
          })
        },
      }),
    ])
    host.body.ended = true
    host.chain.run()
    host.chain.startResponse(responseHead(200), false)
    host.chain.responseData(Buffer.from('hello '), false)
    host.chain.responseData(Buffer.from('world'), true)
    expect(host.seen.slice(-3)).toEqual(['head 200', 'data hello mesh', 'end'])
    expect(host.response?.headers.get('x-bytes')).toBe('11')
    expect(host.response?.headers.get('content-length')).toBe('10')
  })
})

describe('replies', () => {
  it('end the request, and pass the response hooks', () => {
    const { host } = chainOf([
      () => ({ onResponse: response => response.headers.set('x-seen', String(response.local)) }),
      call => ({ onRequest: () => call.reply({ status: 418, body: 'teapot', headers: [['x-kind', 'pot']] }) }),
    ])
    host.chain.run()
    expect(host.seen).toEqual(['head 418', 'data teapot', 'end'])
    expect([host.response?.headers.get('x-seen'), host.response?.headers.get('x-kind')]).toEqual(['true', 'pot'])
  })

  it('after the end do nothing', () => {
    let kept: HttpFilterCall | null = null
    const { host } = chainOf([
      call => {
        kept = call
        return {}
      },
    ])
    host.chain.run()
    host.end()
    const before = host.seen.length
    kept!.reply({ status: 500 })
    kept!.clearRouteCache()
    expect([host.seen.length, kept!.ended]).toEqual([before, true])
  })
})

describe('what would break the message is refused', () => {
  it.each<[string, (call: HttpFilterCall) => void]>([
    ['a line break in a value', call => call.request.headers.set('x-a', 'b\r\nx-c: d')],
    ['a name that is none', call => call.request.headers.append('x a', '1')],
    ['a field that frames', call => call.request.headers.set('Content-Length', '0')],
    ['a framing field taken off', call => void call.request.headers.remove('transfer-encoding')],
    ['a second host', call => call.request.headers.append('host', 'b')],
    ['a path with a line break', call => (call.request.path = '/a HTTP/1.1\r\nx: y')],
    ['a path that is none', call => (call.request.path = 'a')],
    ['an authority that is none', call => (call.request.authority = 'a b')],
    ['a reply with a status that is none', call => call.reply({ status: 100 })],
    ['a reply with a framing field', call => call.reply({ status: 200, headers: [['connection', 'close']] })],
  ])('%s', (_what, wrong) => {
    const { host, errors } = chainOf([call => ({ onRequest: () => wrong(call) })], { ended: true })
    host.chain.run()
    expect(host.seen[0]).toBe('head 500')
    expect(errors()).toBe(1)
  })

  it('a piece of another length, where it was not said that lengths change', () => {
    const { host, errors } = chainOf([() => ({ onRequestData: () => Buffer.from('longer') })])
    host.chain.run()
    host.data('x', true)
    expect([host.seen, errors()]).toEqual([['passed', 'head 500', "data HTTP filter 'f0' failed", 'end'], 1])
  })

  it('a response that would lose or gain its body by its status', () => {
    const { host, errors } = chainOf([() => ({ onResponse: response => void (response.status = 204) })], { ended: true })
    host.chain.run()
    host.chain.startResponse(responseHead(200), false)
    expect([host.response?.status, errors()]).toEqual([500, 1])
  })
})

describe('a filter that throws ends its request alone', () => {
  const boom = (): never => {
    throw new Error('boom')
  }
  it.each<[string, HttpStreamFilter]>([
    ['onRequest', { onRequest: boom }],
    ['onRequest, later', { onRequest: async () => boom() }],
    ['onResponse', { onResponse: boom }],
    ['onResponse, later', { onResponse: async () => boom() }],
    ['the rewriting of a body', { onResponse: (_response, call) => call.rewriteResponseBody(100, boom) }],
  ])('with 500: %s', async (_where, hooks) => {
    const { host, errors } = chainOf([() => hooks], { ended: true })
    host.chain.run()
    await turn()
    if (!host.ended) {
      host.chain.startResponse(responseHead(200), false)
      if (!host.ended) host.chain.responseData(Buffer.from('secret'), true)
    }
    await turn()
    expect([host.response?.status, host.seen.at(-1), errors()]).toEqual([500, 'end', 1])
    expect(host.seen.join()).not.toContain('secret')
  })

  it('where it has no hooks yet, and where it could not be created', () => {
    const { host, errors } = chainOf([boom], { ended: true })
    host.chain.run()
    expect([host.seen[0], errors()]).toEqual(['head 500', 1])

    const { env } = chainOf([])
    env.customFilters.set('test.Broken', { typeUrl: 'test.Broken', parseConfig: json => json, create: boom })
    const factories = env.factories([{ kind: 'custom', name: 'b', config: { typeName: 'test.Broken', config: {} } }])
    const broken = new FakeChainHost(requestHead(), true, factories)
    broken.chain.run()
    expect(broken.seen[0]).toBe('head 500')
  })

  it('and is not asked again: its response hooks do not see the 500', () => {
    let seen = 0
    const { host } = chainOf([() => ({ onRequest: boom, onResponse: () => void seen++ })], { ended: true })
    host.chain.run()
    expect([host.response?.status, seen]).toEqual([500, 0])
  })

  it('also at the end, where there is nobody left to tell', () => {
    const { host, errors } = chainOf([() => ({ onEnd: boom })], { ended: true })
    host.chain.run()
    host.chain.startResponse(responseHead(200), true)
    expect([host.seen, errors()]).toEqual([['passed', 'head 200 end'], 1])
  })
})

describe('onExplain', () => {
  it('says what would be decided of an imagined request; an exception in it is no more than unknown', async () => {
    const explain = async (onExplain: NonNullable<HttpStreamFilter['onExplain']>) => {
      const env = new FakeEnvironment()
      env.customFilters.set('test.F', { typeUrl: 'test.F', parseConfig: json => json, create: () => () => ({ onExplain }) })
      const [factory] = env.factories([{ kind: 'custom', name: 'f', config: { typeName: 'test.F', config: {} } }])
      const call = new FakeCall(requestHead({ path: '/x' }))
      return factory!.create(call)!.explain!(call, call.request)
    }
    expect(await explain(({ path }) => ({ verdict: 'denies', reason: `not ${path}`, status: 403 }))).toEqual({
      verdict: 'denies',
      reason: 'not /x',
      status: 403,
    })
    const broken = await explain(() => {
      throw new Error('oh')
    })
    expect(broken).toEqual({ verdict: 'unknown', reason: 'its onExplain failed: oh' })
  })
})

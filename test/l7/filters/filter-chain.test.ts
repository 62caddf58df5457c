import { describe, expect, it } from 'vitest'
import { HeaderList } from '../../../src/l7/codec/header-list.js'
import type { FilterCall, FilterFactory, StreamFilter } from '../../../src/l7/filters/http-filter.js'
import { requestControl } from '../../../src/l7/filters/request-control.js'
import { responseControl } from '../../../src/l7/filters/response-control.js'
import { requestHead, responseHead } from './fake-call.js'
import { FakeChainHost } from './fake-chain-host.js'

const factory = (filter: StreamFilter | ((call: FilterCall) => StreamFilter), more: Partial<FilterFactory> = {}): FilterFactory => ({
  name: 'f',
  disabled: false,
  create: call => (typeof filter === 'function' ? filter(call) : filter),
  ...more,
})
const start = (ended: boolean, ...factories: FilterFactory[]) => {
  const host = new FakeChainHost(requestHead({ method: ended ? 'GET' : 'POST' }), ended, factories)
  host.chain.run()
  return host
}
/** A factory that shows the call it was made for. */
const seeing = (filter: StreamFilter) => {
  const made = { call: null as unknown as FilterCall, factory: factory({}) }
  return Object.assign(made, {
    factory: factory(call => {
      made.call = call
      return filter
    }),
  })
}
const note = (log: string[], line: string) => {
  log.push(line)
  return 'continue' as const
}
/** Notes each hook under its name. */
const noting = (name: string, log: string[]): StreamFilter => ({
  requestHead: () => note(log, `${name} request`),
  responseHead: () => note(log, `${name} response`),
  finished: () => void log.push(`${name} finished`),
})

describe('the request', () => {
  it('passes the filters in order and the response in reverse', () => {
    const log: string[] = []
    const host = start(true, factory(noting('a', log)), factory(noting('b', log)))
    host.chain.startResponse(responseHead(), true)
    expect(log).toEqual(['a request', 'b request', 'b response', 'a response', 'a finished', 'b finished'])
    expect(host.seen).toEqual(['passed', 'head 200 end'])
  })

  it('skips a disabled filter', () => {
    const log: string[] = []
    start(true, factory(noting('a', log), { disabled: true }), factory(noting('b', log)))
    expect(log).toEqual(['b request'])
  })

  it('waits where a filter stops it, and goes on once with resume', () => {
    const own = seeing({ requestHead: () => 'stop' })
    const host = start(false, own.factory, factory({}))
    expect(host.seen).toEqual(['pause'])
    own.call.resume()
    own.call.resume()
    expect(host.seen).toEqual(['pause', 'passed'])
  })

  it('body bytes that came while a filter thought pass the filters before the request goes on', () => {
    const own = seeing({ requestHead: () => 'stop' })
    const upper: StreamFilter = { requestData: (_call, chunk) => Buffer.from(chunk.toString().toUpperCase()) }
    const host = start(false, own.factory, factory(upper))
    host.data('abc', false)
    own.call.resume()
    expect(host.body.whole().toString()).toBe('ABC')
    host.data('d', true)
    expect(host.seen.at(-1)).toBe('up D')
  })

  it('is refused where it outgrows what may be held', () => {
    const host = start(false, factory({ requestHead: () => 'stop' }))
    host.data('x'.repeat(300 * 1024), false)
    expect(host.seen).toContain('too large')
  })

  it('a filter collects a whole body within its own limit', () => {
    const bodies: string[] = []
    const collector = (maxBytes: number, allowPartial: boolean) =>
      factory({
        requestHead(call) {
          call.bufferRequest(maxBytes, allowPartial, (body, complete) => {
            bodies.push(`${body.toString()} ${complete}`)
            call.resume()
          })
          return 'stop'
        },
      })
    for (const [limit, partial] of [
      [10, false],
      [3, true],
      [3, false],
    ] as const) {
      const host = start(false, collector(limit, partial))
      host.data('ab', false)
      host.data('cd', true)
      expect(host.seen.includes('too large')).toBe(limit === 3 && !partial)
    }
    expect(bodies).toEqual(['abcd true', 'abc false'])
  })
})

describe("a filter that keeps the request's body back", () => {
  /** Keeps every chunk; the test sends them on. */
  const keeping = () => {
    const filter: StreamFilter = { requestData: () => null, requestTrailers: () => null }
    const made = seeing(filter)
    const emit = (text: string, end: boolean) => requestControl(made.call).emitRequestData(filter, Buffer.from(text), end)
    return Object.assign(made, { filter, emit })
  }
  const upper = factory({ requestData: (_call, chunk) => Buffer.from(chunk.toString().toUpperCase()) })

  it('ends the request itself, through the filters behind it', () => {
    const own = keeping()
    const host = start(false, own.factory, upper)
    host.endMark = ' end'
    host.data('abc', true)
    expect([host.seen, host.body.complete]).toEqual([['passed'], false])
    own.emit('x', false)
    expect(host.body.complete).toBe(false)
    own.emit('y', true)
    expect([host.seen, host.body.complete]).toEqual([['passed', 'up X', 'up Y end'], true])
  })

  it('keeps trailers back, and gives others', () => {
    const own = keeping()
    const host = start(false, own.factory)
    host.data('a', false)
    host.trailers()
    expect([host.seen, host.body.complete]).toEqual([['passed'], false])
    requestControl(own.call).emitRequestTrailers(own.filter, HeaderList.of(['x-t', '2']))
    expect([host.seen, host.body.complete, host.body.trailers?.get('x-t')]).toEqual([['passed', 'up trailers'], true, '2'])
  })

  it('is what a filter behind it collects from', () => {
    const own = keeping()
    const bodies: string[] = []
    const collector = factory({
      requestHead(call) {
        call.bufferRequest(10, false, (body, complete) => {
          bodies.push(`${body.toString()} ${complete}`)
          call.resume()
        })
        return 'stop'
      },
    })
    const host = start(false, own.factory, collector)
    host.data('zip', true)
    expect(bodies).toEqual([])
    own.emit('plain', true)
    expect([bodies, host.seen, host.body.whole().toString()]).toEqual([['plain true'], ['passed'], 'plain'])
  })

  it('sees what waited while it held the head, and an end that came alone', () => {
    const seen: string[] = []
    const own = seeing({
      requestHead: () => 'stop',
      requestData: (_call, chunk, end) => {
        seen.push(`${chunk.toString()}${end ? ' end' : ''}`)
        return chunk
      },
    })
    const host = start(false, own.factory)
    host.data('a', false)
    host.data('', true)
    own.call.resume()
    expect([seen, host.body.whole().toString(), host.seen.at(-1)]).toEqual([['a end'], 'a', 'passed'])
    const empty = start(false, own.factory)
    empty.data('', true)
    own.call.resume()
    expect(seen).toEqual(['a end', ' end'])
  })

  it('may pause the client, whom an upstream that drains does not wake', () => {
    const own = keeping()
    const host = start(false, own.factory)
    requestControl(own.call).pauseRequestBody()
    expect([host.seen.at(-1), host.chain.holdsClient]).toEqual(['pause', true])
    requestControl(own.call).unpauseRequestBody()
    expect(host.chain.holdsClient).toBe(false)
  })
})

describe('the response', () => {
  it('waits where a filter stops it, the upstream paused, and all of it follows', () => {
    const own = seeing({ responseHead: () => 'stop' })
    const host = start(true, own.factory)
    host.chain.startResponse(responseHead(), false)
    host.chain.responseData(Buffer.from('a'), false)
    host.chain.responseData(Buffer.from('b'), true)
    expect(host.seen).toEqual(['passed', 'pause upstream'])
    own.call.resumeResponse()
    expect(host.seen.slice(2)).toEqual(['head 200', 'data a', 'data b', 'end'])
  })

  it('waits again where the next filter stops what the first let go', () => {
    const calls: FilterCall[] = []
    const stopper = factory(of => {
      calls.push(of)
      return { responseHead: () => 'stop' }
    })
    const host = start(true, stopper, stopper)
    host.chain.startResponse(responseHead(), false)
    host.chain.responseData(Buffer.from('a'), true)
    calls[0]!.resumeResponse()
    expect(host.seen).toEqual(['passed'])
    calls[0]!.resumeResponse()
    expect(host.seen).toEqual(['passed', 'head 200', 'data a', 'end'])
  })

  it('a filter holds the whole body and changes it, within its limit', () => {
    const whole: StreamFilter = {
      responseHead(call) {
        responseControl(call).bufferResponse(4, body => ({ body: Buffer.from(body.toString().toUpperCase()), trailers: null }))
        return 'stop'
      },
    }
    const host = start(true, factory(whole))
    host.chain.startResponse(responseHead(), false)
    host.chain.responseData(Buffer.from('ab'), false)
    host.chain.responseTrailers(new HeaderList())
    expect(host.seen).toEqual(['passed', 'head 200', 'data AB', 'end'])
    const long = start(true, factory(whole))
    long.chain.startResponse(responseHead(), false)
    long.chain.responseData(Buffer.from('abcde'), false)
    expect(long.seen).toEqual(['passed', 'response too large'])
  })

  it('a local reply takes the place of what a filter holds back', () => {
    const host = start(true, factory({ responseHead: (_call, _head, _end, local) => (local ? 'continue' : 'stop') }))
    host.chain.startResponse(responseHead(), false)
    host.chain.responseData(Buffer.from('held'), false)
    host.reply({ status: 504, body: 'late', flag: 0, details: '' }, null)
    expect(host.seen.slice(2)).toEqual(['head 504', 'data late', 'end'])
  })

  it('of a filter passes the filters behind it only where they look at local replies', () => {
    const log: string[] = []
    start(
      true,
      factory({
        requestHead(call) {
          call.sendReply(403, '', '', 0)
          return 'stop'
        },
      }),
      factory(noting('sees', log), { seesLocalReplies: true }),
      factory(noting('blind', log)),
    )
    expect(log).toEqual(['sees response', 'sees finished'])
  })

  it('while a filter holds bytes the upstream stays paused, however the client drains', () => {
    const own = seeing({})
    const host = start(true, own.factory)
    responseControl(own.call).pauseResponse()
    responseControl(own.call).pauseResponse()
    responseControl(own.call).unpauseResponse()
    expect(host.chain.holdsUpstream).toBe(true)
    responseControl(own.call).unpauseResponse()
    expect(host.chain.holdsUpstream).toBe(false)
  })
})

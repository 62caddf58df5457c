// The contract of codec.ts, run against both protocols, both sides at once: a client codec and a server codec joined in memory. What a
// request path may rely on whatever the protocol is; what only one of them does is tested in its folder.
import { beforeEach, describe, expect, it } from 'vitest'
import type {
  ClientCodec,
  ClientEvents,
  ClientStream,
  Codec,
  RequestHead,
  ResponseHead,
  ServerStream,
  Transport,
} from '../../../src/l7/codec/codec.js'
import { HeaderList } from '../../../src/l7/codec/header-list.js'
import { Http1ClientCodec } from '../../../src/l7/codec/http1/client-codec.js'
import { Http1ServerCodec } from '../../../src/l7/codec/http1/server-codec.js'
import { Http2ClientCodec } from '../../../src/l7/codec/http2/client-codec.js'
import { Http2ServerCodec } from '../../../src/l7/codec/http2/server-codec.js'
import { LIMITS } from '../../support/http1-pair.js'
import { http2Options } from '../../support/http2-pair.js'
import { head } from '../request-fixtures.js'

/** One direction of the wire. Bytes move when `run` is called; none while the reader has paused them. */
class Wire implements Transport {
  readonly writableLength = 0
  ended = false
  destroyed = false
  paused = 0
  private bytes: Buffer[] = []
  write(data: Buffer | string): boolean {
    this.bytes.push(Buffer.from(data as string, 'latin1'))
    return true
  }
  end(): void {
    this.ended = true
  }
  destroy(): void {
    this.destroyed = true
  }
  pauseRead(): void {
    this.paused++
  }
  resumeRead(): void {
    this.paused--
  }
  take(): Buffer {
    const all = Buffer.concat(this.bytes)
    this.bytes = []
    return all
  }
}

class Pair {
  /** What each side heard, one line an event. */
  readonly atServer: string[] = []
  readonly atClient: string[] = []
  readonly streams: ServerStream[] = []
  readonly heads: RequestHead[] = []
  readonly client: ClientCodec
  readonly server: Codec
  private readonly up = new Wire()
  private readonly down = new Wire()

  constructor(protocol: 'http1' | 'http2') {
    const handler = {
      onRequest: (stream: ServerStream, request: RequestHead, end: boolean) => {
        this.atServer.push(`request ${request.method} ${request.path}${end ? ' end' : ''}`)
        this.heads.push(request)
        this.streams.push(stream)
        stream.events = events(this.atServer)
      },
      onBadRequest: () => void this.atServer.push('bad request'),
      onRefusedHead: () => {},
      onIdle: () => {},
      onHeadPending: () => {},
      onConnectionError: () => void this.atServer.push('broken'),
    }
    const owner = {
      onStreamFree: () => {},
      onStreamLimit: () => {},
      onDraining: () => void this.atClient.push('draining'),
      onConnectionError: () => void this.atClient.push('broken'),
    }
    if (protocol === 'http1') {
      this.client = new Http1ClientCodec(this.up, owner, { limits: LIMITS, headerCase: 'lower', enableTrailers: true })
      this.server = new Http1ServerCodec(this.down, handler, {
        limits: LIMITS,
        allowAbsoluteUrl: true,
        allowCustomMethods: true,
        headerCase: 'lower',
        enableTrailers: true,
      })
    } else {
      this.client = new Http2ClientCodec(this.up, owner, http2Options({ allowConnect: true }))
      this.server = new Http2ServerCodec(this.down, handler, http2Options({ allowConnect: true }))
      this.run()
    }
  }

  /** Until nothing moves any more. */
  run(): void {
    for (let moved = true; moved; ) {
      moved = false
      this.client.flush()
      this.server.flush()
      for (const [from, to, reader] of [
        [this.up, this.server, this.down],
        [this.down, this.client, this.up],
      ] as const) {
        if (reader.paused > 0 || reader.destroyed) continue
        const bytes = from.take()
        if (bytes.length === 0) continue
        moved = true
        to.feed(bytes)
      }
    }
    if (this.up.ended) this.server.onTransportEnd()
    if (this.down.ended) this.client.onTransportEnd()
    if (this.up.destroyed) this.server.onTransportClose({ code: 'connection-closed', details: 'gone' })
    if (this.down.destroyed) this.client.onTransportClose({ code: 'connection-closed', details: 'gone' })
  }

  open(request: Partial<RequestHead> = {}, end = true): ClientStream {
    const stream = this.client.newStream(clientEvents(this.atClient))!
    stream.sendHead(head('/a', { contentLength: end ? 0 : -1, ...request }), end)
    this.run()
    return stream
  }

  get stream(): ServerStream {
    return this.streams.at(-1)!
  }
}

function events(log: string[]) {
  return {
    onData: (chunk: Buffer, end: boolean) => {
      const last = log.at(-1)
      if (chunk.length > 0 && last?.startsWith('data ')) log[log.length - 1] = last + chunk.toString('latin1')
      else if (chunk.length > 0) log.push(`data ${chunk.toString('latin1')}`)
      if (end) log.push('end')
    },
    onTrailers: (trailers: HeaderList) => void log.push(`trailers ${trailers.get('x-t')}`),
    onReset: () => void log.push('reset'),
    onDrain: () => void log.push('drain'),
  }
}

function clientEvents(log: string[]): ClientEvents {
  return {
    ...events(log),
    onInformational: response => void log.push(`informational ${response.status}`),
    onHead: (response, end) => void log.push(`head ${response.status}${response.upgraded ? ' upgraded' : ''}${end ? ' end' : ''}`),
  }
}

const answer = (status: number, fields: Partial<ResponseHead> = {}): ResponseHead => ({
  status,
  reason: '',
  version: 'HTTP/1.1',
  headers: new HeaderList(),
  contentLength: -1,
  upgraded: false,
  ...fields,
})
const text = (value: string) => Buffer.from(value)

describe.each(['http1', 'http2'] as const)('%s', protocol => {
  let pair: Pair
  beforeEach(() => {
    pair = new Pair(protocol)
  })

  it('carries a request and a response that are heads alone', () => {
    pair.open()
    pair.stream.sendHead(answer(204), true)
    pair.run()
    expect([pair.atServer, pair.atClient]).toEqual([['request GET /a end'], ['head 204 end']])
    expect([pair.heads[0]!.authority, pair.client.activeStreams, pair.server.activeStreams]).toEqual(['api.example.com', 0, 0])
  })

  it('carries bodies both ways, and the end with the last byte', () => {
    const stream = pair.open({ method: 'POST' }, false)
    stream.sendData(text('ab'), false)
    stream.sendData(text('cd'), true)
    pair.run()
    pair.stream.sendHead(answer(200), false)
    pair.stream.sendData(text('ok'), true)
    pair.run()
    expect([pair.atServer, pair.atClient]).toEqual([
      ['request POST /a', 'data abcd', 'end'],
      ['head 200', 'data ok', 'end'],
    ])
  })

  it('ends with trailers where there are any', () => {
    const stream = pair.open({ method: 'POST' }, false)
    stream.sendData(text('a'), false)
    stream.sendTrailers(HeaderList.of(['x-t', '1']))
    pair.run()
    pair.stream.sendHead(answer(200), false)
    pair.stream.sendData(text('b'), false)
    pair.stream.sendTrailers(HeaderList.of(['x-t', '2']))
    pair.run()
    expect([pair.atServer.slice(1), pair.atClient.slice(1)]).toEqual([
      ['data a', 'trailers 1'],
      ['data b', 'trailers 2'],
    ])
  })

  it('gives informational responses before the final head', () => {
    pair.open()
    pair.stream.sendInformational(answer(103))
    pair.stream.sendHead(answer(200), true)
    pair.run()
    expect(pair.atClient).toEqual(['informational 103', 'head 200 end'])
  })

  it('keeps body events back from a paused reader, on either side, and gives them once it goes on', () => {
    const stream = pair.open({ method: 'POST' }, false)
    pair.stream.pause()
    stream.sendData(text('up'), true)
    pair.run()
    expect(pair.atServer).toEqual(['request POST /a'])
    pair.stream.resume()
    pair.run()
    expect(pair.atServer.slice(1)).toEqual(['data up', 'end'])
    pair.stream.sendHead(answer(200), false)
    pair.run()
    stream.pause()
    pair.stream.sendData(text('down'), true)
    pair.run()
    expect(pair.atClient).toEqual(['head 200'])
    stream.resume()
    pair.run()
    expect(pair.atClient.slice(1)).toEqual(['data down', 'end'])
  })

  it('says of a reset by the other side once, and nothing to the one who reset', () => {
    pair.open({ method: 'POST' }, false).reset('cancel')
    pair.run()
    expect(pair.atServer).toEqual(['request POST /a', 'reset'])
    expect(pair.atClient.filter(line => line === 'reset')).toEqual([])
    const other = new Pair(protocol)
    other.open({ method: 'POST' }, false)
    other.stream.sendHead(answer(200), false)
    other.run()
    other.stream.reset('internal-error')
    other.run()
    expect(other.atClient.filter(line => line === 'reset')).toHaveLength(1)
    expect(other.atServer.filter(line => line === 'reset')).toEqual([])
  })

  it('sends nothing more once the stream has ended or was reset', () => {
    const stream = pair.open({ method: 'POST' }, false)
    stream.sendData(text('a'), true)
    expect(stream.sendData(text('b'), true)).toBe(true)
    stream.sendTrailers(HeaderList.of(['x-t', '1']))
    pair.run()
    expect(pair.atServer.slice(1)).toEqual(['data a', 'end'])
  })

  it('a connection that is gone resets what runs, and nothing else', () => {
    pair.open({ method: 'POST' }, false)
    pair.client.onTransportClose({ code: 'connection-closed', details: 'x' })
    pair.server.onTransportClose({ code: 'connection-closed', details: 'x' })
    expect([pair.atClient, pair.atServer]).toEqual([['reset'], ['request POST /a', 'reset']])
    expect([pair.client.usable, pair.client.activeStreams, pair.server.activeStreams]).toEqual([false, 0, 0])
    expect(pair.client.newStream(clientEvents([]))).toBeNull()
  })

  it('finishes what runs when it drains, and takes nothing new', () => {
    pair.open()
    pair.server.drain()
    pair.run()
    pair.stream.sendHead(answer(200), true)
    pair.run()
    expect(pair.atClient.filter(line => line.startsWith('head'))).toEqual(['head 200 end'])
    expect([pair.client.usable, pair.atClient.includes('draining')]).toEqual([false, true])
  })

  it('closeAfter: this response is the last on the connection', () => {
    pair.open()
    pair.stream.closeAfter()
    pair.stream.sendHead(answer(200), true)
    pair.run()
    expect([pair.atClient.includes('head 200 end'), pair.client.usable]).toEqual([true, false])
  })

  it('a stream may be reset from inside any of its events', () => {
    for (const at of ['onHead', 'onData'] as const) {
      const own = new Pair(protocol)
      const log: string[] = []
      let stream: ClientStream | null = null
      const hooked = { ...clientEvents(log) }
      hooked[at] = () => {
        log.push('reset here')
        stream!.reset('cancel')
      }
      stream = own.client.newStream(hooked)
      stream!.sendHead(head('/a'), true)
      own.run()
      own.stream.sendHead(answer(200), false)
      own.stream.sendData(text('x'), false)
      own.run()
      expect(log.slice(log.indexOf('reset here'))).toEqual(['reset here'])
    }
  })

  it('an upgrade becomes a tunnel whose two directions end apart', () => {
    const request = protocol === 'http1' ? { upgrade: 'websocket' } : { method: 'CONNECT', upgrade: 'websocket', scheme: 'http' }
    const stream = pair.open({ ...request, contentLength: -1 }, false)
    pair.stream.sendHead(answer(protocol === 'http1' ? 101 : 200, { upgraded: true }), false)
    pair.run()
    expect(pair.atClient).toEqual([expect.stringMatching(/^head (101|200) upgraded$/)])
    stream.sendData(text('ping'), true)
    pair.run()
    expect(pair.atServer.slice(1, 2)).toEqual(['data ping'])
    pair.stream.sendData(text('pong'), true)
    pair.run()
    expect(pair.atClient.slice(1, 2)).toEqual(['data pong'])
  })
})

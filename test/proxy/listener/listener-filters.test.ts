// Listener filters over a socket that is only events: what each finds, who keeps which bytes, how it ends.
import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import { ListenerFilterStats } from '../../../src/metrics/stat-names.js'
import { StatsStore } from '../../../src/metrics/stats-store.js'
import type { Listener } from '../../../src/model/listener.js'
import { FirstBytes } from '../../../src/proxy/listener/first-bytes.js'
import { FirstRecordInspector, type FoundOnConnection, listenerFilters } from '../../../src/proxy/listener/listener-filters.js'

class FakeSocket extends EventEmitter {
  paused = true
  pause(): void {
    this.paused = true
  }
  resume(): void {
    this.paused = false
  }
}

interface Asked {
  readonly proxy?: { readonly allowWithout: boolean }
  readonly tls?: boolean
  readonly http?: boolean
}

function begin({ proxy = undefined, tls = false, http = false }: Asked) {
  const found: FoundOnConnection = {
    localAddress: '10.0.0.1',
    localPort: 80,
    serverName: '',
    transportProtocol: '',
    applicationProtocols: [],
    directSourceAddress: '10.0.0.2',
    sourceAddress: '10.0.0.2',
    sourcePort: 1,
  }
  const stats = new ListenerFilterStats(new StatsStore())
  const model = { proxyProtocol: proxy ?? null } as Listener
  const inspectors = listenerFilters(model, { needsClientHello: tls, needsHttpHello: http }, found, stats)
  const socket = new FakeSocket()
  const ends: string[] = []
  const first = new FirstBytes(socket as unknown as Socket, null, inspectors, {
    onInspected: early => ends.push(`on: ${early?.toString('latin1') ?? ''}`),
    onRefused: reason => ends.push(`refused: ${reason}`),
    onLeft: () => ends.push('left'),
  })
  first.start()
  const send = (text: string): void => void socket.emit('data', Buffer.from(text, 'latin1'))
  return { found, stats, socket, first, ends, send }
}

describe('listener filters', () => {
  it('without any are over at once', () => {
    const { ends, socket } = begin({})
    expect(ends).toEqual(['on: '])
    expect(socket.listenerCount('data')).toBe(0)
  })

  it('http_inspector behind tls_inspector names the protocol of clear text and keeps its bytes', () => {
    const { ends, found, stats, send, socket } = begin({ tls: true, http: true })
    send('GET / HT')
    expect(ends).toEqual([])
    send('TP/1.1\r\n')
    expect(ends).toEqual(['on: GET / HTTP/1.1\r\n'])
    expect(found).toMatchObject({ transportProtocol: 'raw_buffer', applicationProtocols: ['http/1.1'] })
    expect(stats.tlsInspector.tls_not_found.value).toBe(1)
    expect(stats.httpInspector.http11_found.value).toBe(1)
    expect(socket.paused).toBe(true)
  })

  it('the PROXY header alone is taken off; what stands behind it is looked at by the next', () => {
    const { ends, found, send } = begin({ proxy: { allowWithout: false }, http: true })
    send('PROXY TCP4 192.0.2.1 192.0.2.2 1000 2000\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
    expect(ends).toEqual(['on: PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'])
    expect(found).toMatchObject({ sourceAddress: '192.0.2.1', sourcePort: 1000, localAddress: '192.0.2.2', localPort: 2000 })
    expect(found.applicationProtocols).toEqual(['h2c'])
  })

  it('a PROXY header alone leaves nothing, and the next waits for the client', () => {
    const { ends, send, found } = begin({ proxy: { allowWithout: false }, http: true })
    send('PROXY UNKNOWN\r\n')
    expect(ends).toEqual([])
    send('no http here\n')
    expect(ends).toEqual(['on: no http here\n'])
    expect(found.applicationProtocols).toEqual([])
  })

  it.each([
    ['other bytes', 'hello', 'refused: no PROXY protocol header: other bytes'],
    ['a broken one', 'PROXY TCP4 nonsense\r\n', 'refused: no PROXY protocol header: not two addresses of that family'],
  ])('refuses %s where a PROXY header is needed', (_name, bytes, end) => {
    const { ends, send, socket } = begin({ proxy: { allowWithout: false } })
    send(bytes)
    expect(ends).toEqual([end])
    expect(socket.listenerCount('data') + socket.listenerCount('end')).toBe(0)
  })

  it('lets other bytes pass where it may be missing', () => {
    const { ends, send } = begin({ proxy: { allowWithout: true } })
    send('hello')
    expect(ends).toEqual(['on: hello'])
  })

  it('a client that leaves early is reported once', () => {
    const { ends, socket, first } = begin({ http: true })
    socket.emit('end')
    expect(ends).toEqual(['left'])
    expect(socket.listenerCount('data')).toBe(0)
    first.stop()
    expect(ends).toEqual(['left'])
  })

  it('goes on with what has come when it is told to give up', () => {
    const { ends, send, first } = begin({ tls: true })
    send('\x16\x03\x01')
    first.giveUp()
    expect(ends).toEqual(['on: \x16\x03\x01'])
  })
})

describe('FirstRecordInspector', () => {
  const look = (text: string): string => new FirstRecordInspector().look(Buffer.from(text, 'latin1')).kind

  it('waits for the whole first record of a handshake, of which TLS then sees every byte', () => {
    expect(look('\x16')).toBe('more')
    expect(look('\x16\x03\x01\x00')).toBe('more')
    expect(look('\x16\x03\x01\x00\x03ab')).toBe('more')
    expect(look('\x16\x03\x01\x00\x03abc')).toBe('done')
    expect(look('\x16\x03\x01\x00\x03abc and more')).toBe('done')
  })

  it.each([
    ['clear text', 'G'],
    ['an alert', '\x15'],
    ['a record that is too long', '\x16\x03\x01\xff\xff'],
  ])('leaves %s to TLS at once, which refuses it', (_name, text) => {
    expect(look(text)).toBe('done')
  })
})

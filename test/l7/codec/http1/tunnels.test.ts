// Upgrades and CONNECT through both codecs: nothing travels before the upstream has accepted, refused ones end their connections,
// each direction ends by itself, and the two ways of asking (HTTP/1.1 Upgrade, HTTP/2 extended CONNECT) meet.

import { describe, expect, it } from 'vitest'
import { HeaderList } from '../../../../src/l7/codec/header-list.js'
import { MAX_EARLY_TUNNEL_BYTES } from '../../../../src/l7/codec/http1/client-stream.js'
import { clientEnd, request, response, serverEnd } from '../../../support/http1-pair.js'

const text = (body: string): Buffer => Buffer.from(body, 'latin1')
const UPGRADE = 'GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'
const CONNECT = 'CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n'
const ACCEPTED = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n'
const PIPELINED = 'GET /evil HTTP/1.1\r\nHost: a\r\n\r\n'
const RESET = 'upstream_reset_before_response_started{protocol_error}'
const switching = () => response(101, [['Upgrade', 'WebSocket']], { upgraded: true })

describe('downstream', () => {
  it('CVE-2026-73548, CVE-2026-2833: bytes behind an upgrade request wait for the 101', () => {
    const end = serverEnd()
    end.feed(UPGRADE + PIPELINED)
    end.codec.onTransportDrain()
    expect(end.events).toEqual(['request GET |a|/x HTTP/1.1 length=-1 upgrade=websocket '])
    expect(end.transport.pauses).toBe(1)
    end.stream.sendHead(switching(), false)
    expect(end.transport.take()).toBe('HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nconnection: upgrade\r\n\r\n')
    expect(end.events.slice(1)).toEqual([`data ${PIPELINED}`])
    expect(end.transport.pauses).toBe(0)
    end.feed('more')
    expect(end.events.at(-1)).toBe(`data more`)
  })
  it('CVE-2026-73548: a refused upgrade closes the connection, the bytes behind it are dropped', () => {
    for (const status of [200, 403, 426]) {
      const end = serverEnd()
      end.feed(UPGRADE + PIPELINED)
      end.stream.sendHead(response(status), true)
      expect(end.transport.take()).toMatch(/connection: close\r\n/)
      expect(end.transport.ended).toBe(true)
      expect(end.transport.pauses).toBe(0)
      expect(end.events).toHaveLength(1)
    }
  })
  it('CVE-2025-64763: CONNECT with early data is held until the 2xx, dropped with another answer', () => {
    const accepted = serverEnd()
    accepted.feed(`${CONNECT}early`)
    expect(accepted.events).toHaveLength(1)
    accepted.stream.sendHead(
      response(
        200,
        [
          ['Content-Length', '5'],
          ['Transfer-Encoding', 'chunked'],
        ],
        { upgraded: true },
      ),
      false,
    )
    expect(accepted.transport.take()).toBe('HTTP/1.1 200 OK\r\n\r\n')
    expect(accepted.events.at(-1)).toBe('data early')
    const refused = serverEnd()
    refused.feed(`${CONNECT}early`)
    refused.stream.sendHead(response(403), true)
    expect(refused.events).toHaveLength(1)
    expect(refused.transport.ended).toBe(true)
  })
  it('CVE-2024-23326: a 200 that is marked as no upgrade stays an ordinary response', () => {
    const end = serverEnd()
    end.feed(UPGRADE)
    end.stream.sendHead(response(200, [['Content-Length', '2']]), false)
    end.stream.sendData(text('ok'), true)
    expect(end.transport.take()).toBe('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nconnection: close\r\n\r\nok')
  })
  it('an accepted head for a request that asked for nothing is no tunnel', () => {
    const end = serverEnd()
    end.feed('GET /x HTTP/1.1\r\nHost: a\r\n\r\n')
    end.stream.sendHead(response(200, [], { upgraded: true }), true)
    expect(end.transport.open).toBe(true)
    expect(end.events.at(-1)).toBe('idle')
  })
  it('an HTTP/2 upstream’s 200 becomes the 101 of RFC 6455, with the accept key', () => {
    const end = serverEnd()
    end.feed(UPGRADE.replace('\r\n\r\n', '\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'))
    end.stream.sendHead({ ...response(101, [['Sec-WebSocket-Protocol', 'chat']], { upgraded: true }), version: 'HTTP/2' }, false)
    expect(end.transport.take()).toBe(
      'HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Protocol: chat\r\nconnection: upgrade\r\nupgrade: websocket\r\n' +
        'sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n',
    )
  })
  it('each direction ends by itself; after both nothing is left', () => {
    const localFirst = serverEnd()
    localFirst.feed(UPGRADE)
    localFirst.stream.sendHead(switching(), false)
    localFirst.stream.sendData(text('bye'), true)
    expect(localFirst.transport.ended).toBe(true)
    localFirst.feed('still here')
    expect(localFirst.events.at(-1)).toBe('data still here')
    expect(localFirst.codec.activeStreams).toBe(1)
    localFirst.codec.onTransportEnd()
    expect(localFirst.events.at(-1)).toBe('end')
    expect(localFirst.codec.activeStreams).toBe(0)
    expect(localFirst.transport.destroyed).toBe(false)

    const remoteFirst = serverEnd()
    remoteFirst.feed(UPGRADE)
    remoteFirst.stream.sendHead(switching(), false)
    remoteFirst.codec.onTransportEnd()
    remoteFirst.codec.onTransportEnd()
    expect(remoteFirst.events.slice(1)).toEqual(['end'])
    remoteFirst.transport.take()
    remoteFirst.stream.sendData(text('rest'), false)
    remoteFirst.stream.sendData(text('!'), true)
    expect(remoteFirst.transport.take()).toBe('rest!')
    expect(remoteFirst.transport.ended).toBe(true)
    expect(remoteFirst.codec.activeStreams).toBe(0)
    remoteFirst.codec.onTransportClose({ code: 'connection-closed', details: 'x' })
    expect(remoteFirst.events.some(line => line.startsWith('reset'))).toBe(false)
  })
  it('a FIN behind bytes that wait for a pause comes after them, even when the socket is gone', () => {
    const end = serverEnd()
    end.feed(UPGRADE)
    end.stream.sendHead(switching(), false)
    end.stream.pause()
    end.feed('last words')
    end.codec.onTransportEnd()
    end.stream.sendData(text(''), true)
    end.codec.onTransportClose({ code: 'connection-closed', details: 'x' })
    expect(end.events).toHaveLength(1)
    end.stream.resume()
    expect(end.events.slice(1)).toEqual(['data last words', 'end'])
    expect(end.codec.activeStreams).toBe(0)
    expect(end.transport.pauses).toBe(0)
  })
  it('aborts: by the peer one reset, by us none', () => {
    const peer = serverEnd()
    peer.feed(UPGRADE)
    peer.stream.sendHead(switching(), false)
    peer.codec.onTransportClose({ code: 'connection-closed', details: 'gone' })
    expect(peer.events.slice(1)).toEqual(['reset connection-closed gone'])
    const local = serverEnd()
    local.feed(UPGRADE)
    local.stream.sendHead(switching(), false)
    local.stream.pause()
    local.stream.reset('connect-error')
    expect(local.transport.ended).toBe(true)
    expect(local.transport.pauses).toBe(0)
    expect(local.events).toHaveLength(1)
  })
})

describe('upstream', () => {
  const upgrade = (more = {}) =>
    request({ upgrade: 'websocket', contentLength: -1, headers: HeaderList.of(['Sec-WebSocket-Key', 'k']), ...more })

  it('the request carries Connection and Upgrade; the 101 opens the tunnel', () => {
    const end = clientEnd()
    const stream = end.open()
    stream.sendHead(upgrade(), false)
    expect(end.transport.take()).toBe(
      'GET /x HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: k\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
    )
    end.feed(`${ACCEPTED}frames`)
    expect(end.events).toEqual(['head 101 Switching Protocols length=-1 upgraded Upgrade=WebSocket', 'data frames'])
    expect(stream.sendData(text('mine'), false)).toBe(true)
    expect(end.transport.take()).toBe('mine')
  })
  it('HTTP/2 extended CONNECT becomes GET with Upgrade and the two fields that RFC 6455 wants', () => {
    const end = clientEnd()
    end.open().sendHead(request({ method: 'CONNECT', upgrade: 'websocket', path: '/chat', contentLength: -1, hostName: 'host' }), false)
    expect(end.transport.take()).toMatch(
      /^GET \/chat HTTP\/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: [A-Za-z0-9+/]{22}==\r\nsec-websocket-version: 13\r\n\r\n$/,
    )
    end.feed(ACCEPTED)
    expect(end.events[0]).toMatch(/^head 101 .* upgraded/)
  })
  it('a 2xx to an extended CONNECT is not success (RFC 8441 §5)', () => {
    const end = clientEnd()
    end.open().sendHead(request({ method: 'CONNECT', upgrade: 'websocket', path: '/chat' }), false)
    end.feed('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
    expect(end.events).toEqual([`reset protocol-error ${RESET}`, `broken ${RESET}`])
  })
  it('CVE-2026-73548: tunnel bytes wait for the 101, then go out in order', () => {
    const end = clientEnd()
    const stream = end.open()
    stream.sendHead(upgrade(), false)
    end.transport.take()
    expect(stream.sendData(text('one '), false)).toBe(false)
    expect(stream.sendData(text('two'), false)).toBe(false)
    expect(end.transport.take()).toBe('')
    end.feed(ACCEPTED)
    expect(end.transport.take()).toBe('one two')
    expect(end.events.at(-1)).toBe('drain')
    const patient = clientEnd()
    const impatient = patient.open()
    impatient.sendHead(upgrade(), false)
    const chunk = Buffer.alloc(MAX_EARLY_TUNNEL_BYTES)
    impatient.sendData(chunk, false)
    impatient.sendData(text('x'), false)
    expect(patient.events).toEqual(['draining', 'reset local http1.early_tunnel_data'])
  })
  it('CVE-2026-73548: a refused upgrade’s connection is closed after the response, never pooled', () => {
    const end = clientEnd()
    const stream = end.open()
    stream.sendHead(upgrade(), false)
    stream.sendData(text(PIPELINED), false)
    end.transport.take()
    end.feed('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    expect(end.events).toEqual(['head 200 OK length=2 Content-Length=2', 'data ok', 'end', 'draining'])
    expect(end.transport.take()).toBe('')
    expect(end.transport.destroyed).toBe(true)
    expect(end.codec.usable).toBe(false)
  })
  it('a 101 to another protocol than the one asked for is refused (RFC 9110 §7.8); one without Upgrade means what was asked', () => {
    const other = clientEnd()
    other.open().sendHead(upgrade(), false)
    other.feed(ACCEPTED.replace('WebSocket', 'h2c'))
    expect(other.events[0]).toBe(`reset protocol-error ${RESET}`)
    const silent = clientEnd()
    silent.open().sendHead(upgrade(), false)
    silent.feed('HTTP/1.1 101 Switching Protocols\r\n\r\n')
    expect(silent.events).toEqual(['head 101 Switching Protocols length=-1 upgraded Upgrade=websocket'])
  })
  it('CONNECT: authority form, no framing, a 2xx opens the tunnel whatever its fields say (RFC 9112 §6.3)', () => {
    const end = clientEnd()
    const stream = end.open()
    stream.sendHead(request({ method: 'CONNECT', authority: 'b:443', path: '', contentLength: -1 }), false)
    expect(end.transport.take()).toBe('CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n')
    end.feed('HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n')
    expect(end.events).toEqual(['head 200 OK length=-1 upgraded ', 'data 5\r\n'])
    const refused = clientEnd()
    refused.open().sendHead(request({ method: 'CONNECT', authority: 'b:443', path: '', contentLength: -1 }), false)
    refused.feed('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno')
    expect(refused.events.at(-1)).toBe('draining')
  })
  it('each direction ends by itself; after both nothing is left and nothing was cut off', () => {
    for (const first of ['local', 'remote'] as const) {
      const end = clientEnd()
      const stream = end.open()
      stream.sendHead(upgrade(), false)
      end.feed(ACCEPTED)
      end.transport.take()
      if (first === 'remote') {
        end.codec.onTransportEnd()
        expect(end.events.at(-1)).toBe('end')
      }
      stream.sendData(text('bye'), true)
      expect(end.transport.take()).toBe('bye')
      expect(end.transport.ended).toBe(true)
      if (first === 'local') {
        end.feed('late')
        expect(end.events.at(-1)).toBe('data late')
        end.codec.onTransportEnd()
      }
      expect(end.events.slice(-2)).toEqual(['end', 'draining'])
      expect(end.codec.activeStreams).toBe(0)
      expect(end.transport.destroyed).toBe(false)
    }
  })
  it('an abort destroys the connection', () => {
    const end = clientEnd()
    const stream = end.open()
    stream.sendHead(upgrade(), false)
    end.feed(ACCEPTED)
    stream.pause()
    stream.reset('cancel')
    expect(end.transport.destroyed).toBe(true)
    expect(end.transport.pauses).toBe(0)
    expect(end.events.at(-1)).toBe('draining')
  })
})

describe('through both codecs', () => {
  it('an upgrade joins the two ends byte for byte, and ends when both have', () => {
    const down = serverEnd()
    const up = clientEnd()
    down.feed(`${UPGRADE}early`)
    const client = up.open({
      onHead: (head, last) => down.stream.sendHead(head, last),
      onData: (chunk, last) => void down.stream.sendData(chunk, last),
    })
    down.stream.events = {
      onData: (chunk, last) => void client.sendData(chunk, last),
      onTrailers() {},
      onReset() {},
      onDrain() {},
    }
    client.sendHead(down.heads[0]!, false)
    expect(up.transport.take()).not.toContain('early')
    up.feed(`${ACCEPTED}hello`)
    expect(down.transport.take()).toMatch(/^HTTP\/1.1 101 Switching Protocols\r\n.*\r\n\r\nhello$/s)
    expect(up.transport.take()).toBe('early')
    down.codec.onTransportEnd()
    expect(up.transport.ended).toBe(true)
    up.feed('tail')
    up.codec.onTransportEnd()
    expect(down.transport.take()).toBe('tail')
    expect([down.transport.ended, down.codec.activeStreams, up.codec.activeStreams]).toEqual([true, 0, 0])
  })
})

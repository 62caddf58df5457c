import { describe, expect, it } from 'vitest'
import { readHttpHello } from '../../../src/proxy/listener/http-hello.js'

const read = (text: string): string => readHttpHello(Buffer.from(text, 'latin1'))

describe('readHttpHello', () => {
  it.each([
    ['GET / HTTP/1.1\r\n', 'http/1.1'],
    ['POST /a b HTTP/1.0\r\nhost: a\r\n', 'http/1.0'],
    ['GET / HTTP/1.1\n', 'http/1.1'],
    ['BREW /pot HTTP/1.1\r\n', 'http/1.1'],
    ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'h2c'],
    ['PRI * HTTP/2.0\r\n\r\nXX', 'none'],
    ['GET / HTTP/3.0\r\n', 'none'],
    ['GET /\r\n', 'none'],
    ['SSH-2.0-OpenSSH_9\r\n', 'none'],
    ['\x16\x03\x01', 'none'],
    [`${'A'.repeat(40)}`, 'none'],
    [`GET /${'a'.repeat(70_000)}`, 'none'],
  ])('%j is %s', (bytes, kind) => {
    expect(read(bytes)).toBe(kind)
  })

  it.each(['G', 'GET', 'GET / HT', 'PRI * HTTP/2.0\r\n', 'PRI'])('waits after %j', bytes => {
    expect(read(bytes)).toBe('more')
  })

  it('decides the same however the bytes are cut', () => {
    for (const text of ['GET / HTTP/1.1\r\n', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'])
      for (let cut = 1; cut < text.length; cut++) expect(['more', read(text)]).toContain(read(text.slice(0, cut)))
  })
})

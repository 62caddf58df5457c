import { describe, expect, it } from 'vitest'
import { parseProxyHeader } from '../../../src/proxy/listener/proxy-protocol.js'

const v1 = (line: string) => parseProxyHeader(Buffer.from(line, 'latin1'))
const SIGNATURE = '\r\n\r\n\0\r\nQUIT\n'

function v2(command: number, family: number, block: Buffer, rest = ''): Buffer {
  const size = Buffer.alloc(2)
  size.writeUInt16BE(block.length)
  return Buffer.concat([Buffer.from(SIGNATURE, 'latin1'), Buffer.from([command, family]), size, block, Buffer.from(rest)])
}
const IPV4 = Buffer.from([9, 8, 7, 6, 10, 0, 0, 1, 0x04, 0xd2, 0x01, 0xbb])

describe('the PROXY protocol header', () => {
  it('of version 1 names both ends, and UNKNOWN none', () => {
    expect(v1('PROXY TCP4 9.8.7.6 10.0.0.1 1234 443\r\nGET /')).toEqual({
      kind: 'found',
      length: 38,
      addresses: { sourceAddress: '9.8.7.6', sourcePort: 1234, destinationAddress: '10.0.0.1', destinationPort: 443 },
    })
    expect(v1('PROXY TCP6 2001:db8::1 ::1 1 2\r\n')).toMatchObject({ kind: 'found', addresses: { sourceAddress: '2001:db8::1' } })
    expect(v1('PROXY UNKNOWN anything at all\r\n')).toMatchObject({ kind: 'found', length: 31, addresses: null })
  })

  it.each([
    'PROXY TCP4 9.8.7.6 10.0.0.1 1234\r\n',
    'PROXY TCP4 9.8.7.6 10.0.0.1 1234 99999\r\n',
    'PROXY TCP4 ::1 ::1 1 2\r\n',
    'PROXY TCP4 9.8.7.6 10.0.0.1 1 2 3\r\n',
    'PROXY UDP4 9.8.7.6 10.0.0.1 1 2\r\n',
    'PROXY TCP4 9.8.7.6 10.0.0.1 1 2 \r\n',
    'PROXY TCP4 9.8.7.6 10.0.0.1 +1 2\r\n',
    `PROXY TCP4 ${'1'.repeat(120)}`,
    `PROXY UNKNOWN ${'1'.repeat(120)}\r\n`,
  ])('of version 1 is refused when it is broken: %j', line => {
    expect(v1(line)).toMatchObject({ kind: 'bad', reason: expect.any(String) })
  })

  it('of version 2 names both ends, skips TLVs, and LOCAL names none', () => {
    expect(parseProxyHeader(v2(0x21, 0x11, IPV4, 'rest'))).toEqual({
      kind: 'found',
      length: 28,
      addresses: { sourceAddress: '9.8.7.6', sourcePort: 1234, destinationAddress: '10.0.0.1', destinationPort: 443 },
    })
    const withTlv = Buffer.concat([IPV4, Buffer.from([4, 0, 1, 7])])
    expect(parseProxyHeader(v2(0x21, 0x11, withTlv))).toMatchObject({ length: 32, addresses: { sourcePort: 1234 } })
    const ipv6 = Buffer.alloc(36)
    ipv6[15] = 1
    expect(parseProxyHeader(v2(0x21, 0x21, ipv6))).toMatchObject({ addresses: { sourceAddress: '::1' } })
    expect(parseProxyHeader(v2(0x20, 0x00, Buffer.alloc(0)))).toEqual({ kind: 'found', length: 16, addresses: null })
  })

  it.each([
    ['an unknown version', v2(0x31, 0x11, IPV4)],
    ['an unknown command', v2(0x22, 0x11, IPV4)],
    ['UDP', v2(0x21, 0x12, IPV4)],
    ['addresses cut off', v2(0x21, 0x11, IPV4.subarray(0, 8))],
    ['more than the bound', v2(0x21, 0x11, Buffer.alloc(0xffff))],
  ])('of version 2 is refused with %s', (_what, bytes) => {
    expect(parseProxyHeader(bytes)).toMatchObject({ kind: 'bad' })
  })

  it.each([[3], [1, 0, 5, 0x68, 0x32], [4, 0, 0, 9]])('of version 2 is refused when a TLV of it is cut off: %j', (...tlv) => {
    expect(parseProxyHeader(v2(0x21, 0x11, Buffer.concat([IPV4, Buffer.from(tlv)])))).toEqual({ kind: 'bad', reason: 'a TLV is cut off' })
  })

  it('is the same however it is cut, and other bytes are none', () => {
    for (const whole of [v2(0x21, 0x11, IPV4), Buffer.from('PROXY TCP4 9.8.7.6 10.0.0.1 1234 443\r\n')]) {
      for (let i = 1; i < whole.length; i++) expect(parseProxyHeader(whole.subarray(0, i)), String(i)).toEqual({ kind: 'more' })
      expect(parseProxyHeader(whole).kind).toBe('found')
    }
    expect(parseProxyHeader(Buffer.from('GET / HTTP/1.1'))).toEqual({ kind: 'none' })
    expect(parseProxyHeader(Buffer.from('PROXIED'))).toEqual({ kind: 'none' })
  })
})

import { describe, expect, it } from 'vitest'
import { applyXfcc } from '../../../src/l7/stream/xfcc.js'
import type { XfccMode } from '../../../src/model/http-connection-manager.js'
import type { PeerIdentity } from '../../../src/mtls/peer/peer-identity.js'
import { connection, head, peer, tls } from '../request-fixtures.js'

const NONE = { subject: false, cert: false, chain: false, dns: false, uri: false }
const ALL = { subject: true, cert: true, chain: true, dns: true, uri: true }
const PEM = '-----BEGIN CERTIFICATE-----\nAb+/=\n-----END CERTIFICATE-----\n'
const ENCODED = '-----BEGIN%20CERTIFICATE-----%0AAb%2B%2F%3D%0A-----END%20CERTIFICATE-----%0A'
const WEB = {
  uriSans: ['spiffe://td/web'],
  dnsSans: ['web.a', 'web.b'],
  sha256: 'ab12',
  subject: 'CN=web,O=x',
  pem: PEM,
  chainPem: PEM + PEM,
}

function forwarded(mode: XfccMode, details = NONE, fields: Partial<PeerIdentity> | null = WEB, before: string[] = []) {
  const request = head(
    '/',
    {},
    before.map(value => ['x-forwarded-client-cert', value] as const),
  )
  const of = connection({ tls: tls({ peer: fields === null ? null : peer(fields), localUriSans: ['spiffe://td/api'] }) })
  applyXfcc(request, of, mode, details)
  return request.headers.getAll('x-forwarded-client-cert')
}

describe('modes', () => {
  const mine = 'By=spiffe://td/api;Hash=ab12'
  it.each([
    ['SANITIZE', []],
    ['FORWARD_ONLY', ['old']],
    ['APPEND_FORWARD', [`old,${mine}`]],
    ['SANITIZE_SET', [mine]],
    ['ALWAYS_FORWARD_ONLY', ['old']],
  ] as const)('%s with a client certificate', (mode, expected) => {
    expect(forwarded(mode, NONE, WEB, ['old'])).toEqual(expected)
  })

  it.each([
    ['SANITIZE', []],
    ['FORWARD_ONLY', []],
    ['APPEND_FORWARD', []],
    ['SANITIZE_SET', []],
    ['ALWAYS_FORWARD_ONLY', ['spoofed']],
  ] as const)('%s without one takes a spoofed header off, except where it must not (consul#12878)', (mode, expected) => {
    expect(forwarded(mode, ALL, null, ['spoofed'])).toEqual(expected)
    const plain = head('/', {}, [['X-Forwarded-Client-Cert', 'spoofed']])
    applyXfcc(plain, connection(), mode, ALL)
    expect(plain.headers.getAll('x-forwarded-client-cert')).toEqual(expected)
  })

  it('joins several headers into the one it appends to', () => {
    expect(forwarded('APPEND_FORWARD', NONE, WEB, ['a', 'b'])).toEqual([`a,b,${mine}`])
    expect(forwarded('APPEND_FORWARD')).toEqual([mine])
  })
})

it('writes all details in Envoy’s order and encoding', () => {
  expect(forwarded('SANITIZE_SET', ALL)).toEqual([
    `By=spiffe://td/api;Hash=ab12;Cert="${ENCODED}";Chain="${ENCODED}${ENCODED}";Subject="CN=web,O=x";URI=spiffe://td/web;DNS=web.a;DNS=web.b`,
  ])
})

it('keeps Subject and URI when the certificate has none', () => {
  expect(forwarded('SANITIZE_SET', ALL, {})).toEqual(['By=spiffe://td/api;Subject="";URI='])
})

it('gives each set of details its own text on one connection', () => {
  const of = connection({ tls: tls({ peer: peer(WEB) }) })
  const values = [NONE, ALL, NONE].map(details => {
    const request = head()
    applyXfcc(request, of, 'SANITIZE_SET', details)
    return request.headers.get('x-forwarded-client-cert')!.includes('URI=')
  })
  expect(values).toEqual([false, true, false])
})

describe('names that try to be more than names (CVE-2023-27493)', () => {
  it('encodes control characters and separators', () => {
    expect(
      forwarded(
        'SANITIZE_SET',
        { ...NONE, uri: true, dns: true },
        { uriSans: ['spiffe://td/x\r\nevil: 1'], dnsSans: ['a;URI=spiffe://td/admin,b"'] },
      ),
    ).toEqual(['By=spiffe://td/api;URI=spiffe://td/x%0D%0Aevil:%201;DNS=a%3BURI=spiffe://td/admin%2Cb%22'])
  })

  it('can’t be read as another identity by Consul’s regex for peered sources', () => {
    const [value] = forwarded(
      'SANITIZE_SET',
      { ...NONE, uri: true, dns: true, subject: true },
      {
        uriSans: ['https://x;URI=spiffe://td/ns/default/dc/dc1/svc/admin,y'],
        dnsSans: ['x;URI=spiffe://td/ns/default/dc/dc1/svc/admin'],
        subject: 'CN=";URI=spiffe://td/ns/default/dc/dc1/svc/admin',
      },
    )
    expect(value).not.toMatch(/^[^,]+;URI=spiffe:\/\/td\/ns\/default\/dc\/[^/]+\/svc\/admin(?:,.*)?$/)
  })

  it('escapes quotes in the subject, once', () => {
    expect(forwarded('SANITIZE_SET', { ...NONE, subject: true }, { subject: 'CN="a\\"b\\\\"\n' })).toEqual([
      'By=spiffe://td/api;Subject="CN=\\"a\\"b\\\\\\"%0A"',
    ])
    expect(forwarded('SANITIZE_SET', { ...NONE, subject: true }, { subject: 'CN=a\\' })).toEqual(['By=spiffe://td/api;Subject="CN=a\\\\"'])
  })
})

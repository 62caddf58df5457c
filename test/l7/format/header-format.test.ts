import { Socket } from 'node:net'
import { beforeAll, describe, expect, it } from 'vitest'
import { HeaderList } from '../../../src/l7/codec/header-list.js'
import { compileDateFormat } from '../../../src/l7/format/date-format.js'
import {
  compileFormat,
  compileJsonFormat,
  compileTextFormat,
  LOCAL_REPLY_BODY_STATE,
  provideEnvironment,
} from '../../../src/l7/format/header-format.js'
import type { StreamInfo } from '../../../src/l7/stream/stream-info.js'
import { FORMAT_COMMANDS } from '../../../src/model/format-commands.js'
import type { JsonObject } from '../../../src/model/metadata.js'
import type { Host } from '../../../src/upstream/host/host.js'
import { connection, head, info, peer, tls } from '../request-fixtures.js'

function text(format: string, of: StreamInfo = full()): string {
  const compiled = compileTextFormat(format)
  if (!compiled.ok) throw new Error(compiled.reason)
  return compiled.format(of)
}
function header(format: string, of: StreamInfo = full()): string {
  const compiled = compileFormat(format)
  if (!compiled.ok) throw new Error(compiled.reason)
  return compiled.format(of)
}

beforeAll(() => provideEnvironment(name => (name === 'FORMAT_TEST' ? 'value' : undefined)))

/** A request that went through everything. */
function full(): StreamInfo {
  const request = head('/new?q=1&r=%41', { authority: 'api.example.com', version: 'HTTP/2' }, [
    ['x-envoy-original-path', '/old?q=1'],
    ['User-Agent', 'curl/8'],
    ['x-two', 'a'],
    ['X-Two', 'b'],
    ['content-type', 'application/grpc'],
  ])
  const made = info(
    request,
    connection({
      requestedServerName: 'api.sni',
      listenerMetadata: new Map([['ns', { k: 'listener' }]]),
      tls: tls({
        localUriSans: ['spiffe://td/api'],
        localSubject: 'CN=api',
        peer: peer({
          uriSans: ['spiffe://td/web', 'https://b'],
          subject: 'CN=web',
          sha256: 'ab',
          serialNumber: '0f',
          notAfter: new Date(Date.UTC(2030, 0, 2, 3, 4, 5)),
        }),
      }),
    }),
  )
  made.response = {
    status: 200,
    reason: '',
    version: 'HTTP/2',
    headers: HeaderList.of(['X-Out', 'yes']),
    contentLength: -1,
    upgraded: false,
  }
  made.responseTrailers = HeaderList.of(['grpc-status', '7'])
  made.responseCode = 200
  made.responseCodeDetails = 'via upstream'
  made.bytesReceived = 12
  made.bytesSent = 34
  made.requestReceivedAt = 1005.9
  made.firstUpstreamByteSentAt = 1006
  made.firstUpstreamByteReceivedAt = 1020.2
  made.lastUpstreamByteReceivedAt = 1038
  made.firstDownstreamByteSentAt = 1021
  made.endedAt = 1042.5
  made.routeName = 'main'
  made.upstreamCluster = 'api.default'
  made.upstreamLocalAddress = '10.0.0.1:40000'
  made.upstreamRequestAttemptCount = 2
  made.upstreamProtocol = 'HTTP/1.1'
  made.upstreamHost = {
    address: { kind: 'socket', host: '2001:db8:1234:5678::1', port: 8080 },
    addressText: '[2001:db8:1234:5678::1]:8080',
    hostname: 'pod-1.api',
    metadata: new Map([['envoy.lb', { canary: true }]]),
    cluster: { config: { altStatName: 'api_alt', metadata: new Map([['ns', { team: 'é' }]]) } },
  } as unknown as Host
  const upstream = { host: made.upstreamHost, peer: peer({ uriSans: ['spiffe://td/other'], subject: 'CN=other' }), socket: new Socket() }
  made.useConnection({ id: 7, ...upstream }, 1000)
  made.useConnection({ id: 8, ...upstream }, 1001)
  made.routeMetadata = new Map([['ns', { k: 'route' }]])
  made.virtualHostMetadata = new Map([['ns', { k: 'host' }]])
  made.setDynamicMetadata('com.test', 'key', 'foo')
  made.setDynamicMetadata('com.test', 'object', { inner: 'bar' })
  made.setDynamicMetadata('com.test', 'count', 3)
  return made
}

/** What fits a command that takes not just any text. */
const ARGUMENTS: Record<string, string> = {
  CEL: 'request.path',
  COALESCE: '{"operators":["PROTOCOL"]}',
  COMMON_DURATION: 'DS_RX_BEG:DS_TX_END:us',
  METADATA: 'ROUTE:a',
  FILTER_STATE: 'a:FIELD:b',
  PATH: 'NQ',
  QUERY_PARAMS: 'ORIG',
  REQUESTED_SERVER_NAME: 'HOST_FIRST',
  GRPC_STATUS: 'NUMBER',
}

describe('commands', () => {
  it('are those that the config check knows, each with an operator', () => {
    for (const [name, { argument, length }] of FORMAT_COMMANDS) {
      const value = ARGUMENTS[name] ?? 'x'
      const forms = argument === 'required' ? [`(${value})`] : argument === 'optional' ? ['', '()', `(${ARGUMENTS[name] ?? ''})`] : ['']
      for (const form of length ? [...forms, `${forms[0]}:3`] : forms) {
        const compiled = compileTextFormat(`%${name}${form}%`)
        expect([name, compiled.ok ? 'ok' : compiled.reason]).toEqual([name, 'ok'])
        if (compiled.ok) for (const of of [full(), info(null)]) expect(typeof compiled.format(of)).toBe('string')
      }
    }
  })

  it('has no time of the end of a response that was broken off', () => {
    const broken = full()
    broken.lastUpstreamByteReceivedAt = 0
    const ends = '%RESPONSE_TX_DURATION% %COMMON_DURATION(US_RX_BEG:US_RX_END)% %COMMON_DURATION(DS_RX_BEG:DS_TX_END)%'
    expect(text(ends, broken)).toBe('- - -')
  })

  it.each([
    ['%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%', 'GET /old?q=1 HTTP/2'],
    ['%REQUEST_HEADER(user-agent):4%', 'curl'],
    ['%REQ(none?X-TWO)% %REQ(:AUTHORITY)% %REQ(host)%', 'a api.example.com api.example.com'],
    ['%RESP(x-out)% %RESPONSE_HEADER(none)% %TRAILER(GRPC-STATUS)%', 'yes - 7'],
    ['%RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%', '200 via_upstream via upstream'],
    ['%RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%', '- -'],
    ['%BYTES_RECEIVED% %BYTES_SENT%', '12 34'],
    ['%DURATION% %REQUEST_DURATION% %RESPONSE_DURATION% %RESPONSE_TX_DURATION%', '42 5 20 22'],
    ['%COMMON_DURATION(US_TX_BEG:US_RX_BEG:us)% %COMMON_DURATION(DS_RX_BEG:US_RX_END:ms)%', '14200 38'],
    ['%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)% %COMMON_DURATION(DS_RX_BEG:US_RX_BODY_BEG)%', '42500 -'],
    [
      '%UPSTREAM_HOST% %UPSTREAM_HOST_NAME% %UPSTREAM_CLUSTER% %UPSTREAM_CLUSTER_RAW%',
      '[2001:db8:1234:5678::1]:8080 pod-1.api api_alt api.default',
    ],
    ['%UPSTREAM_LOCAL_ADDRESS% %UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %UPSTREAM_LOCAL_PORT%', '10.0.0.1:40000 10.0.0.1 40000'],
    ['%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(64)% %UPSTREAM_REMOTE_PORT%', '2001:db8:1234:5678::/64 8080'],
    [
      '%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(16)% %DOWNSTREAM_REMOTE_PORT%',
      '10.1.10.23:5555 10.1.0.0/16 5555',
    ],
    ['%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS%', '10.0.0.1:443 10.1.10.23:5555'],
    ['%UPSTREAM_REQUEST_ATTEMPT_COUNT% %UPSTREAM_PROTOCOL%', '2 HTTP/1.1'],
    ['%DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_PEER_SUBJECT% %DOWNSTREAM_PEER_ISSUER%', 'spiffe://td/web,https://b CN=web -'],
    ['%DOWNSTREAM_PEER_SERIAL% %DOWNSTREAM_PEER_FINGERPRINT_256% %DOWNSTREAM_PEER_CERT%', '0f ab -'],
    ['%DOWNSTREAM_PEER_CERT_V_END% %DOWNSTREAM_PEER_CERT_V_END(%Y/%m)%', '2030-01-02T03:04:05.000Z 2030/01'],
    [
      '%DOWNSTREAM_LOCAL_URI_SAN% %DOWNSTREAM_LOCAL_SUBJECT% %DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_TLS_CIPHER%',
      'spiffe://td/api CN=api TLSv1.3 TLS_AES_128_GCM_SHA256',
    ],
    ['%REQUESTED_SERVER_NAME% %ROUTE_NAME% %FILTER_CHAIN_NAME% %CONNECTION_ID% %ACCESS_LOG_TYPE%', 'api.sni main chain 7 DownstreamEnd'],
    ['%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS_NUMBER%', 'PermissionDenied PERMISSION_DENIED 7'],
    ['%DYNAMIC_METADATA(com.test:key)% %DYNAMIC_METADATA(com.test:key):2% %DYNAMIC_METADATA(com.test:object)%', 'foo fo {"inner":"bar"}'],
    ['%DYNAMIC_METADATA(com.test:object:inner)% %DYNAMIC_METADATA(com.none)% %DYNAMIC_METADATA(com.test:__proto__)%', 'bar - -'],
    ['%METADATA(ROUTE:ns:k)% %METADATA(VIRTUAL_HOST:ns:k)% %METADATA(LISTENER_FILTER_CHAIN:ns:k)%', 'route host -'],
    ['%LISTENER_NAME% %UPSTREAM_CONNECTION_ID% %UPSTREAM_CONNECTION_IDS_ATTEMPTED%', 'public 8 7,8'],
    ['%UPSTREAM_HOSTS_ATTEMPTED% %UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT%', '[2001:db8:1234:5678::1]:8080 pod-1.api'],
    ['%UPSTREAM_CONNECTION_POOL_READY_DURATION%', '5'],
    ['%UPSTREAM_PEER_URI_SAN% %UPSTREAM_PEER_SUBJECT% %UPSTREAM_TLS_VERSION%', 'spiffe://td/other CN=other -'],
    ['%ENVIRONMENT(FORMAT_TEST)% %ENVIRONMENT(FORMAT_TEST):2% %ENVIRONMENT(NONE)%', 'value va -'],
    ['%START_TIME(%E3f %Ez %Q)%', '067 +00:00 %Q'],
    ['%METADATA(LISTENER:ns:k)% %UPSTREAM_METADATA(envoy.lb:canary)% %CLUSTER_METADATA(ns:team)%', 'listener true \xc3\xa9'],
    ['%PATH(NQ)% %PATH(WQ:PATH)% %QUERY_PARAM(q)% %QUERY_PARAM(r)% %QUERY_PARAMS(DECODED)%', '/old /new?q=1&r=%41 1 A q=1&r=A'],
    ['%START_TIME% %START_TIME(%Y/%m/%dT%H:%M:%S%z %s.%3f)%', '2024-02-29T13:04:05.067Z 2024/02/29T13:04:05+0000 1709211845.067'],
    ['%COALESCE({"operators": [{"command": "REQ", "param": "none"}, "REQUESTED_SERVER_NAME"]}):3%', 'api'],
    ['[%CUSTOM_FLAGS%] %TRACE_ID% %BYTES_RETRANSMITTED%', '[] - 0'],
    ['100%% é', '100% \xc3\xa9'],
  ])('%s', (format, expected) => {
    expect(text(format)).toBe(expected)
  })

  it('print the text of an expression as the bytes that came', () => {
    const bytes = Buffer.from('café').toString('latin1')
    const of = info(head('/', {}, [['x-team', bytes]]))
    expect(text('%CEL(request.headers["x-team"])% %CEL("é")%', of)).toBe(`${bytes} ${Buffer.from('é').toString('latin1')}`)
  })

  it('print `-` for what is not known, and nothing in header values', () => {
    const bare = info(null)
    expect(
      text('%REQ(a)% %PROTOCOL% %UPSTREAM_HOST% %UPSTREAM_CLUSTER% %DOWNSTREAM_PEER_URI_SAN% %GRPC_STATUS% %RESPONSE_CODE%', bare),
    ).toBe('- - - - - - 0')
    expect(header('[%REQ(a)%]', bare)).toBe('[]')
    expect(text('%ACCESS_LOG_TYPE%', bare)).toBe('TcpConnectionEnd')
  })

  it('print an address out of x-forwarded-for with port 0, and the path of a pipe as it is', () => {
    const forwarded = full()
    forwarded.remoteAddress = '8.8.8.8'
    expect(text('%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_PORT%', forwarded)).toBe('8.8.8.8:0 5555')
    expect(
      text('%DOWNSTREAM_LOCAL_ADDRESS%|%DOWNSTREAM_LOCAL_PORT%', info(head(), connection({ localAddress: '/run/x.sock', localPort: 0 }))),
    ).toBe('/run/x.sock|-')
  })

  it('print the body of a local reply from filter state', () => {
    const replied = info()
    replied.setFilterState(LOCAL_REPLY_BODY_STATE, 'no')
    expect(text('%LOCAL_REPLY_BODY% %FILTER_STATE(outrigger.local_reply_body:PLAIN)%', replied)).toBe('no no')
  })

  it.each(['%NOPE%', '50%', '%REQ%', '%REQ()%', '%START_TIME', '%METADATA(ODD:x)%', '%COALESCE({})%'])(
    'are refused with a reason when they are none: %s',
    format => {
      expect(compileTextFormat(format)).toMatchObject({ ok: false, reason: expect.any(String) })
      expect(compileFormat(format).ok).toBe(false)
    },
  )
})

describe('what clients send', () => {
  it('adds no line and no escape sequence to a text log (CVE-2024-45808)', () => {
    const nasty = info(head('/', {}, [['user-agent', 'x\r\n[fake] \x1b[31m\x7f']]), connection({ requestedServerName: 'a\nb<c' }))
    expect(text('%REQ(user-agent)%|%REQUESTED_SERVER_NAME%\n', nasty)).toBe('x\\x0d\\x0a[fake] \\x1b[31m\\x7f|a_b_c\n')
  })

  it('adds no line to a header', () => {
    const nasty = info()
    nasty.setDynamicMetadata('ns', 'k', 'a\r\nb\0c')
    expect(header('%DYNAMIC_METADATA(ns:k)%', nasty)).toBe('a b c')
  })
})

describe('JSON', () => {
  const json = (template: JsonObject, of = full(), omit = false) => {
    const compiled = compileJsonFormat(template, omit)
    if (!compiled.ok) throw new Error(compiled.reason)
    return compiled.format(of)
  }
  it('keeps the types of single commands, and joins others', () => {
    expect(
      JSON.parse(
        json({
          code: '%RESPONSE_CODE%',
          took: '%DURATION%ms',
          none: '%REQ(none)%',
          mixed: 'x-%REQ(none)%',
          list: ['%BYTES_SENT%', true],
          object: { meta: '%DYNAMIC_METADATA(com.test)%' },
          n: 1,
        }),
      ),
    ).toEqual({
      code: 200,
      took: '42ms',
      none: null,
      mixed: 'x--',
      list: [34, true],
      object: { meta: { key: 'foo', object: { inner: 'bar' }, count: 3 } },
      n: 1,
    })
  })

  it('leaves out what is missing where asked to', () => {
    expect(json({ a: '%REQ(none)%', b: 'x%REQ(none)%' }, full(), true)).toBe('{"b":"x"}')
  })

  it('is one line of valid UTF-8 whatever the bytes are (CVE-2024-45808)', () => {
    const odd = info(
      head('/', {}, [
        ['a', '\xc3\xa9\n"\x1b'],
        ['b', '\xff\x7f'],
      ]),
    )
    const line = json({ a: '%REQ(a)%', b: '%REQ(b)%' }, odd)
    expect(line).toBe('{"a":"\xc3\xa9\\n\\"\\u001b","b":"\xc3\xbf\\u007f"}')
    expect(JSON.parse(Buffer.from(line, 'latin1').toString('utf8'))).toEqual({ a: 'é\n"\x1b', b: 'ÿ\x7f' })
  })

  it('names the key of a bad command', () => {
    expect(compileJsonFormat({ a: { b: '%NOPE%' } })).toEqual({ ok: false, reason: 'a: b: %NOPE% is no command' })
  })
})

it('formats dates as strftime does', () => {
  const ms = Date.UTC(2024, 0, 7, 0, 5, 9, 7)
  const of = (format: string) => compileDateFormat(format, false)(ms)
  expect(of('%a %A %b %B %e %j %y %C %I %p %u %w %T %F %D %R')).toBe(
    'Sun Sunday Jan January  7 007 24 20 12 AM 7 0 00:05:09 2024-01-07 01/07/24 00:05',
  )
  expect(of('%s %f %1f %3f %6f %9f %E3S %E0S %E*S %Z %z %% %Q')).toBe(
    '1704585909 007000000 0 007 007000 007000000 09.007 09 09.007000000 UTC +0000 % %Q',
  )
  expect(compileDateFormat('%s', true)(ms)).toBe('1704585909')
})

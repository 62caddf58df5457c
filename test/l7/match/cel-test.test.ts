import { describe, expect, it } from 'vitest'
import { HeaderList } from '../../../src/l7/codec/header-list.js'
import { compileCel } from '../../../src/l7/match/cel-test.js'
import { parseCel } from '../../../src/model/cel-expression.js'
import { responseHead } from '../filters/fake-call.js'
import { connection, head, info, peer, tls } from '../request-fixtures.js'

const request = () => {
  const made = info(
    head('/a/b?q=1', {}, [
      ['x-a', '1'],
      ['x-a', '2'],
      ['user-agent', 'curl'],
    ]),
    connection({ tls: tls({ peer: peer({ uriSans: ['spiffe://t/web'] }) }), requestedServerName: 'api.internal' }),
  )
  made.responseCode = 503
  made.responseCodeDetails = 'upstream_reset'
  made.bytesReceived = 2000
  made.response = responseHead(503, { 'content-type': 'text/plain' })
  made.responseTrailers = HeaderList.of(['grpc-status', '14'])
  made.setDynamicMetadata('ns', 'key', { deep: 'yes' })
  made.upstreamCluster = 'backend'
  return made
}
const holds = (text: string): boolean => {
  const of = request()
  return compileCel(text)(of.connection, of)
}

describe('an expression', () => {
  it.each([
    'request.path == "/a/b?q=1" && request.url_path == "/a/b" && request.query == "q=1"',
    'request.method == "GET" && request.useragent == "curl"',
    'request.headers["x-a"] == "1,2" && "x-a" in request.headers',
    'request.headers[":path"].startsWith("/a")',
    'request.size >= 2000 && request.duration < duration("1h") && request.time > timestamp("2001-01-01T00:00:00Z")',
    'response.code == 503 && response.code_details == "upstream_reset" && response.grpc_status == 14',
    'response.headers["content-type"] == "text/plain" && response.trailers["grpc-status"] == "14"',
    'connection.mtls && connection.requested_server_name == "api.internal"',
    'connection.uri_san_peer_certificate == "spiffe://t/web"',
    'source.address.contains(":") && source.port > 0 && destination.port > 0',
    'metadata["ns"]["key"]["deep"] == "yes" && metadata.ns.key.deep == "yes"',
    'xds.cluster_name == "backend"',
    'request.path.matches("^/a/[b-z]") && matches(request.path, "q=[0-9]")',
    'request.headers.exists(name, name == "x-a")',
    'has(request.headers) && !has(request.referer)',
    'request.referer == "x" || request.method == "GET"',
  ])('%s', text => {
    expect(holds(text)).toBe(true)
  })

  it('is false where it asks for what is not there, or gives no bool', () => {
    expect(holds('request.referer == "x"')).toBe(false)
    expect(holds('request.headers["x-none"] == "x"')).toBe(false)
    expect(holds('upstream.address == "x"')).toBe(false)
    expect(holds('request.path')).toBe(false)
    expect(holds('request.path.matches("(")')).toBe(false)
  })

  it('has a value, as in Envoy, of a query, a server name, a filter chain and a subject that are empty', () => {
    const of = info(head('/', {}, [['content-length', '7']]), connection({ tls: tls({}), filterChainName: '' }))
    const text = 'request.query == "" && connection.requested_server_name != "a" && xds.filter_chain_name == "" && request.size == 7'
    expect(compileCel(`${text} && connection.subject_peer_certificate == ""`)(of.connection, of)).toBe(true)
    expect(compileCel('xds.route_name == ""')(of.connection, of)).toBe(false)
    expect(compileCel('upstream.transport_failure_reason == ""')(of.connection, of)).toBe(false)
    of.upstreamCluster = 'backend'
    expect(compileCel('upstream.transport_failure_reason == ""')(of.connection, of)).toBe(true)
    of.routeMetadata = new Map()
    expect(compileCel('xds.route_name == ""')(of.connection, of)).toBe(true)
  })

  it('takes bytes of UTF-8 for the text that they are', () => {
    const of = info(head('/', {}, [['x-team', Buffer.from('café').toString('latin1')]]))
    const text = 'request.headers["x-team"] == "café" && size(request.headers["x-team"]) == 4'
    expect(compileCel(text)(of.connection, of)).toBe(true)
  })

  it('of a connection knows no request', () => {
    const of = connection({ requestedServerName: 'a' })
    expect(compileCel('connection.requested_server_name == "a"')(of, null)).toBe(true)
    expect(compileCel('request.method == "GET"')(of, null)).toBe(false)
  })

  it('regular expressions are RE2, whatever the input', () => {
    const of = info(head(`/${'a'.repeat(20_000)}!`))
    const started = process.cpuUsage()
    expect(compileCel('request.path.matches("^/(a+)+$")')(of.connection, of)).toBe(false)
    expect(process.cpuUsage(started).user).toBeLessThan(20_000_000)
  })
})

describe('what is refused', () => {
  it.each([
    ['request.path ==', /./],
    ['nothing.path == "x"', /nothing/],
    ['1 + 1', /it gives int, not bool/],
    [`request.path == "${'x'.repeat(9000)}"`, /8192 characters/],
    [`${'['.repeat(40)}${']'.repeat(40)}`, /maxDepth/],
  ])('%.60s', (text, reason) => {
    const parsed = parseCel(text, () => false)
    expect(parsed.ok ? '' : parsed.reason).toMatch(reason)
  })
})

// Origins that fail: what the client gets, what the access log says, and that a broken answer is never made to look whole.
import http2 from 'node:http2'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fetchOnce, Http1Client } from '../support/http1-client.js'
import { HttpOrigin, http } from '../support/origins.js'
import { fileAccessLog, freePort, hcm, listener, ProxyProcess, routesTo, staticCluster, stopAll, until } from '../support/proxy-process.js'

const origin = new HttpOrigin()
let proxy: ProxyProcess
let port: number
let downPort: number

beforeAll(async () => {
  await origin.listen()
  port = await freePort()
  downPort = await freePort()
  const access_log = [fileAccessLog('LOG %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%')]
  proxy = await ProxyProcess.start({
    bootstrap: {
      static_resources: {
        listeners: [
          listener('front', port, [hcm({ route_config: routesTo('app'), access_log })]),
          listener('down', downPort, [hcm({ stat_prefix: 'down', route_config: routesTo('nobody'), access_log })]),
        ],
        clusters: [staticCluster('app', origin.port), staticCluster('nobody', await freePort())],
      },
    },
  })
})
afterAll(async () => {
  await stopAll()
  await origin.close()
})

const logged = (line: RegExp) => until(`access log ${line}`, () => line.test(proxy.log))

describe('an upstream that fails', () => {
  it('down: 503 with UF', async () => {
    const answer = await fetchOnce(downPort, '/down')
    expect(answer.status).toBe(503)
    expect(answer.body).toMatch(/^upstream connect error or disconnect\/reset before headers. reset reason: remote connection failure/)
    await logged(/LOG \/down 503 UF upstream_reset_before_response_started\{remote_connection_failure/)
    expect(await proxy.stat('cluster.nobody.upstream_cx_connect_fail')).toBeGreaterThan(0)
    expect(await proxy.stat('cluster.nobody.upstream_rq_active')).toBe(0)
  })

  it('closes before its answer: 503 with UC', async () => {
    origin.respond = (_, socket) => void socket.destroy()
    expect((await fetchOnce(port, '/gone')).status).toBe(503)
    await logged(/LOG \/gone 503 UC/)
  })

  it.each([
    ['content-length', 'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of it'],
    ['chunked', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n'],
  ])('half a response (%s): the client’s connection is closed and the message stays broken', async (kind, half) => {
    origin.respond = (_, socket) => void socket.end(half)
    const client = await Http1Client.connect(port)
    await expect(client.get(`/half-${kind}`)).rejects.toThrow(/closed with/)
    expect(client.closed).toBe(true)
    // The head, and what there was of the body, though the origin broke off in the read that brought them (as Envoy).
    expect(client.rest.toString('latin1')).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
    expect(client.rest.toString('latin1')).toContain(kind === 'chunked' ? 'first' : 'half of it')
    expect(client.rest.toString('latin1')).not.toMatch(/\r\n0\r\n\r\n$/)
    await logged(new RegExp(`LOG /half-${kind} 200 UPE upstream_reset_after_response_started\\{protocol_error\\}`))
  })

  it('half a response: HTTP/2 clients get HEADERS, DATA and RST_STREAM', async () => {
    origin.respond = (_, socket) => void socket.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of it')
    const client = http2.connect(`http://127.0.0.1:${port}`)
    const request = client.request({ ':path': '/half-h2' })
    const seen: string[] = []
    request.on('response', headers => seen.push(`HEADERS ${headers[':status']}`))
    request.on('data', chunk => seen.push(`DATA ${chunk}`))
    request.on('error', () => seen.push('RST_STREAM'))
    await new Promise(resolve => request.once('close', resolve))
    expect(seen).toEqual(['HEADERS 200', 'DATA half of it', 'RST_STREAM'])
    client.destroy()
    await logged(/LOG \/half-h2 200 UPE/)
  })

  it('garbage instead of HTTP: 502 with UPE', async () => {
    origin.respond = (_, socket) => void socket.end('SSH-2.0-OpenSSH_9.6\r\n\r\n')
    expect((await fetchOnce(port, '/garbage')).status).toBe(502)
    await logged(/LOG \/garbage 502 UPE/)
  })

  it('an answer smuggled after the first is never given to another client', async () => {
    origin.respond = (_, socket) => void socket.write(http('mine') + http('poison'))
    expect((await fetchOnce(port, '/first')).body).toBe('mine')
    origin.respond = (request, socket) => void socket.write(http(`for ${request.path}`))
    for (let i = 0; i < 5; i++) expect((await fetchOnce(port, `/next${i}`)).body).toBe(`for /next${i}`)
  })

  it('answers early while the body still comes, then goes on with other clients', async () => {
    origin.respond = (_, socket) => void socket.write(http('ok'))
    const client = await Http1Client.connect(port)
    client.socket.write('POST /slow HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf')
    client.socket.destroy()
    expect((await fetchOnce(port, '/after')).body).toBe('ok')
    await proxy.untilStat('http.ingress.downstream_rq_active', value => value === 0)
    expect(await proxy.stat('cluster.app.upstream_rq_active')).toBe(0)
  })
})

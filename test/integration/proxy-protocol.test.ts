// The proxy_protocol listener filter in a running proxy: who the client is for access logs and XFF, and what happens without one.
import { connect, type Socket } from 'node:net'
import { afterAll, describe, expect, it } from 'vitest'
import { freePort, hcm, listener, ProxyProcess, stopAll, typed } from '../support/proxy-process.js'

afterAll(stopAll)

const answering = (): object =>
  hcm({
    stat_prefix: 'in',
    use_remote_address: true,
    route_config: {
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          routes: [{ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'ok' } } }],
          response_headers_to_add: [
            {
              header: {
                key: 'x-seen',
                value: '%DOWNSTREAM_REMOTE_ADDRESS%|%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%|%DOWNSTREAM_LOCAL_ADDRESS%',
              },
            },
          ],
        },
      ],
    },
  })

async function start(filter: object) {
  const port = await freePort()
  const proxy = await ProxyProcess.start({
    bootstrap: {
      static_resources: {
        listeners: [
          {
            ...listener('l', port, [answering()]),
            listener_filters: [typed('pp', 'filters.listener.proxy_protocol.v3.ProxyProtocol', filter)],
          },
        ],
      },
    },
  })
  return { port, proxy }
}

/** Everything that comes back until the other side ends; `parts` go out one by one. */
function exchange(port: number, ...parts: (string | Buffer)[]): Promise<string> {
  return new Promise(resolve => {
    let text = ''
    const socket: Socket = connect(port, '127.0.0.1', () => {
      socket.setNoDelay(true)
      const next = () => {
        const part = parts.shift()
        if (part !== undefined) socket.write(part, () => setImmediate(next))
      }
      next()
    })
    socket.on('data', chunk => (text += chunk.toString('latin1')))
    socket.on('error', () => {})
    socket.on('close', () => resolve(text))
  })
}

const GET = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
const V1 = 'PROXY TCP4 9.8.7.6 10.0.0.1 1234 443\r\n'

describe('a listener with the proxy_protocol filter', () => {
  it('takes the addresses from the header, whole or in pieces, and refuses connections without one', async () => {
    const { port, proxy } = await start({})
    const seen = /x-seen: 9\.8\.7\.6:1234\|127\.0\.0\.1\|10\.0\.0\.1:443/i
    expect(await exchange(port, V1 + GET)).toMatch(seen)
    expect(await exchange(port, V1.slice(0, 9), V1.slice(9), GET)).toMatch(seen)
    const v2 = Buffer.concat([
      Buffer.from('\r\n\r\n\0\r\nQUIT\n!\x11\0\x0c', 'latin1'),
      Buffer.from([9, 8, 7, 6, 10, 0, 0, 1, 0x04, 0xd2, 0x01, 0xbb]),
    ])
    expect(await exchange(port, v2, GET)).toMatch(seen)
    expect(await exchange(port, 'PROXY UNKNOWN\r\n', GET)).toMatch(
      new RegExp(`x-seen: 127\\.0\\.0\\.1:\\d+\\|127\\.0\\.0\\.1\\|127\\.0\\.0\\.1:${port}`, 'i'),
    )
    expect(await exchange(port, GET)).toBe('')
    expect(await exchange(port, 'PROXY TCP4 9.8.7.6 nowhere 1 2\r\n', GET)).toBe('')
    await proxy.untilStat(`listener.127.0.0.1_${port}.downstream_cx_active`, value => value === 0)
  })

  it('lets connections without a header pass where the config says so', async () => {
    const { port } = await start({ allow_requests_without_proxy_protocol: true })
    expect(await exchange(port, GET)).toMatch(/x-seen: 127\.0\.0\.1:\d+\|127\.0\.0\.1/i)
    expect(await exchange(port, V1, GET)).toMatch(/x-seen: 9\.8\.7\.6:1234/i)
  })
})

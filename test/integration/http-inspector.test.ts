// http_inspector: which chain a client in clear text takes, here and in the real Envoy where it is installed.
import { once } from 'node:events'
import net from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort, hcm, listener, ProxyProcess, stopAll, typed } from '../support/proxy-process.js'

const envoy = process.env['ENVOY_BIN']
afterAll(stopAll)

const answering = (text: string): object =>
  hcm({
    stat_prefix: text,
    codec_type: 'AUTO',
    route_config: {
      name: text,
      virtual_hosts: [
        {
          name: 'v',
          domains: ['*'],
          routes: [{ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: text } } }],
        },
      ],
    },
  })
const says = (text: string): object =>
  typed('envoy.filters.network.direct_response', 'filters.network.direct_response.v3.Config', { response: { inline_string: text } })
const inspectors = ['tls_inspector.v3.TlsInspector', 'http_inspector.v3.HttpInspector'].map(type =>
  typed(type.split('.')[0]!, `filters.listener.${type}`),
)

const kinds: [string, string | undefined][] = [
  ['Outrigger', undefined],
  ...(envoy === undefined ? [] : [['Envoy', envoy] as [string, string]]),
]

describe.each(kinds)('%s', (_name, bin) => {
  let port = 0
  let proxy: ProxyProcess
  beforeAll(async () => {
    port = await freePort()
    const base = listener('front', port, [says('nothing')], { listener_filters: inspectors }) as { filter_chains: object[] }
    const chain = (protocols: string[], filter: object): object => ({
      filter_chain_match: { application_protocols: protocols },
      filters: [filter],
    })
    base.filter_chains = [chain(['http/1.1'], answering('one')), chain(['h2c'], answering('two')), chain(['http/1.0'], answering('zero'))]
    proxy = await ProxyProcess.start({
      bootstrap: { static_resources: { listeners: [{ ...base, default_filter_chain: { filters: [says('default')] } }] } },
      ...(bin === undefined ? {} : { bin }),
    })
  })

  async function firstBytes(...sent: string[]): Promise<string> {
    const socket = net.connect(port, '127.0.0.1')
    socket.on('error', () => {})
    await once(socket, 'connect')
    socket.setNoDelay(true)
    for (const part of sent) {
      socket.write(part, 'latin1')
      await new Promise(resolve => setImmediate(resolve))
    }
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    socket.destroy()
    return chunk.toString('latin1')
  }

  it.each([
    ['HTTP/1.1', ['GET / HTTP/1.1\r\nHost: a\r\n\r\n'], /\r\n\r\none$/],
    ['HTTP/1.1 in pieces', ['GE', 'T / HTT', 'P/1.1\r\nHost: a\r\n\r\n'], /\r\n\r\none$/],
    // The server's preface: a SETTINGS frame.
    ['HTTP/2', ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', '\0\0\0\x04\0\0\0\0\0'], /^\0\0.\x04\0/s],
    ['anything else', ['SSH-2.0-x\r\n'], /^default$/],
  ])('%s takes its own chain', async (_what, sent, answer) => {
    expect(await firstBytes(...sent)).toMatch(answer)
  })

  it('counts what it found', async () => {
    const stats = await proxy.stats()
    expect(stats.get('http_inspector.http11_found')).toBeGreaterThanOrEqual(2)
    expect(stats.get('http_inspector.http2_found')).toBeGreaterThanOrEqual(1)
    expect(stats.get('http_inspector.http_not_found')).toBeGreaterThanOrEqual(1)
    expect(stats.get('tls_inspector.tls_not_found')).toBeGreaterThanOrEqual(4)
  })
})

// The real Envoy (ENVOY_BIN) and Outrigger with the same configuration, and one exchange with each. Used by the differential tests of
// filters; stopAll() of proxy-process ends both.

import { type IncomingHttpHeaders, request } from 'node:http'
import { freePort, ProxyProcess } from './proxy-process.js'

export const envoyBin = process.env['ENVOY_BIN']

export interface Peer {
  readonly port: number
  readonly proxy: ProxyProcess
}

export interface Exchange {
  readonly path: string
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: string
  readonly trailers: Readonly<Record<string, unknown>>
}

export async function startPair(bootstrap: (port: number) => object): Promise<{ readonly envoy: Peer; readonly ours: Peer }> {
  const [first, second] = [await freePort(), await freePort()]
  const [envoy, ours] = await Promise.all([
    ProxyProcess.start({ bootstrap: bootstrap(first), bin: envoyBin!, flags: ['--file-flush-interval-msec', '20', '-l', 'error'] }),
    ProxyProcess.start({ bootstrap: bootstrap(second) }),
  ])
  return { envoy: { port: first, proxy: envoy }, ours: { port: second, proxy: ours } }
}

const ANSWER_WITHIN_MS = 20_000
/** What no two answers have in common. */
const VARIABLE = /^(date|x-envoy-upstream-service-time|x-request-id|keep-alive|connection)$/

export function exchange({ port }: Peer, { method, path, headers = {}, body }: Exchange): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, method: method ?? 'GET', path, agent: false, headers: { host: 'a.test', ...headers } })
    sent.on('response', response => {
      let text = ''
      response.setEncoding('latin1')
      response.on('data', chunk => (text += chunk))
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: kept(response.headers), body: text, trailers: { ...response.trailers } }),
      )
      response.on('error', reject)
    })
    sent.setTimeout(ANSWER_WITHIN_MS, () => sent.destroy(new Error(`no answer to ${path}`)))
    sent.on('error', reject)
    sent.end(body)
  })
}

function kept(headers: IncomingHttpHeaders): Record<string, unknown> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !VARIABLE.test(name)))
}

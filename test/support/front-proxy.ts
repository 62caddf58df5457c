// One proxy with one HTTP listener in front of a few origins: what the tests of routes, filters and balancing share. The pieces of config
// are Envoy's JSON, so OUTRIGGER_BIN=<the real Envoy> runs the same tests against it (but for texts that are ours alone).
import type { ConnectionOptions } from 'node:tls'
import { type Answer, Http1Client } from './http1-client.js'
import { HttpOrigin, http } from './origins.js'
import { fileAccessLog, freePort, hcm, listener, ProxyProcess, router, socketAddress, until } from './proxy-process.js'

export interface FrontOptions {
  readonly routes: readonly object[] | ((port: number) => readonly object[])
  readonly clusters: readonly object[]
  /** HTTP filters before the router. */
  readonly filters?: readonly object[]
  /** More fields of the connection manager, the virtual host, the listener, its filter chain, the bootstrap. */
  readonly manager?: object
  readonly virtualHost?: object
  readonly listener?: object
  readonly chain?: object
  readonly bootstrap?: object
  /** Further listeners. */
  readonly listeners?: readonly object[]
}

export interface Ask {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** TLS, with these options. */
  readonly secure?: ConnectionOptions
}

/** The access log is waited for all the time here. */
const FLAGS = ['--file-flush-interval-msec', '20']
const LOG = 'LOG %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%'

export class Front {
  constructor(
    readonly proxy: ProxyProcess,
    readonly port: number,
  ) {}

  static async start(options: FrontOptions): Promise<Front> {
    const port = await freePort()
    const routes = typeof options.routes === 'function' ? options.routes(port) : options.routes
    const manager = hcm(
      {
        access_log: [fileAccessLog(LOG)],
        route_config: { name: 'r', virtual_hosts: [{ name: 'all', domains: ['*'], routes, ...options.virtualHost }] },
        ...options.manager,
      },
      [...(options.filters ?? []), router],
    )
    const bootstrap = {
      ...options.bootstrap,
      static_resources: {
        listeners: [listener('front', port, [manager], options.listener, options.chain), ...(options.listeners ?? [])],
        clusters: options.clusters,
      },
    }
    return new Front(await ProxyProcess.start({ bootstrap, flags: FLAGS }), port)
  }

  /** One request on a connection of its own. */
  async ask(path: string, { method = 'GET', headers = {}, body, secure }: Ask = {}): Promise<Answer> {
    const client = await Http1Client.connect(this.port, secure)
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
    const lines = Object.entries({ host: 'test', ...length, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
    try {
      return await client.send(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body ?? ''}`)
    } finally {
      client.destroy()
    }
  }

  async status(path: string, ask?: Ask): Promise<number> {
    return (await this.ask(path, ask)).status
  }

  /** How often each body came back. */
  async answers(path: string, times: number, ask?: Ask): Promise<Record<string, number>> {
    const counts: Record<string, number> = {}
    for (let i = 0; i < times; i++) {
      const { body } = await this.ask(path, ask)
      counts[body] = (counts[body] ?? 0) + 1
    }
    return counts
  }

  /** `rest` follows `LOG <path>` in the access log: code, flags, details. */
  async logged(path: string, rest: string): Promise<void> {
    const line = `LOG ${path} ${rest}`
    await until(`the access log line ${line}`, () => this.proxy.log.includes(line) || this.lastLines(path))
  }

  private lastLines(path: string): Promise<never> {
    const lines = this.proxy.log.split('\n').filter(line => line.startsWith(`LOG ${path} `))
    return Promise.reject(new Error(lines.slice(-3).join(' / ')))
  }
}

/** Origins that answer with their letter: a, b, c ... */
export class Lettered {
  readonly origins: readonly HttpOrigin[]

  constructor(count: number) {
    this.origins = Array.from({ length: count }, () => new HttpOrigin())
    this.reset()
  }

  async listen(): Promise<void> {
    await Promise.all(this.origins.map(origin => origin.listen()))
  }

  async close(): Promise<void> {
    await Promise.all(this.origins.map(origin => origin.close()))
  }

  /** Forgets what was received; every origin answers 200 again. */
  reset(): void {
    for (const [i, origin] of this.origins.entries()) {
      const answer = http(String.fromCharCode(97 + i))
      origin.requests.length = 0
      origin.respond = (_, socket) => void socket.write(answer)
    }
  }

  get ports(): number[] {
    return this.origins.map(origin => origin.port)
  }
}

// ---- config pieces ---------------------------------------------------------------------------------------------------------------

export const to = (prefix: string, cluster: string, action: object = {}, more: object = {}): object => ({
  match: { prefix },
  route: { cluster, ...action },
  ...more,
})

export const endpoint = (port: number, more: object = {}): object => ({ endpoint: { address: socketAddress(port) }, ...more })

/** A STATIC cluster of whole `endpoints` entries (localities). */
export const localities = (name: string, endpoints: readonly object[], more: object = {}): object => ({
  name,
  type: 'STATIC',
  connect_timeout: '1s',
  load_assignment: { cluster_name: name, endpoints },
  ...more,
})

export const panicOff = { common_lb_config: { healthy_panic_threshold: { value: 0 } } }

const FILTERS = 'type.googleapis.com/envoy.extensions.filters.http'

/** One entry of typed_per_filter_config. */
export const perFilter = (filter: string, type: string, config: object): object => ({
  [`envoy.filters.http.${filter}`]: { '@type': `${FILTERS}.${type}`, ...config },
})

export const percent = (numerator: number): object => ({ numerator, denominator: 'HUNDRED' })
export const fraction = (numerator: number): object => ({ default_value: percent(numerator) })

// One page for Prometheus, `/stats/prometheus`: what the dataplane tells of itself, what the proxy does, and what the service does, one after the
// other as consul-dataplane puts them. The proxy's metrics listener asks for it. Invariant: it is whole or an error that names the part which
// is missing, so that no scrape mistakes half for all; parts are bounded in time and size.
import { createServer, type Server, type ServerResponse } from 'node:http'
import { readBoundedBody } from '../../io/bounded-body.js'
import type { AdminClient } from '../proxy/admin-client.js'
import { listenOn } from '../proxy/listen-on.js'
import { requestTarget } from '../proxy/request-target.js'
import type { TelemetrySettings } from '../settings/settings.js'

export interface MergedMetricsOptions {
  readonly telemetry: Pick<TelemetrySettings, 'serviceMetricsUrl' | 'mergePort'>
  /** Where the proxy's listener looks for it. */
  readonly host: string
  readonly own: () => Promise<string>
  readonly admin: AdminClient
  readonly log: (level: 'warn', message: string) => void
}

const PATH = '/stats/prometheus'
const TIMEOUT_MS = 10_000
const MAX_PART_BYTES = 64 * 1024 * 1024

export class MergedMetrics {
  private readonly options: MergedMetricsOptions
  private readonly server: Server

  constructor(options: MergedMetricsOptions) {
    this.options = options
    this.server = createServer((request, response) => {
      const target = requestTarget(request)
      if (target?.pathname !== PATH) return answer(response, 404, 'not found\n')
      void this.merge(target.search).then(
        text => answer(response, 200, text),
        (error: Error) => {
          options.log('warn', `merged metrics: ${error.message}`)
          answer(response, 500, `${error.message}\n`)
        },
      )
    })
  }

  /** Rejects where the port can't be had. */
  listen(): Promise<void> {
    const { host, telemetry } = this.options
    return listenOn(this.server, host, telemetry.mergePort, '-telemetry-prom-merge-port')
  }

  close(): void {
    this.server.close()
    this.server.closeAllConnections()
  }

  /** The query goes to the proxy, whose page knows `usedonly` and others. */
  private async merge(search: string): Promise<string> {
    const { own, admin, telemetry } = this.options
    const parts = await Promise.all([
      own(),
      named(`${PATH}${search} of the proxy`, admin.get(`${PATH}${search}`, TIMEOUT_MS)),
      ...(telemetry.serviceMetricsUrl === '' ? [] : [named(telemetry.serviceMetricsUrl, page(telemetry.serviceMetricsUrl))]),
    ])
    return parts.map(part => (part === '' || part.endsWith('\n') ? part : `${part}\n`)).join('')
  }
}

async function named(what: string, part: Promise<string>): Promise<string> {
  try {
    return await part
  } catch (error) {
    throw new Error(`failed to scrape metrics at url "${what}": ${(error as Error).message}`)
  }
}

async function page(url: string): Promise<string> {
  const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) })
  if (!response.ok) throw new Error(`status ${response.status}`)
  if (response.body === null) return ''
  return (await readBoundedBody(response.body, MAX_PART_BYTES, () => new Error(`more than ${MAX_PART_BYTES} bytes`))).toString()
}

function answer(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' })
  response.end(text)
}

// The demo's traffic: requests to web's application over kept connections, tallied by version and by the config step that routed them.
// Used by steps.ts. A request counts in the tally that was current when it started, so what was under way during a change is never
// taken for traffic after it.
import { Agent, request as httpRequest } from 'node:http'
import { STEP_HEADER } from './mesh.js'
import { DEMO_HOST } from './port-table.js'

const REQUEST_TIMEOUT_MS = 20_000
const MAX_KEPT_FAILURES = 3
const MAX_BODY_BYTES = 64 * 1024

export interface Reply {
  /** 0 when there was no answer. */
  readonly status: number
  readonly version: string
  readonly step: string
  /** `x-forwarded-client-cert` as api saw it. */
  readonly xfcc: string
  readonly deniedBy: string
  readonly text: string
  /** `performance.now()` when the answer was complete. */
  readonly at: number
}

export class Tally {
  requests = 0
  failed = 0
  readonly failures: string[] = []
  readonly versions = new Map<string, number>()
  xfcc = ''
  private readonly waiters: { readonly requests: number; readonly resolve: () => void }[] = []

  add(reply: Reply): void {
    this.requests++
    if (reply.status === 200) {
      this.versions.set(reply.version, (this.versions.get(reply.version) ?? 0) + 1)
      this.xfcc ||= reply.xfcc
    } else {
      this.failed++
      if (this.failures.length < MAX_KEPT_FAILURES) this.failures.push(`${reply.status || 'no answer'}: ${reply.text.trim()}`)
    }
    for (let i = this.waiters.length - 1; i >= 0; i--)
      if (this.waiters[i]!.requests <= this.requests) this.waiters.splice(i, 1)[0]!.resolve()
  }

  /** Resolves once that many requests have been answered (or have failed). */
  reached(requests: number): Promise<void> {
    if (this.requests >= requests) return Promise.resolve()
    return new Promise(resolve => this.waiters.push({ requests, resolve }))
  }

  /** Per cent of the answered requests. */
  share(version: string): number {
    const answered = this.requests - this.failed
    return answered === 0 ? 0 : (100 * (this.versions.get(version) ?? 0)) / answered
  }
}

/** One request to an application; failures to get an answer are replies with status 0. */
export function call(port: number, path: string, agent?: Agent): Promise<Reply> {
  return new Promise(resolve => {
    let text = ''
    const finish = (status: number): void => resolve(readReply(status, text))
    const request = httpRequest(
      { host: DEMO_HOST, port, path, timeout: REQUEST_TIMEOUT_MS, ...(agent === undefined ? {} : { agent }) },
      response => {
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => {
          if (text.length < MAX_BODY_BYTES) text += chunk
        })
        response.on('error', error => {
          text = error.message
          finish(0)
        })
        response.on('end', () => finish(response.statusCode ?? 0))
      },
    )
    request.on('timeout', () => request.destroy(new Error(`no answer within ${REQUEST_TIMEOUT_MS / 1000} s`)))
    request.on('error', error => {
      text = error.message
      finish(0)
    })
    request.end()
  })
}

interface ApplicationAnswer {
  readonly upstream?: {
    readonly headers: Readonly<Record<string, string>>
    readonly body: { readonly version?: string; readonly 'x-forwarded-client-cert'?: string } | string
  }
}

function readReply(status: number, text: string): Reply {
  let answer: ApplicationAnswer = {}
  try {
    answer = JSON.parse(text) as ApplicationAnswer
  } catch {
    // Not from an application: a failure, told by its text.
  }
  const body = typeof answer.upstream?.body === 'object' ? answer.upstream.body : {}
  const headers = answer.upstream?.headers
  return {
    status,
    version: body.version ?? '',
    step: headers?.[STEP_HEADER] ?? '',
    xfcc: body['x-forwarded-client-cert'] ?? '',
    deniedBy: headers?.['x-outrigger-denied-by'] ?? '',
    text,
    at: performance.now(),
  }
}

/** Traffic without pause on a few connections, until `stop`. */
export class Traffic {
  /** All requests since the start. */
  readonly total = new Tally()
  private readonly port: number
  private readonly agent: Agent
  private readonly connections: number
  private readonly watchers: { readonly step: string; readonly resolve: (at: number) => void }[] = []
  private current = new Tally()
  private stopped = false
  private workers: Promise<void>[] = []

  constructor(port: number, connections: number) {
    this.port = port
    this.connections = connections
    this.agent = new Agent({ keepAlive: true, maxSockets: connections })
  }

  start(): void {
    this.workers = Array.from({ length: this.connections }, () => this.work())
  }

  /** A new tally for the requests that start from now on. */
  newTally(): Tally {
    this.current = new Tally()
    return this.current
  }

  /** Resolves with the time of the first answer that this step of the config routed. */
  firstOf(step: string): Promise<number> {
    return new Promise(resolve => this.watchers.push({ step, resolve }))
  }

  /** Resolves when the requests under way are answered. */
  async stop(): Promise<void> {
    this.stopped = true
    await Promise.all(this.workers)
    this.agent.destroy()
  }

  private async work(): Promise<void> {
    while (!this.stopped) {
      const tally = this.current
      const reply = await call(this.port, '/orders', this.agent)
      tally.add(reply)
      this.total.add(reply)
      for (let i = this.watchers.length - 1; i >= 0; i--)
        if (this.watchers[i]!.step === reply.step) this.watchers.splice(i, 1)[0]!.resolve(reply.at)
    }
  }
}

/** That many requests, then no more; `onProgress` gets the number answered so far. */
export async function sendRequests(port: number, count: number, connections: number, onProgress: (done: number) => void): Promise<Tally> {
  const tally = new Tally()
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  let left = count
  const work = async (): Promise<void> => {
    while (left-- > 0) {
      tally.add(await call(port, '/orders', agent))
      onProgress(tally.requests)
    }
  }
  await Promise.all(Array.from({ length: connections }, work))
  agent.destroy()
  return tally
}

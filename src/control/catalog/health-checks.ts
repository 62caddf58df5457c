// Runs the checks of registered services (HTTP, TCP, TTL, alias) and writes their outcome to the catalog.
// Started by `ControlPlane`; follows the catalog's changes, so a check runs from its registration to its removal.
// At most `MAX_CONCURRENT_CHECKS` run at once; a check that is due while all are busy waits in line (once, not once an interval).
// Invariant: a check that is gone never reports.
import * as http from 'node:http'
import * as https from 'node:https'
import * as net from 'node:net'
import type { Catalog, CatalogCheck } from './catalog.js'
import type { CheckDefinition, HealthStatus } from './check-definition.js'

export const MAX_CONCURRENT_CHECKS = 64
/** The first run comes at a random point of the interval, but no later than this, so that a new instance is soon in service. */
const MAX_FIRST_DELAY_MS = 500
const MAX_OUTPUT_BYTES = 4_096
const MAX_REDIRECTS = 10

export interface HealthChecksOptions {
  readonly random?: () => number
  readonly onDeregister?: (serviceId: string, checkId: string) => void
  /** What came of a check could not be written. */
  readonly onProblem?: (checkId: string, reason: string) => void
}

interface RunningCheck {
  readonly definition: CheckDefinition
  timer: NodeJS.Timeout | undefined
  /** Stops the run in progress. */
  abort: AbortController | undefined
  waiting: boolean
  successes: number
  failures: number
  deregisterTimer: NodeJS.Timeout | undefined
}

interface Outcome {
  readonly status: HealthStatus
  readonly output: string
}

export class HealthChecks {
  private readonly catalog: Catalog
  private readonly random: () => number
  private readonly options: HealthChecksOptions
  private readonly running = new Map<string, RunningCheck>()
  private readonly line: RunningCheck[] = []
  private active = 0
  private stopped = false

  constructor(catalog: Catalog, options: HealthChecksOptions = {}) {
    this.catalog = catalog
    this.random = options.random ?? Math.random
    this.options = options
  }

  start(): void {
    this.catalog.onChange(() => this.reconcile())
    this.reconcile()
  }

  stop(): void {
    this.stopped = true
    for (const check of this.running.values()) this.end(check)
    this.running.clear()
    this.line.length = 0
  }

  /** A TTL check's heartbeat; resolves once it is written. False when there is no such TTL check. */
  async updateTtl(id: string, status: HealthStatus, output: string): Promise<boolean> {
    const check = this.running.get(id)
    if (check === undefined || check.definition.Type !== 'ttl') return false
    this.armTtl(check)
    this.watchCritical(check, status)
    return this.catalog.setCheckStatus(id, status, output)
  }

  private reconcile(): void {
    if (this.stopped) return
    const seen = new Set<string>()
    for (const check of this.catalog.checks()) {
      const id = check.definition.CheckID
      seen.add(id)
      const running = this.running.get(id)
      if (running?.definition === check.definition) continue
      if (running !== undefined) this.end(running)
      this.begin(check)
    }
    for (const [id, running] of this.running) {
      if (seen.has(id)) continue
      this.end(running)
      this.running.delete(id)
    }
    this.followAliases()
  }

  private begin(check: CatalogCheck): void {
    const { definition } = check
    const running: RunningCheck = {
      definition,
      timer: undefined,
      abort: undefined,
      waiting: false,
      successes: 0,
      failures: 0,
      deregisterTimer: undefined,
    }
    this.running.set(definition.CheckID, running)
    this.watchCritical(running, check.status)
    if (definition.Type === 'ttl') this.armTtl(running)
    else if (definition.Type !== 'alias' && definition.Type !== 'maintenance')
      this.schedule(running, this.random() * Math.min(definition.intervalMs, MAX_FIRST_DELAY_MS))
  }

  private end(check: RunningCheck): void {
    clearTimeout(check.timer)
    clearTimeout(check.deregisterTimer)
    check.abort?.abort()
    check.waiting = false
  }

  private followAliases(): void {
    for (const { definition } of this.running.values()) {
      if (definition.Type !== 'alias') continue
      const target = this.catalog.instance(definition.AliasService)
      // An alias of its own service would never leave the status that it has.
      const others =
        target === undefined ? [] : this.catalog.checksOf(target).filter(check => check.definition.CheckID !== definition.CheckID)
      const bad = others.find(check => check.status === 'critical') ?? others.find(check => check.status === 'warning')
      if (target === undefined) this.record(definition.CheckID, 'critical', `Service ${definition.AliasService} could not be found`)
      else this.record(definition.CheckID, bad?.status ?? 'passing', bad === undefined ? 'All checks passing.' : bad.output)
    }
  }

  private schedule(check: RunningCheck, delayMs: number): void {
    check.timer = setTimeout(() => this.due(check), delayMs)
    check.timer.unref()
  }

  private armTtl(check: RunningCheck): void {
    clearTimeout(check.timer)
    check.timer = setTimeout(() => this.report(check, 'critical', 'TTL expired'), check.definition.ttlMs)
    check.timer.unref()
  }

  private due(check: RunningCheck): void {
    if (this.active < MAX_CONCURRENT_CHECKS) {
      void this.run(check)
      return
    }
    check.waiting = true
    this.line.push(check)
  }

  private async run(check: RunningCheck): Promise<void> {
    this.active++
    const abort = new AbortController()
    check.abort = abort
    const timeout = setTimeout(
      () => abort.abort(new Error(`no answer within ${check.definition.timeoutMs} ms`)),
      check.definition.timeoutMs,
    )
    timeout.unref()
    const outcome = await runCheck(check.definition, abort.signal).catch(
      (error: Error): Outcome => ({ status: 'critical', output: reasonOf(error, abort.signal) }),
    )
    clearTimeout(timeout)
    this.active--
    check.abort = undefined
    if (this.running.get(check.definition.CheckID) === check && !this.stopped) {
      this.count(check, outcome)
      this.schedule(check, check.definition.intervalMs)
    }
    for (;;) {
      const next = this.line.shift()
      if (next === undefined) break
      if (!next.waiting) continue
      next.waiting = false
      void this.run(next)
      break
    }
  }

  /** Consul's thresholds: a status is taken only after so many equal outcomes in a row. */
  private count(check: RunningCheck, outcome: Outcome): void {
    const { definition } = check
    const before = this.catalog.check(definition.CheckID)?.status ?? 'critical'
    if (outcome.status === 'critical') {
      check.successes = 0
      check.failures++
      if (check.failures > definition.FailuresBeforeCritical || before === 'critical') this.report(check, 'critical', outcome.output)
      else if (check.failures > definition.FailuresBeforeWarning) this.report(check, 'warning', outcome.output)
      return
    }
    check.failures = 0
    check.successes++
    if (check.successes > definition.SuccessBeforePassing || before === 'passing') this.report(check, outcome.status, outcome.output)
  }

  private report(check: RunningCheck, status: HealthStatus, output: string): void {
    this.record(check.definition.CheckID, status, output)
    this.watchCritical(check, status)
  }

  private watchCritical(check: RunningCheck, status: HealthStatus): void {
    const after = check.definition.deregisterAfterMs
    if (after === 0) return
    if (status !== 'critical') {
      clearTimeout(check.deregisterTimer)
      check.deregisterTimer = undefined
      return
    }
    check.deregisterTimer ??= setTimeout(() => {
      this.options.onDeregister?.(check.definition.ServiceID, check.definition.CheckID)
      this.catalog.deregister(check.definition.ServiceID).catch(this.unwritten(check.definition.CheckID))
    }, after).unref()
  }

  /** An outcome that can't be written is found again by the next run. */
  private record(id: string, status: HealthStatus, output: string): void {
    this.catalog.setCheckStatus(id, status, output).catch(this.unwritten(id))
  }

  private unwritten(id: string): (error: Error) => void {
    return error => this.options.onProblem?.(id, error.message)
  }
}

function reasonOf(error: Error, signal: AbortSignal): string {
  return signal.aborted && signal.reason instanceof Error ? signal.reason.message : error.message
}

function runCheck(check: CheckDefinition, signal: AbortSignal): Promise<Outcome> {
  return check.Type === 'tcp' ? runTcpCheck(check, signal) : runHttpCheck(check, signal)
}

function runTcpCheck(check: CheckDefinition, signal: AbortSignal): Promise<Outcome> {
  const colon = check.TCP.lastIndexOf(':')
  const host = check.TCP.slice(0, colon).replace(/^\[|\]$/g, '') || '127.0.0.1'
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host, port: Number(check.TCP.slice(colon + 1)), signal })
    socket.once('connect', () => {
      socket.destroy()
      resolve({ status: 'passing', output: `TCP connect ${check.TCP}: Success` })
    })
    socket.once('error', reject)
  })
}

async function runHttpCheck(check: CheckDefinition, signal: AbortSignal): Promise<Outcome> {
  let url = new URL(check.HTTP)
  for (let hop = 0; ; hop++) {
    const answer = await requestOnce(check, url, signal)
    const redirect = answer.statusCode >= 300 && answer.statusCode < 400 && answer.location !== undefined && !check.DisableRedirects
    if (redirect && hop < MAX_REDIRECTS && URL.canParse(answer.location!, url.href)) {
      url = new URL(answer.location!, url)
      if (url.protocol === 'http:' || url.protocol === 'https:') continue
    }
    const status = answer.statusCode >= 200 && answer.statusCode < 300 ? 'passing' : answer.statusCode === 429 ? 'warning' : 'critical'
    return { status, output: `HTTP ${check.Method} ${check.HTTP}: ${answer.statusCode} Output: ${answer.body}` }
  }
}

interface Answer {
  readonly statusCode: number
  readonly location: string | undefined
  readonly body: string
}

function requestOnce(check: CheckDefinition, url: URL, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { 'user-agent': 'Consul Health Check', accept: 'text/plain, text/*, */*', ...check.Header }
    const request =
      url.protocol === 'https:'
        ? https.request(url, { method: check.Method, headers, signal, agent: false, rejectUnauthorized: !check.TLSSkipVerify })
        : http.request(url, { method: check.Method, headers, signal, agent: false })
    request.once('error', reject)
    request.once('response', response => {
      const chunks: Buffer[] = []
      let bytes = 0
      const finish = (): void =>
        resolve({
          statusCode: response.statusCode ?? 0,
          location: response.headers.location,
          body: Buffer.concat(chunks).toString('utf8', 0, MAX_OUTPUT_BYTES),
        })
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk)
        bytes += chunk.length
        if (bytes < MAX_OUTPUT_BYTES) return
        finish()
        response.destroy()
      })
      response.once('end', finish)
      response.once('error', reject)
    })
    request.end(check.Body)
  })
}

// Runs the checks of this node's services, and those of other nodes that ask for it by their metadata, and writes their outcome to the catalog.
// Started by `ControlPlane`; follows the catalog's changes, so a check runs from its registration to its removal.
// At most `MAX_CONCURRENT_CHECKS` run at once; a check that is due while all are busy waits in line (once, not once an interval).
// Invariant: a check that is gone never reports.
import { Renewals } from '../store/renewals.js'
import type { Store } from '../store/store.js'
import type { HeldLease } from '../store/task-leases.js'
import type { Catalog } from './catalog.js'
import { type CatalogChange, type CatalogCheck, type CheckExposure, keyOn, OWN_NODE, splitKey } from './catalog-types.js'
import { type CheckDefinition, type CheckType, type HealthStatus, SIDECAR_LISTENING } from './check-definition.js'
import { throughSidecar } from './check-exposure.js'
import type { CheckOutcome, CheckRunner } from './checks/check-outcome.js'
import { httpCheck } from './checks/http-check.js'
import { grpcCheck, h2PingCheck } from './checks/http2-checks.js'
import { scriptCheck } from './checks/script-check.js'
import { tcpCheck, udpCheck } from './checks/socket-checks.js'
import { NODE } from './maintenance-check.js'

export const MAX_CONCURRENT_CHECKS = 64
/** The first run comes at a random point of the interval, but no later than this, so that a new instance is soon in service. */
const MAX_FIRST_DELAY_MS = 500
/** A sidecar that has just been registered is asked this often until it listens for the first time. */
const STARTING_SIDECAR_INTERVAL_MS = 1_000
/** What could not be written and no later run would find again is written after this. */
const RETRY_MS = 1_000
/** Metadata of a node whose services nobody checks: consul-esm looks for it too. */
const EXTERNAL_NODE = 'external-node'

export interface HealthChecksOptions {
  readonly random?: () => number
  readonly onDeregister?: (serviceId: string, checkId: string) => void
  /** What came of a check could not be written. */
  readonly onProblem?: (checkId: string, reason: string) => void
  /** Where replicas share the catalog, one of them runs its checks. */
  readonly store?: Store
}

interface RunningCheck {
  /** Key of its node. */
  readonly node: string
  readonly definition: CheckDefinition
  /** As it is run: of a check that goes through a sidecar with the sidecar's address. */
  readonly asked: CheckDefinition
  readonly exposed: CheckExposure | undefined
  timer: NodeJS.Timeout | undefined
  /** Stops the run in progress. */
  abort: AbortController | undefined
  waiting: boolean
  /** Equal outcomes in a row. */
  successes: number
  failures: number
  everPassed: boolean
  deregisterTimer: NodeJS.Timeout | undefined
}

export class HealthChecks {
  private readonly catalog: Catalog
  private readonly random: () => number
  private readonly options: HealthChecksOptions
  private readonly running = new Map<string, RunningCheck>()
  /** Alias checks by the key of what they follow: an instance, or without an id a node. */
  private readonly aliases = new Map<string, Set<RunningCheck>>()
  /** Checks of sidecars that have not listened yet, by the sidecar's id. */
  private readonly starting = new Map<string, Set<RunningCheck>>()
  private readonly line: RunningCheck[] = []
  private active = 0
  private stopped = false
  private isOurTask = true
  private lease: HeldLease | undefined
  private readonly heartbeats: Renewals | undefined
  private release: (() => Promise<void>) | undefined

  constructor(catalog: Catalog, options: HealthChecksOptions = {}) {
    this.catalog = catalog
    this.random = options.random ?? Math.random
    this.options = options
    this.heartbeats = options.store && new Renewals(options.store, 'ttl-checks', id => this.heartbeat(id))
  }

  start(): void {
    this.catalog.onChange(change => this.follow(change))
    const { store } = this.options
    if (store === undefined) {
      this.reconcileAll()
      return
    }
    this.isOurTask = false
    this.release = store.leases.contend('health-checks', lease => {
      this.isOurTask = true
      this.lease = lease
      this.reconcileAll()
      lease.signal.addEventListener('abort', () => this.drop(), { once: true })
    })
  }

  async stop(): Promise<void> {
    this.stopped = true
    this.drop()
    this.heartbeats?.stop()
    await this.release?.()
  }

  /** No check is ours any more. */
  private drop(): void {
    this.isOurTask = false
    for (const check of this.running.values()) this.end(check)
    this.running.clear()
    this.aliases.clear()
    this.starting.clear()
    this.line.length = 0
  }

  private heartbeat(id: string): void {
    const check = this.running.get(keyOn(OWN_NODE, id))
    if (check?.definition.Type === 'ttl') this.armTtl(check)
  }

  /** A TTL check's heartbeat; resolves once it is written. False when there is no such TTL check. */
  async updateTtl(id: string, status: HealthStatus, output: string): Promise<boolean> {
    const definition = this.catalog.check(id)?.definition
    if (definition?.Type !== 'ttl') return false
    this.heartbeats?.renewed(id, definition.ttlMs)
    const check = this.running.get(keyOn(OWN_NODE, id))
    if (check !== undefined) {
      this.armTtl(check)
      this.watchCritical(check, status)
    }
    return this.catalog.setCheckStatus(id, status, output)
  }

  /** All that there are: at the start, and when they have become ours. */
  private reconcileAll(): void {
    if (this.stopped || !this.isOurTask) return
    for (const check of this.catalog.checks()) this.reconcile(keyOn(check.Node, check.definition.CheckID), check)
    for (const all of this.aliases.values()) for (const alias of all) this.followAlias(alias)
  }

  /** Looks at what has changed alone: a mesh has many checks, and one of them changes at a time. */
  private follow({ nodes, instances, checks }: CatalogChange): void {
    if (this.stopped || !this.isOurTask) return
    const changed = new Set(instances)
    for (const key of checks) {
      const check = this.catalog.checkByKey(key)
      this.reconcile(key, check)
      // It may have been one of the node itself.
      changed.add(keyOn(splitKey(key).node, NODE))
      if (check?.definition.Type === 'alias') changed.add(followedBy(check.definition, this.catalog))
    }
    for (const node of nodes) {
      for (const check of this.catalog.checksOn(node)) this.reconcile(keyOn(node, check.definition.CheckID), check)
      changed.add(keyOn(node, NODE))
    }
    for (const key of changed) for (const alias of this.aliases.get(key) ?? []) this.followAlias(alias)
  }

  private reconcile(key: string, check: CatalogCheck | undefined): void {
    const running = this.running.get(key)
    const wanted = check !== undefined && this.isOurs(check) ? check : undefined
    if (running !== undefined && running.definition === wanted?.definition && goesTheSameWay(running.exposed, wanted.exposed)) return
    if (running !== undefined) {
      this.end(running)
      this.running.delete(key)
      this.index(running, removeFrom)
    }
    if (wanted !== undefined) this.begin(wanted)
  }

  private index(running: RunningCheck, change: (map: Map<string, Set<RunningCheck>>, key: string, check: RunningCheck) => void): void {
    const { node, definition, exposed } = running
    if (definition.Type === 'alias') change(this.aliases, followedBy(definition, this.catalog), running)
    if (exposed !== undefined) change(this.starting, exposed.Proxy, running)
    else if (node === OWN_NODE && definition.Name === SIDECAR_LISTENING) change(this.starting, definition.ServiceID, running)
  }

  /** What was registered with the catalog is watched by who registered it, unless its node says that nobody does. */
  private isOurs(check: CatalogCheck): boolean {
    if (check.registered === undefined) return true
    return check.Node !== OWN_NODE && this.catalog.nodeOf(check).Meta?.[EXTERNAL_NODE] === 'true'
  }

  private begin(check: CatalogCheck): void {
    const { definition, exposed, Node: node } = check
    const running: RunningCheck = {
      node,
      definition,
      exposed,
      asked: exposed === undefined ? definition : throughSidecar(definition, exposed),
      timer: undefined,
      abort: undefined,
      waiting: false,
      // Where nothing good is known yet the first outcome counts at once, whatever the thresholds.
      successes: check.status === 'critical' ? definition.SuccessBeforePassing : 0,
      failures: check.status === 'critical' ? definition.FailuresBeforeCritical : 0,
      // What has passed without the sidecar says nothing about the way through it.
      everPassed: check.status === 'passing' && exposed === undefined,
      deregisterTimer: undefined,
    }
    this.running.set(keyOn(node, definition.CheckID), running)
    this.index(running, addTo)
    this.watchCritical(running, check.status)
    if (definition.Type === 'ttl') this.armTtl(running)
    else if (RUNNERS[definition.Type] !== undefined)
      this.schedule(running, this.random() * Math.min(definition.intervalMs, MAX_FIRST_DELAY_MS))
  }

  private end(check: RunningCheck): void {
    clearTimeout(check.timer)
    clearTimeout(check.deregisterTimer)
    check.abort?.abort()
    check.waiting = false
  }

  private followAlias(check: RunningCheck): void {
    const { CheckID: id, AliasService: service, AliasNode: node } = check.definition
    const on = node === '' ? OWN_NODE : this.catalog.nodeKey(node)
    const target = this.catalog.instanceOn(on, service)
    if (node !== '' && this.catalog.node(node) === undefined) this.record(check, 'critical', `Node ${node} could not be found`)
    else if (service !== '' && target === undefined) this.record(check, 'critical', `Service ${service} could not be found`)
    else {
      const all = target === undefined ? this.catalog.checksOfService(on, NODE) : this.catalog.checksOf(target)
      // An alias of its own service would never leave the status that it has.
      const others = all.filter(({ Node, definition }) => Node !== OWN_NODE || definition.CheckID !== id)
      const bad = others.find(({ status }) => status === 'critical') ?? others.find(({ status }) => status === 'warning')
      this.record(check, bad?.status ?? 'passing', bad === undefined ? 'All checks passing.' : bad.output)
    }
  }

  private schedule(check: RunningCheck, delayMs: number): void {
    check.timer = setTimeout(() => this.due(check), delayMs)
    check.timer.unref()
  }

  private armTtl(check: RunningCheck): void {
    clearTimeout(check.timer)
    check.timer = setTimeout(() => this.expire(check), check.definition.ttlMs)
    check.timer.unref()
  }

  private expire(check: RunningCheck): void {
    check.timer = undefined
    const last = this.catalog.check(check.definition.CheckID)?.output ?? ''
    this.report(check, 'critical', last === '' ? 'TTL expired' : `TTL expired (last output before timeout follows): ${last}`)
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
    const outcome = await RUNNERS[check.definition.Type]!(check.asked, abort.signal).catch(
      (error: Error): CheckOutcome => ({ status: 'critical', output: reasonOf(error, abort.signal) }),
    )
    clearTimeout(timeout)
    this.active--
    check.abort = undefined
    if (this.isRunning(check)) {
      this.count(check, outcome)
      this.schedule(check, this.intervalOf(check))
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

  /** Soon after a proxy has taken its configuration: a listener that was not there may be now. */
  proxySynced(proxyId: string): void {
    for (const check of this.starting.get(proxyId) ?? []) {
      if (check.everPassed || check.abort !== undefined) continue
      clearTimeout(check.timer)
      if (!check.waiting) this.due(check)
    }
  }

  private intervalOf({ definition, everPassed }: RunningCheck): number {
    const starting = !everPassed && definition.Name === SIDECAR_LISTENING
    return starting ? Math.min(definition.intervalMs, STARTING_SIDECAR_INTERVAL_MS) : definition.intervalMs
  }

  /** Consul's thresholds: a status is taken once so many equal outcomes have come in a row, that one among them. */
  private count(check: RunningCheck, { status, output }: CheckOutcome): void {
    const { SuccessBeforePassing, FailuresBeforeCritical, FailuresBeforeWarning } = check.definition
    if (status === 'critical') {
      check.successes = 0
      check.failures++
      if (check.failures >= FailuresBeforeCritical) this.report(check, 'critical', output)
      else if (check.failures >= FailuresBeforeWarning) this.report(check, 'warning', output)
      return
    }
    check.everPassed = true
    check.failures = 0
    check.successes++
    if (check.successes >= SuccessBeforePassing) this.report(check, status, output)
  }

  private report(check: RunningCheck, status: HealthStatus, output: string): void {
    this.record(check, status, output)
    this.watchCritical(check, status)
  }

  private watchCritical(check: RunningCheck, status: HealthStatus): void {
    const after = check.definition.deregisterAfterMs
    if (after === 0 || check.definition.ServiceID === NODE) return
    if (status !== 'critical') {
      clearTimeout(check.deregisterTimer)
      check.deregisterTimer = undefined
      return
    }
    check.deregisterTimer ??= setTimeout(() => {
      this.options.onDeregister?.(check.definition.ServiceID, check.definition.CheckID)
      this.deregister(check)
    }, after).unref()
  }

  private deregister(check: RunningCheck): void {
    const { definition, deregisterTimer: due } = check
    this.catalog.deregister(definition.ServiceID, this.lease).catch((error: Error) => {
      this.unwritten(definition.CheckID, error)
      // One that has become well meanwhile stays.
      if (this.isRunning(check) && check.deregisterTimer === due)
        check.deregisterTimer = setTimeout(() => this.deregister(check), RETRY_MS).unref()
    })
  }

  /** An outcome that can't be written is found again by the next run; where there is none, it is tried again. */
  private record(check: RunningCheck, status: HealthStatus, output: string): void {
    const { node, definition } = check
    this.catalog.setCheckStatus(definition.CheckID, status, output, node, this.lease).catch((error: Error) => {
      this.unwritten(definition.CheckID, error)
      // A heartbeat that came meanwhile has armed it already.
      if (!this.isRunning(check) || check.timer !== undefined) return
      if (definition.Type === 'ttl') check.timer = setTimeout(() => this.expire(check), RETRY_MS).unref()
      if (definition.Type === 'alias')
        check.timer = setTimeout(() => {
          check.timer = undefined
          this.followAlias(check)
        }, RETRY_MS).unref()
    })
  }

  private isRunning(check: RunningCheck): boolean {
    return !this.stopped && this.running.get(keyOn(check.node, check.definition.CheckID)) === check
  }

  private unwritten(id: string, { message }: Error): void {
    if (!this.stopped) this.options.onProblem?.(id, message)
  }
}

function goesTheSameWay(before: CheckExposure | undefined, after: CheckExposure | undefined): boolean {
  return before?.Port === after?.Port && before?.Address === after?.Address && before?.Proxy === after?.Proxy
}

/** What an alias check is about. A node that is not there (yet) has the key that it will have. */
function followedBy({ AliasService, AliasNode }: CheckDefinition, catalog: Catalog): string {
  return keyOn(AliasNode === '' ? OWN_NODE : catalog.nodeKey(AliasNode), AliasService)
}

function addTo(map: Map<string, Set<RunningCheck>>, key: string, check: RunningCheck): void {
  const checks = map.get(key)
  if (checks === undefined) map.set(key, new Set([check]))
  else checks.add(check)
}

function removeFrom(map: Map<string, Set<RunningCheck>>, key: string, check: RunningCheck): void {
  const checks = map.get(key)
  if (checks?.delete(check) && checks.size === 0) map.delete(key)
}

function reasonOf(error: Error, signal: AbortSignal): string {
  return signal.aborted && signal.reason instanceof Error ? signal.reason.message : error.message
}

const RUNNERS: Readonly<Partial<Record<CheckType, CheckRunner>>> = {
  http: httpCheck,
  tcp: tcpCheck,
  udp: udpCheck,
  grpc: grpcCheck,
  h2ping: h2PingCheck,
  script: scriptCheck,
}

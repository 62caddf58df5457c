// All listeners of the proxy by name, and their changes: add, swap under the open socket, drain and remove. A listener serves once what it
// awaits is there, routes and secrets first of all (warming, each within its initial_fetch_timeout); until then the old version, if any, goes on.
//
//   apply ──▶ warming ──all there──▶ active ──remove──▶ draining ──drain time──▶ gone

import type { Socket } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import type { SocketDestination } from '../../io/socket-options.js'
import { listenerManagerStats } from '../../metrics/stat-names.js'
import { formatAddress } from '../../model/address.js'
import type { ConfigError } from '../../model/config-error.js'
import type { Listener } from '../../model/listener.js'
import type { AwaitedConfig } from '../awaited-config.js'
import { DrainSequence } from '../drain-sequence.js'
import type { HeldStream, OverloadedListeners } from '../overload/overload-actions.js'
import type { OfferedSocket, Predecessor } from '../predecessor.js'
import type { AcceptGate } from './accept-gate.js'
import { ActiveListener, type ConnectionTally, type SocketSharing } from './active-listener.js'
import { type CompiledListener, compileListener, type ListenerEnvironment } from './compile-listener.js'

export interface ListenerRegistryOptions {
  readonly drainTimeMs: () => number
  /** Strategy `immediate` asks every client to leave at once; `gradual` spreads it over the drain time. */
  readonly immediateDrain: boolean
  readonly sharing: SocketSharing | null
  /** Null: every client is taken. */
  readonly gate: AcceptGate | null
  /** Whose sockets are taken where a listener has the same address. */
  readonly predecessor: Predecessor | null
}

interface Entry {
  readonly isStatic: boolean
  compiled: CompiledListener | null
  active: ActiveListener | null
  warming: CompiledListener | null
  /** The address of a version that must wait is tried; nothing else may bind it meanwhile. */
  trial: Promise<unknown> | null
  /** A version that may serve is being bound. */
  binding: Promise<unknown> | null
  stopWaiting: (() => void)[]
}

const ANY_IPV6: ReadonlySet<string> = new Set(['::'])
/** A socket of IPv6 takes both. */
const ANY_IPV4: ReadonlySet<string> = new Set(['0.0.0.0', '::'])

export class ListenerRegistry implements OverloadedListeners {
  private readonly env: ListenerEnvironment
  private readonly options: ListenerRegistryOptions
  private readonly entries = new Map<string, Entry>()
  private readonly draining = new Set<ActiveListener>()
  private readonly tally: ConnectionTally = { open: 0 }
  /** Of `active`, by the port that each is configured for; null: to be made anew. */
  private byPort: ReadonlyMap<number, readonly ActiveListener[]> | null = null
  /** Why the last version of a listener could not be bound, by its name. */
  private readonly bindFailures = new Map<string, string>()
  readonly stats
  /** Listeners are bound when the clusters are initialised (Envoy starts its workers then). */
  private started = false
  private onReadyChange: (() => void) | null = null
  /** Another process serves: what changes from now on is for the connections that are left. */
  private handedOver = false
  /** Listeners began or ceased to serve, or may have. */
  onChange: (() => void) | null = null

  constructor(env: ListenerEnvironment, options: ListenerRegistryOptions) {
    this.env = env
    this.options = options
    this.stats = listenerManagerStats(env.store)
  }

  /** What apply would refuse, but for an address that cannot be bound. Nothing is kept. */
  check(model: Listener): readonly ConfigError[] {
    const compiled = compileListener(model, this.env)
    if (!compiled.ok) return compiled.errors
    compiled.value.release()
    return []
  }

  /** Why it is refused; then the old version of the listener goes on. A version that needs no binding is in use when this returns. */
  async apply(model: Listener, isStatic = false): Promise<readonly ConfigError[]> {
    const known = this.entries.get(model.name)
    if (known?.isStatic === true && !isStatic) return [{ path: 'name', reason: `listener ${model.name} is static: it cannot be updated` }]
    const present = known?.warming ?? known?.compiled
    if (present != null && isDeepStrictEqual(present.source, model)) return []
    const result = this.compile(model)
    if (!result.ok) return result.errors
    const compiled = result.value
    const entry: Entry = known ?? {
      isStatic,
      compiled: null,
      active: null,
      warming: null,
      trial: null,
      binding: null,
      stopWaiting: [],
    }
    if (known === undefined) {
      this.entries.set(model.name, entry)
      this.stats.listener_added.value++
    } else this.stats.listener_modified.value++
    this.dropWarming(entry)
    entry.warming = compiled
    this.refreshGauges()
    const { started } = this
    let refused: string | null = null
    // Envoy binds now, whenever the listener may serve, and refuses the update where it cannot. Node binds and listens in one.
    if (!isStatic && !(started && compiled.awaited.every(({ ready }) => ready))) refused = await this.tryBind(model.name, entry, compiled)
    if (refused === null && started) refused = await this.warm(model.name, entry)
    return refused === null ? [] : [{ path: 'address', reason: refused }]
  }

  private compile(model: Listener) {
    return compileListener(model, this.env, () => void this.refresh(model))
  }

  /** A filter of it came over ECDS, changed or went: new connections get what there is now. */
  private async refresh(source: Listener): Promise<void> {
    const { name } = source
    const entry = this.entries.get(name)
    if (entry?.binding != null) await entry.binding.catch(() => {})
    if (entry === undefined || this.entries.get(name) !== entry) return
    if (entry.warming?.source !== source && entry.compiled?.source !== source) return
    const result = this.compile(source)
    if (!result.ok) {
      this.env.log('warn', `listener ${name}: what came over ECDS cannot be used`, { errors: result.errors })
      return
    }
    if (entry.warming?.source === source) {
      this.dropWarming(entry)
      entry.warming = result.value
      if (this.started) await this.warm(name, entry)
      return
    }
    const old = entry.compiled
    entry.compiled = result.value
    entry.active?.update(result.value.version)
    old?.release()
    this.changed()
  }

  private newActive({ version }: CompiledListener): ActiveListener {
    const { sharing, predecessor, gate } = this.options
    return new ActiveListener(version, this.handedOver ? { kind: 'handed' } : sharing, predecessor, gate, this.tally, destination =>
      this.listenerAt(destination),
    )
  }

  private async tryBind(name: string, entry: Entry, compiled: CompiledListener): Promise<string | null> {
    const { active } = entry
    if (active !== null && sameAddress(active.version.model, compiled.version.model)) return null
    const trial = this.newActive(compiled).tryBind()
    entry.trial = trial.catch(() => {})
    try {
      await trial
      return null
    } catch (error) {
      return this.bindFailed(name, entry, compiled, error as Error)
    } finally {
      entry.trial = null
    }
  }

  /** The old version, if there is one, goes on. */
  private bindFailed(name: string, entry: Entry, compiled: CompiledListener, { message }: Error): string {
    this.stats.listener_create_failure.value++
    this.env.log('warn', `listener ${name}: ${message}`)
    if (entry.warming === compiled) {
      this.dropWarming(entry)
      this.bindFailures.set(name, message)
      if (entry.active === null) this.entries.delete(name)
    }
    this.changed()
    return message
  }

  /** Bind everything that waits for it. Reasons of the static listeners that could not; dynamic ones are logged and counted alone. */
  async start(): Promise<{ readonly name: string; readonly reason: string }[]> {
    this.started = true
    const failures: { name: string; reason: string }[] = []
    const waiting = [...this.entries].filter(([, { warming }]) => warming !== null)
    const inherits = ([, { warming }]: (typeof waiting)[number]): boolean => this.inheritsSockets(warming!.version.model)
    // Those that may fail first: a start that fails must not have taken a client from the process before this one.
    for (const each of [waiting.filter(entry => !inherits(entry)), waiting.filter(inherits)]) {
      if (failures.length > 0) break
      await Promise.all(
        each.map(async ([name, entry]) => {
          const reason = entry.warming === null ? null : await this.warm(name, entry)
          if (reason !== null && entry.isStatic) failures.push({ name, reason })
        }),
      )
    }
    this.stats.workers_started.value = 1
    return failures
  }

  private inheritsSockets({ address, additionalAddresses }: Listener): boolean {
    const { predecessor } = this.options
    return predecessor !== null && [address, ...additionalAddresses].some(each => each.kind === 'pipe' || predecessor.has(each))
  }

  private warm(name: string, entry: Entry): Promise<string | null> | null {
    const compiled = entry.warming!
    const missing = new Set(compiled.awaited.filter(({ ready }) => !ready))
    if (missing.size === 0) return this.activate(name, entry, compiled)
    const over = (awaited: AwaitedConfig): void => {
      if (entry.warming !== compiled || !missing.delete(awaited) || missing.size > 0) return
      this.finishWaiting(entry)
      void this.activate(name, entry, compiled)
    }
    for (const awaited of [...missing]) {
      // Envoy: a first version that is refused must not hold up the start. A listener that serves keeps its old version for the time.
      const refused = (): void => {
        if (entry.active === null) over(awaited)
      }
      entry.stopWaiting.push(awaited.whenReady(() => over(awaited), refused))
      const { timeoutMs } = awaited
      if (timeoutMs === 0 || !missing.has(awaited)) continue
      const timer = setTimeout(() => {
        this.env.log('warn', `listener ${name}: no ${awaited.name} within ${timeoutMs} ms, starting without`)
        over(awaited)
      }, timeoutMs)
      timer.unref()
      entry.stopWaiting.push(() => clearTimeout(timer))
    }
    return null
  }

  private finishWaiting(entry: Entry): void {
    for (const stop of entry.stopWaiting.splice(0)) stop()
  }

  private async activate(name: string, entry: Entry, compiled: CompiledListener): Promise<string | null> {
    const { active } = entry
    if (active !== null && sameAddress(active.version.model, compiled.version.model)) {
      entry.warming = null
      this.bindFailures.delete(name)
      const old = entry.compiled
      entry.compiled = compiled
      active.update(compiled.version)
      old?.release()
      this.stats.listener_in_place_updated.value++
      this.changed()
      return null
    }
    if (entry.trial !== null) await entry.trial
    const next = this.newActive(compiled)
    try {
      if (entry.warming === compiled) {
        entry.binding = next.bind()
        await entry.binding
      }
    } catch (error) {
      return this.bindFailed(name, entry, compiled, error as Error)
    } finally {
      entry.binding = null
    }
    if (entry.warming !== compiled) {
      next.destroy()
      return null
    }
    entry.warming = null
    this.bindFailures.delete(name)
    const old = entry.compiled
    entry.compiled = compiled
    entry.active = next
    this.stats.listener_create_success.value++
    if (active !== null) this.drainAway(active, old)
    this.changed()
    return null
  }

  remove(name: string): boolean {
    this.bindFailures.delete(name)
    const entry = this.entries.get(name)
    if (entry === undefined || entry.isStatic) return false
    this.dropWarming(entry)
    this.entries.delete(name)
    this.stats.listener_removed.value++
    if (entry.active !== null) this.drainAway(entry.active, entry.compiled)
    else entry.compiled?.release()
    this.changed()
    return true
  }

  private dropWarming(entry: Entry): void {
    this.finishWaiting(entry)
    entry.warming?.release()
    entry.warming = null
  }

  private drainAway(active: ActiveListener, compiled: CompiledListener | null): void {
    active.stopAccepting()
    active.drainBy(this.newDrainSequence())
    this.draining.add(active)
    const timer = setTimeout(() => {
      active.destroy()
      this.draining.delete(active)
      compiled?.release()
      this.refreshGauges()
    }, this.options.drainTimeMs())
    timer.unref()
  }

  private newDrainSequence(): DrainSequence {
    return new DrainSequence(this.options.drainTimeMs(), this.options.immediateDrain, this.env.random)
  }

  private changed(): void {
    this.byPort = null
    this.refreshGauges()
    this.onReadyChange?.()
    this.onChange?.()
  }

  private refreshGauges(): void {
    let active = 0
    let warming = 0
    for (const entry of this.entries.values()) {
      if (entry.active !== null) active++
      if (entry.warming !== null) warming++
    }
    this.stats.total_listeners_active.value = active
    this.stats.total_listeners_warming.value = warming
    this.stats.total_listeners_draining.value = this.draining.size
  }

  /** Calls `done` once no listener warms. */
  whenWarm(done: () => void): void {
    const check = (): void => {
      for (const entry of this.entries.values()) if (entry.warming !== null) return
      this.onReadyChange = null
      done()
    }
    this.onReadyChange = check
    check()
  }

  get warmingNames(): string[] {
    return [...this.entries].filter(([, entry]) => entry.warming !== null).map(([name]) => name)
  }

  /** What each warming listener waits for. */
  get warmingReasons(): { readonly name: string; readonly waitsFor: readonly string[] }[] {
    return [...this.entries].flatMap(([name, { warming }]) =>
      warming === null ? [] : [{ name, waitsFor: warming.awaited.filter(({ ready }) => !ready).map(awaited => awaited.name) }],
    )
  }

  /** Listeners whose last version could not be bound, each with the reason. */
  get bindProblems(): string[] {
    return [...this.bindFailures].map(([name, reason]) => `listener ${name}: ${reason}`)
  }

  get active(): ActiveListener[] {
    return [...this.entries.values()].flatMap(entry => (entry.active === null ? [] : [entry.active]))
  }

  /** Whose address a redirected connection was for: exactly, or every address with that port. */
  private listenerAt({ host, port }: SocketDestination): ActiveListener | null {
    const every = host.includes(':') ? ANY_IPV6 : ANY_IPV4
    let wildcard: ActiveListener | null = null
    this.byPort ??= listenersByPort(this.active)
    for (const active of this.byPort.get(port) ?? []) {
      const { address } = active.version.model
      if (address.kind !== 'socket') continue
      if (address.host === host) return active
      if (every.has(address.host)) wildcard = active
    }
    return wildcard
  }

  /** Of a worker: a client of that listener. */
  take(name: string, socket: Socket): void {
    const active = this.entries.get(name)?.active
    if (active == null) socket.destroy()
    else active.accept(socket)
  }

  /** Cluster names that tcp_proxy filters and inline routes use. */
  *clusterNames(): IterableIterator<string> {
    for (const entry of this.entries.values()) {
      if (entry.compiled !== null) yield* entry.compiled.clusterNames
      if (entry.warming !== null) yield* entry.warming.clusterNames
    }
  }

  get connectionCount(): number {
    return this.tally.open
  }

  // ---- overload ---------------------------------------------------------------------------------------------------------------

  /** Clients that were made to wait are let in. */
  acceptHeld(): void {
    for (const listener of this.active) listener.acceptHeld()
  }

  rescaleTimeouts(): void {
    for (const listener of [...this.active, ...this.draining]) listener.rescaleTimeouts()
  }

  *streams(): IterableIterator<HeldStream> {
    for (const listener of [...this.active, ...this.draining]) yield* listener.streams()
  }

  /** The process ends: every connection ends after what is in progress, and nothing that warms begins any more. */
  drainAll(): void {
    for (const entry of this.entries.values()) this.dropWarming(entry)
    for (const listener of [...this.active, ...this.draining]) listener.drain()
  }

  /** A server-wide drain has begun. */
  announceDrain(inboundOnly: boolean): void {
    for (const listener of this.active) if (!inboundOnly || listener.version.model.trafficDirection === 'INBOUND') listener.announceDrain()
  }

  stopAll(inboundOnly: boolean): void {
    for (const listener of this.active) {
      if (inboundOnly && listener.version.model.trafficDirection !== 'INBOUND') continue
      listener.stopAccepting()
      listener.drainBy(this.newDrainSequence())
      this.stats.listener_stopped.value++
    }
  }

  /** For the process that is to serve after this one. */
  offeredSockets(): OfferedSocket[] {
    return this.active.flatMap(listener => listener.offeredSockets())
  }

  /** That process serves: nothing is accepted or bound here any more, and clients are asked to leave over the drain time. */
  handOver(): void {
    this.handedOver = true
    for (const listener of this.active) listener.keepPaths()
    this.stopAll(false)
  }

  destroyAll(): void {
    for (const listener of [...this.active, ...this.draining]) listener.destroy()
  }
}

function listenersByPort(listeners: readonly ActiveListener[]): Map<number, ActiveListener[]> {
  const byPort = new Map<number, ActiveListener[]>()
  for (const listener of listeners) {
    const { address } = listener.version.model
    if (address.kind !== 'socket') continue
    const same = byPort.get(address.port)
    if (same === undefined) byPort.set(address.port, [listener])
    else same.push(listener)
  }
  return byPort
}

function sameAddress(a: Listener, b: Listener): boolean {
  const text = (listener: Listener): string => [listener.address, ...listener.additionalAddresses].map(formatAddress).join()
  return text(a) === text(b) && a.bindToPort === b.bindToPort && a.transparent === b.transparent
}

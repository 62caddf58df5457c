// `Expose.Checks`: HTTP and gRPC checks of services whose sidecar exposes them are sent through it, on a port of a range that is given out here.
// Follows the catalog of one machine and whatever else says which sidecars do so (registrations, config entries), and writes to each check where
// it goes; the checks are run, and the sidecar's listeners made, by what is written. Made by `ControlPlane` and `ClientAgent`.
// Invariants: no port of the machine is given out twice; a check keeps its port for as long as it is exposed, unless it is registered for
// something else.
import type { ConfigEntry } from '../config-entries/types.js'
import type { ConfigEntryTable } from '../config-entry-table.js'
import { RecurringProblem } from '../recurring-problem.js'
import type { Catalog } from './catalog.js'
import { type CatalogChange, type CatalogCheck, type CatalogInstance, type CheckExposure, OWN_NODE, splitKey } from './catalog-types.js'
import { withCentralConfig } from './central-config.js'
import { isExposable, singleAddressOf } from './check-exposure.js'

export interface ExposedChecksOptions {
  readonly exposeMinPort: number
  readonly exposeMaxPort: number
  /** With what config entries say of it. */
  merged(sidecar: CatalogInstance): CatalogInstance
  onProblem(reason: string): void
}

interface Change {
  readonly check: CatalogCheck
  readonly exposed: CheckExposure | undefined
}

const RETRY_MS = 1_000

export class ExposedChecks {
  /** IDs of services whose checks are to be looked at. */
  private readonly changed = new Set<string>()
  private running: Promise<void> | undefined
  private stopped = false
  private reportedFull = false
  private readonly unwritten: RecurringProblem

  constructor(
    private readonly catalog: Catalog,
    private readonly options: ExposedChecksOptions,
  ) {
    this.unwritten = new RecurringProblem(options.onProblem, 'checks are exposed again')
  }

  start(): void {
    this.catalog.onChange(change => this.follow(change))
    this.everythingChanged()
  }

  /** Resolves once nothing is written any more. */
  async stop(): Promise<void> {
    this.stopped = true
    await this.running
  }

  /** Other sidecars may expose checks now than did before. */
  everythingChanged(): void {
    for (const { ID, Kind } of this.catalog.instancesOn(OWN_NODE)) if (Kind === '') this.changed.add(ID)
    this.soon()
  }

  private follow({ instances, checks }: CatalogChange): void {
    const given = instances.size === 0 ? new Set<number>() : this.givenPorts()
    for (const key of instances) {
      const { node, id } = splitKey(key)
      if (node !== OWN_NODE) continue
      const instance = this.catalog.instance(id)
      // Which service a sidecar stood before that is gone, nobody knows any more.
      if (instance === undefined) this.everythingChanged()
      else {
        this.changed.add(instance.Proxy?.DestinationServiceID || id)
        // Where a check of another service has its way through a sidecar: that gives way.
        if (given.size > 0 && this.portsOf(instance).some(port => given.has(port))) this.everythingChanged()
      }
    }
    for (const key of checks) {
      const { node, id } = splitKey(key)
      if (node === OWN_NODE) this.changed.add(this.catalog.check(id)?.definition.ServiceID ?? '')
    }
    this.soon()
  }

  private soon(): void {
    if (this.stopped || this.changed.size === 0) return
    this.running ??= this.settle().finally(() => {
      this.running = undefined
      this.soon()
    })
  }

  private async settle(): Promise<void> {
    // What comes with the same change is looked at together.
    await Promise.resolve()
    const ids = [...this.changed]
    this.changed.clear()
    // Most changes are about no such check, and are none of the store's business.
    if (this.changesOf(ids).length === 0) return
    try {
      await this.catalog.change(draft => {
        for (const { check, exposed } of this.changesOf(ids)) {
          const { exposed: _before, ...rest } = check
          draft.setCheck(this.catalog.ownNode.Node, exposed === undefined ? rest : { ...rest, exposed })
        }
      })
      this.unwritten.wentWell()
    } catch (error) {
      this.unwritten.failed(`checks are not exposed: ${(error as Error).message}`)
      if (!this.stopped) setTimeout(() => this.everythingChanged(), RETRY_MS).unref()
    }
  }

  private changesOf(ids: readonly string[]): Change[] {
    const changes: Change[] = []
    let others: Set<number> | undefined
    const given = this.givenPorts()
    for (const id of ids) {
      const service = this.catalog.instance(id)
      const checks = this.catalog.checksOfService(OWN_NODE, id).filter(({ registered }) => registered === undefined)
      const sidecar = service && checks.length > 0 ? this.sidecarThatExposes(service) : undefined
      for (const check of checks) {
        const { exposed: before } = check
        if (sidecar === undefined || !isExposable(check.definition)) {
          if (before !== undefined) changes.push({ check, exposed: undefined })
          continue
        }
        others ??= this.portsOfOthers()
        const Port = before !== undefined && !others.has(before.Port) ? before.Port : this.freePort(others, given)
        if (Port === undefined) this.full(check)
        const exposed = Port === undefined ? undefined : { Proxy: sidecar.ID, Address: dialledAt(sidecar), Port }
        if (before?.Proxy !== exposed?.Proxy || before?.Address !== exposed?.Address || before?.Port !== exposed?.Port)
          changes.push({ check, exposed })
      }
    }
    return changes
  }

  /** As merged. */
  private sidecarThatExposes(service: CatalogInstance): CatalogInstance | undefined {
    for (const sidecar of this.catalog.proxiesOf(service)) {
      const merged = this.options.merged(sidecar)
      if (merged.Proxy?.Expose?.Checks === true) return merged
    }
    return undefined
  }

  private freePort(others: ReadonlySet<number>, given: Set<number>): number | undefined {
    for (let port = this.options.exposeMinPort; port <= this.options.exposeMaxPort; port++) {
      if (others.has(port) || given.has(port)) continue
      given.add(port)
      return port
    }
    return undefined
  }

  /** What of this machine is registered with a port, as far as the catalog knows. */
  private portsOfOthers(): Set<number> {
    return new Set([...this.catalog.instancesOn(OWN_NODE)].flatMap(instance => this.portsOf(instance)))
  }

  private portsOf(instance: CatalogInstance): number[] {
    const { Port, Proxy: proxy } = this.options.merged(instance)
    const bound = proxy?.Config['bind_port']
    return [
      typeof bound === 'number' ? bound : Port,
      ...(proxy?.Upstreams ?? []).map(({ LocalBindPort }) => LocalBindPort),
      ...(proxy?.Expose?.Paths ?? []).map(({ ListenerPort }) => ListenerPort),
    ]
  }

  /** Those that checks have their way through sidecars at. */
  private givenPorts(): Set<number> {
    return new Set([...this.catalog.checksOn(OWN_NODE)].flatMap(({ exposed }) => exposed?.Port ?? []))
  }

  /** Said once: each change of the catalog would find it again. */
  private full({ definition }: CatalogCheck): void {
    if (this.reportedFull) return
    this.reportedFull = true
    const { exposeMinPort, exposeMaxPort } = this.options
    this.options.onProblem(
      `no ports available to expose '${definition.CheckID}' (${exposeMinPort}-${exposeMaxPort}): it goes past the sidecar`,
    )
  }
}

/** Those of the control plane's own node, by its config entries. */
export function exposeByEntries(catalog: Catalog, entries: ConfigEntryTable, options: Omit<ExposedChecksOptions, 'merged'>): ExposedChecks {
  const exposedChecks = new ExposedChecks(catalog, { ...options, merged: sidecar => withCentralConfig(entries, sidecar) })
  entries.onChange(({ before, after }) => {
    if (whatIsExposed(before) !== whatIsExposed(after)) exposedChecks.everythingChanged()
  })
  return exposedChecks
}

/** What an entry says of where the listeners of checks may be. */
function whatIsExposed(entry: ConfigEntry | undefined): string {
  if (entry?.Kind === 'service-defaults') return JSON.stringify([entry.Expose])
  if (entry?.Kind === 'proxy-defaults') return JSON.stringify([entry.Expose, entry.Config?.['bind_address'], entry.Config?.['bind_port']])
  return ''
}

/** Where the listeners of a merged sidecar are, as listeners.ts has it; on this machine where they are at every address. */
function dialledAt({ Address, Proxy: proxy }: CatalogInstance): string {
  const bound = proxy?.Config['bind_address']
  const listening = typeof bound === 'string' && bound !== '' ? bound : Address
  return singleAddressOf(listening) ?? (listening === '::' ? '::1' : '127.0.0.1')
}

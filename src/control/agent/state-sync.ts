// Says to the control plane what is on this machine: every service with its checks, and the checks of the node. At once after a change, and
// all of it when the lease was taken anew and at intervals (anti-entropy), when also what is there and not here is taken out.
// Made by `ClientAgent`; reads the local catalog. Invariant: what the control plane refuses is said once in the log and tried again.
import type { Catalog } from '../catalog/catalog.js'
import { type CatalogCheck, OWN_NODE } from '../catalog/catalog-types.js'
import type { Expose } from '../config-entries/types.js'
import { agentService, checkShape } from '../http-api/shapes.js'
import type { AgentIdentity } from './lease-keeper.js'
import { type ServerLink, ServersAway } from './server-link.js'

interface Registration {
  readonly body: { readonly Checks: readonly { readonly CheckID: string }[] }
  readonly text: string
  readonly isSidecar: boolean
}

export interface StateSyncOptions {
  readonly link: ServerLink
  readonly catalog: Catalog
  readonly identity: AgentIdentity
  /** The agent's own, or the one that the service was registered with. */
  token(serviceId: string): string | undefined
  isHeld(): boolean
  readonly intervalMs?: number
  onProblem(what: string, reason: string): void
  /** What sidecars are, by their IDs, once config entries are merged in. */
  onMerged(sidecars: ReadonlyMap<string, MergedProxy>): void
  onSynced(what: string): void
}

/** What of a sidecar may come from config entries and says where checks are exposed. */
export interface MergedProxy {
  readonly Config?: Readonly<Record<string, unknown>> | null
  readonly Expose?: Expose
}

interface ServiceThere {
  readonly ID: string
  readonly Proxy?: MergedProxy
}

const INTERVAL_MS = 60_000
const RETRY_MS = 2_000
/** Changes of one moment are said together. */
const GATHER_MS = 10
/** The control plane's own. */
const SERF_HEALTH = 'serfHealth'

export class StateSync {
  private readonly options: StateSyncOptions
  /** Service id ('' = the node's checks) -> what the control plane has taken of it. */
  private readonly said = new Map<string, Registration>()
  private readonly refused = new Map<string, string>()
  private timer: NodeJS.Timeout | undefined
  private whole = false
  private running = false
  private again = false
  private stopped = false
  private underWay: Promise<void> = Promise.resolve()

  constructor(options: StateSyncOptions) {
    this.options = options
  }

  start(): void {
    this.options.catalog.onChange(() => this.soon(false, GATHER_MS))
  }

  /** Resolves once nothing more is said, whatever was under way. */
  stop(): Promise<void> {
    this.stopped = true
    clearTimeout(this.timer)
    return this.underWay
  }

  /** All of it, now: after the lease was taken anew. */
  everything(): void {
    this.soon(true, 0)
  }

  private soon(whole: boolean, delayMs: number): void {
    if (this.stopped) return
    this.whole ||= whole
    if (this.running) {
      this.again = true
      return
    }
    clearTimeout(this.timer)
    this.timer = setTimeout(() => {
      this.underWay = this.run()
    }, delayMs)
    this.timer.unref()
  }

  private async run(): Promise<void> {
    if (!this.options.isHeld()) return
    this.running = true
    this.again = false
    const whole = this.whole
    this.whole = false
    let next: number
    try {
      const isDone = await this.sync(whole)
      next = isDone ? (this.options.intervalMs ?? INTERVAL_MS) : RETRY_MS
    } catch (error) {
      // Nothing is lost: the lease keeper says when a server is there again.
      if (!(error instanceof ServersAway)) this.options.onProblem('sync', (error as Error).message)
      next = RETRY_MS
    }
    this.running = false
    if (this.again) this.soon(false, GATHER_MS)
    else this.soon(true, next)
  }

  /** False: something was refused. */
  private async sync(whole: boolean): Promise<boolean> {
    const wanted = this.wanted()
    let isDone = true
    if (whole) {
      this.said.clear()
      isDone = await this.takeOut(wanted)
    } else for (const id of [...this.said.keys()]) if (!wanted.has(id)) isDone = (await this.deregister({ ServiceID: id }, id)) && isDone
    let hasNewSidecar = false
    for (const [id, registration] of wanted) {
      if (this.stopped) return false
      const before = this.said.get(id)
      if (before?.text === registration.text) continue
      const kept = new Set(registration.body.Checks.map(({ CheckID }) => CheckID))
      for (const { CheckID } of before?.body.Checks ?? [])
        if (!kept.has(CheckID)) isDone = (await this.send('deregister', { Node: this.options.identity.name, CheckID }, id)) && isDone
      if (await this.send('register', registration.body, id)) this.said.set(id, registration)
      else isDone = false
      hasNewSidecar ||= before === undefined && registration.isSidecar
    }
    if (hasNewSidecar) await this.servicesThere()
    return isDone
  }

  private wanted(): Map<string, Registration> {
    const { catalog, identity } = this.options
    const node = {
      Node: identity.name,
      ID: identity.id,
      Address: identity.address,
      NodeMeta: identity.meta,
      Locality: identity.locality,
    }
    const registrations = new Map<string, Registration>()
    const checks = catalog.checksOn(OWN_NODE)
    const add = (id: string, service: object, isSidecar = false): void => {
      const own = checks.filter(({ definition }) => definition.ServiceID === id)
      const Checks = own.map(check => ({
        ...checkShape(catalog, check),
        ...asked(check),
        Node: identity.name,
        CheckID: check.definition.CheckID,
      }))
      const body = { ...node, ...service, Checks }
      registrations.set(id, { body, text: JSON.stringify(body), isSidecar })
    }
    for (const instance of catalog.instancesOn(OWN_NODE))
      add(instance.ID, { Service: serviceOf(agentService(instance, '')) }, instance.Kind === 'connect-proxy')
    add('', {})
    return registrations
  }

  /** What the control plane has on this node and this machine has not. */
  private async takeOut(wanted: ReadonlyMap<string, Registration>): Promise<boolean> {
    let isDone = true
    for (const { ID } of await this.servicesThere()) if (!wanted.has(ID)) isDone = (await this.deregister({ ServiceID: ID }, ID)) && isDone
    const checks = (await this.ask(`/v1/health/node/${encodeURIComponent(this.options.identity.name)}`)) as readonly {
      readonly CheckID: string
      readonly ServiceID: string
    }[]
    const known = new Set(this.options.catalog.checksOn(OWN_NODE).map(({ definition }) => definition.CheckID))
    for (const { CheckID, ServiceID } of checks)
      if (CheckID !== SERF_HEALTH && !known.has(CheckID) && (ServiceID === '' || wanted.has(ServiceID)))
        isDone = (await this.deregister({ CheckID }, ServiceID)) && isDone
    return isDone
  }

  /** With what config entries say of them. */
  private async servicesThere(): Promise<readonly ServiceThere[]> {
    const node = encodeURIComponent(this.options.identity.name)
    const path = `/v1/catalog/node-services/${node}?merge-central-config`
    const there = (await this.ask(path)) as { readonly Services?: readonly ServiceThere[] } | null
    const services = there?.Services ?? []
    this.options.onMerged(new Map(services.flatMap(({ ID, Proxy: proxy }) => (proxy === undefined ? [] : [[ID, proxy] as const]))))
    return services
  }

  private async ask(path: string): Promise<unknown> {
    const { link, token } = this.options
    const answer = await link.request({ method: 'GET', path, token: token('') })
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${answer.body.toString().slice(0, 300)}`)
    return JSON.parse(answer.body.toString())
  }

  private async deregister(what: object, id: string): Promise<boolean> {
    const isDone = await this.send('deregister', { Node: this.options.identity.name, ...what }, id)
    if (isDone) this.said.delete(id)
    return isDone
  }

  private async send(verb: 'register' | 'deregister', body: object, id: string): Promise<boolean> {
    const { link, token, onProblem, onSynced } = this.options
    const answer = await link.request({
      method: 'PUT',
      path: `/v1/catalog/${verb}`,
      body: Buffer.from(JSON.stringify(body)),
      token: token(id),
    })
    const what = id === '' ? 'node' : `service ${id}`
    if (answer.status === 200) {
      this.refused.delete(id)
      onSynced(`${verb} ${what}`)
      return true
    }
    const reason = answer.body.toString().slice(0, 500)
    if (this.refused.get(id) !== reason) onProblem(what, reason)
    this.refused.set(id, reason)
    return false
  }
}

/** What the sidecar is to hand on, of a check that goes through it. */
function asked({ exposed, definition: { HTTP, GRPC } }: CatalogCheck): object {
  return exposed === undefined ? {} : { Definition: HTTP === '' ? { GRPC } : { HTTP } }
}

/** As the control plane takes it: no indexes, no datacenter. */
function serviceOf(shape: Record<string, unknown>): object {
  const { CreateIndex: _created, ModifyIndex: _modified, Datacenter: _datacenter, ...service } = shape
  return service
}

// Custom resources of one kind into config entries: each is written by `PUT /v1/config`, and its status says whether the control plane took it.
// One for each kind, run by commands/k8s while it leads.
//
//   created ──> finalizer ──> entry written ──> Synced=True          refused ──> Synced=False with the reason
//   deleted ──> entry deleted ──> finalizer taken off (the API server then forgets the resource)
//
// Invariant: an entry that the API, or another resource, wrote is neither changed nor deleted: the Meta says whose it is. One that its own
// resource has left for another name is anybody's, so that two may change places.
import type { KubeClient } from '../api/kube-client.js'
import { KubeError } from '../api/kube-client.js'
import { ObjectWatch } from '../api/object-watch.js'
import { ReconcileLoop } from '../api/reconcile-loop.js'
import type { ControlPlaneApi } from '../sync/control-plane-api.js'
import { eachAtOnce } from '../sync/each-at-once.js'
import {
  conditionsOf,
  type EntryCondition,
  type NewCondition,
  nextConditions,
  type Refusal,
  SYNCED,
  syncedCondition,
} from './conditions.js'
import { type EntryResource, entryKeyOf, entryOf, GROUP, OWNER, ownerOf, type ResourceKind, VERSION } from './resource-kinds.js'

export interface EntryControllerOptions {
  readonly client: KubeClient
  readonly api: ControlPlaneApi
  readonly kind: ResourceKind
  readonly everyMs: number
  readonly onProblem: (message: string) => void
  /** Whether a rejection is the control plane's own no, which another try does not change. */
  readonly isRefusal: (error: unknown) => boolean
}

/** consul-k8s'. */
const FINALIZER = `finalizers.${GROUP}`
const ENTRY_OF_ANOTHER = 'EntryOfAnother'
/** Of what another run has written. */
const UNKNOWN_GENERATION = -1

interface StoredEntry {
  readonly Name: string
  readonly ModifyIndex: number
  readonly Meta?: Readonly<Record<string, string>> | null
  readonly Status?: { readonly Conditions?: readonly EntryCondition[] | null }
}

export class EntryController {
  private readonly watch: ObjectWatch<EntryResource>
  private readonly loop: ReconcileLoop
  /** Owner -> generation and name that were written, and when the entry is looked at again. */
  private readonly written = new Map<string, { readonly generation: number; readonly name: string; readonly atMs: number }>()
  private hasRead = false

  constructor(private readonly options: EntryControllerOptions) {
    const { client, kind, everyMs, onProblem } = options
    this.loop = new ReconcileLoop({
      reconcile: () => this.reconcile(),
      everyMs,
      onProblem: message => onProblem(`${kind.kind}: ${message}`),
    })
    this.watch = new ObjectWatch<EntryResource>(client, {
      path: `/apis/${GROUP}/${VERSION}/${kind.plural}`,
      onChange: () => this.loop.ask(),
      onProblem,
    })
  }

  async stop(): Promise<void> {
    await Promise.all([this.watch.stop(), this.loop.stop()])
  }

  private async reconcile(): Promise<void> {
    if (!this.watch.synced) return
    if (!this.hasRead) await this.readWritten()
    await eachAtOnce(this.resources(), async resource => {
      try {
        await (resource.metadata.deletionTimestamp === undefined ? this.write(resource) : this.remove(resource))
      } catch (error) {
        // Changed under our hands, or gone: the watch brings the newer one, or its end.
        if (!(error instanceof KubeError && (error.statusCode === 409 || error.statusCode === 404))) throw error
      }
    })
  }

  /** What the resources have there already: one may be of another destination since it was written. */
  private async readWritten(): Promise<void> {
    const { api, kind } = this.options
    for (const { Name: name, Meta } of await api.getJson<StoredEntry[]>(`/v1/config/${kind.entryKind}`)) {
      const owner = Meta?.[OWNER]
      if (owner !== undefined) this.written.set(owner, { generation: UNKNOWN_GENERATION, name, atMs: 0 })
    }
    this.hasRead = true
  }

  private async write(resource: EntryResource): Promise<void> {
    const { metadata } = resource
    const owner = ownerOf(resource)
    const { generation = 0, finalizers = [] } = metadata
    const before = this.written.get(owner)
    if (before?.generation === generation && performance.now() - before.atMs < this.options.everyMs && hasStatus(resource)) return
    if (!finalizers.includes(FINALIZER)) {
      await this.put(resource, { ...resource, metadata: { ...metadata, finalizers: [...finalizers, FINALIZER] } })
      // The watch brings it back with its new version.
      return
    }
    const { name } = entryKeyOf(this.options.kind, resource)
    const problem = await this.apply(resource)
    let held = problem === undefined ? name : (before?.name ?? name)
    // Intentions that are of another destination now: those of the one before would stay in force.
    if (problem === undefined && before !== undefined && before.name !== name) {
      // Whose they are next writes over them: in between nothing would be in force. It is looked at again.
      if (this.isComing(before.name, owner)) held = before.name
      else await this.takeBack(before.name, owner)
    }
    await this.say(resource, problem, problem === undefined ? await this.judged(resource) : [])
    this.written.set(owner, { generation, name: held, atMs: performance.now() })
  }

  /** Another resource is going to have the entry of that name. */
  private isComing(name: string, owner: string): boolean {
    return this.resources().some(other => {
      if (ownerOf(other) === owner || !wants(this.options.kind, other, name)) return false
      const said = other.status?.conditions?.find(each => each.type === SYNCED)
      const isRefused = said?.status === 'False' && said.observedGeneration === other.metadata.generation
      return !isRefused || said.reason === ENTRY_OF_ANOTHER
    })
  }

  private resources(): EntryResource[] {
    return [...this.watch.objects.values()]
  }

  /** Why an entry is not for this resource to write. */
  private strangerOf({ Name: name, Meta }: StoredEntry, owner: string): string | undefined {
    const other = Meta?.[OWNER]
    if (other === owner) return undefined
    if (other === undefined)
      return 'the config entry is there already, and was not written by a resource: delete it, and this one takes its place'
    const theirs = this.resources().find(each => ownerOf(each) === other)
    const hasLeft = theirs !== undefined && !wants(this.options.kind, theirs, name)
    return hasLeft ? undefined : `the config entry is that of the resource ${other}`
  }

  /** '' = it is in force. What might work the next time is thrown. */
  private async apply(resource: EntryResource): Promise<Refusal | undefined> {
    const { api, kind, isRefusal } = this.options
    const made = entryOf(kind, resource)
    if ('problem' in made) return { reason: 'InvalidResource', message: made.problem }
    const present = await api.findJson<StoredEntry>(this.entryPath(resource))
    const stranger = present === undefined ? undefined : this.strangerOf(present, ownerOf(resource))
    if (stranger !== undefined) return { reason: ENTRY_OF_ANOTHER, message: stranger }
    try {
      if (!(await api.putJson<boolean>(`/v1/config?${casOf(present)}`, made.entry))) throw changedMeanwhile(ownerOf(resource))
      return undefined
    } catch (error) {
      if (!isRefusal(error)) throw error
      return { reason: 'ConsulAgentError', message: (error as Error).message }
    }
  }

  /** What the control plane says of the entry as it stands. */
  private async judged(resource: EntryResource): Promise<NewCondition[]> {
    if (!this.options.kind.conditions) return []
    const entry = await this.options.api.findJson<StoredEntry>(this.entryPath(resource))
    return conditionsOf(entry?.Status?.Conditions ?? [])
  }

  private async remove(resource: EntryResource): Promise<void> {
    const { metadata } = resource
    const { finalizers = [] } = metadata
    if (!finalizers.includes(FINALIZER)) return
    const owner = ownerOf(resource)
    const { name } = entryKeyOf(this.options.kind, resource)
    try {
      // Where its last change was refused, the entry of before it is in force.
      for (const each of new Set([name, this.written.get(owner)?.name ?? name])) await this.takeBack(each, owner)
    } catch (error) {
      // A router that still needs it, say: why it stays is said, and it is tried again.
      await this.say(resource, { reason: 'DeletionRefused', message: (error as Error).message })
      throw error
    }
    await this.put(resource, { ...resource, metadata: { ...metadata, finalizers: finalizers.filter(each => each !== FINALIZER) } })
    this.written.delete(owner)
  }

  /** The entry of that name, where it is this owner's. */
  private async takeBack(name: string, owner: string): Promise<void> {
    const { api, kind } = this.options
    const path = `/v1/config/${kind.entryKind}/${encodeURIComponent(name)}`
    const present = await api.findJson<StoredEntry>(path)
    if (present?.Meta?.[OWNER] !== owner) return
    const { text } = await api.delete(`${path}?${casOf(present)}`)
    if (text.trim() !== 'true') throw changedMeanwhile(owner)
  }

  private async say(resource: EntryResource, refusal: Refusal | undefined, judged: readonly NewCondition[] = []): Promise<void> {
    const now = new Date().toISOString().replace(/\.\d+Z$/, 'Z')
    const wanted = [syncedCondition(refusal), ...judged]
    const conditions = nextConditions(resource.status?.conditions ?? [], wanted, resource.metadata.generation, now)
    if (conditions === null) return
    const lastSyncedTime = refusal === undefined ? now : resource.status?.lastSyncedTime
    const status = { conditions, ...(lastSyncedTime === undefined ? {} : { lastSyncedTime }) }
    await this.options.client.update(`${this.path(resource)}/status`, { ...resource, status })
  }

  private put(resource: EntryResource, body: EntryResource): Promise<unknown> {
    return this.options.client.update(this.path(resource), body)
  }

  private path({ metadata: { namespace = '', name } }: EntryResource): string {
    return `/apis/${GROUP}/${VERSION}/namespaces/${namespace}/${this.options.kind.plural}/${name}`
  }

  private entryPath(resource: EntryResource): string {
    const { kind, name } = entryKeyOf(this.options.kind, resource)
    return `/v1/config/${kind}/${encodeURIComponent(name)}`
  }
}

/** Of what was looked at: an entry that somebody has made since is theirs. */
const casOf = (present: StoredEntry | undefined): string => `cas=${present?.ModifyIndex ?? 0}`

/** It is looked at again. */
function changedMeanwhile(owner: string): Error {
  return new Error(`the config entry of ${owner} was written by another meanwhile`)
}

function wants(kind: ResourceKind, resource: EntryResource, name: string): boolean {
  return resource.metadata.deletionTimestamp === undefined && entryKeyOf(kind, resource).name === name
}

function hasStatus({ metadata: { generation }, status }: EntryResource): boolean {
  return status?.conditions?.some(each => each.type === SYNCED && each.observedGeneration === generation) === true
}

// The catalog's services into Kubernetes: an ExternalName Service for each, in one namespace, that names it as DNS of the control plane does.
// Run by commands/k8s while it leads. Invariant: only Services with our label are written or deleted; a name that a Service of somebody
// else's has is left to it, and said once.
import { setTimeout as sleep } from 'node:timers/promises'
import { fullJitterMs } from '../../io/backoff.js'
import type { KubeClient } from '../api/kube-client.js'
import { ObjectWatch } from '../api/object-watch.js'
import { ReconcileLoop } from '../api/reconcile-loop.js'
import type { ControlPlaneApi } from './control-plane-api.js'
import { eachAtOnce } from './each-at-once.js'
import type { KubeService } from './kube-objects.js'
import { SYNCED_LABEL } from './service-instances.js'

export interface ServiceWriterOptions {
  readonly client: KubeClient
  readonly api: ControlPlaneApi
  readonly namespace: string
  /** Services whose tags have it came from Kubernetes. */
  readonly tag: string
  /** Before the name of each Service. */
  readonly prefix: string
  /** Of the control plane's DNS: `consul`. */
  readonly domain: string
  readonly everyMs: number
  readonly onProblem: (message: string) => void
}

const BLOCK_S = 60
const MARGIN_MS = 15_000
const BASE_WAIT_MS = 500
const MAX_WAIT_MS = 30_000
/** RFC 1035, as Kubernetes wants it of Services. */
const LABEL = /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/

export class ServiceWriter {
  private readonly watch: ObjectWatch<KubeService>
  private readonly loop: ReconcileLoop
  private readonly stopping = new AbortController()
  private readonly reading: Promise<void>
  /** Null until the catalog has been read. */
  private names: readonly string[] | null = null
  private problems = new Set<string>()

  constructor(private readonly options: ServiceWriterOptions) {
    const { client, namespace, everyMs, onProblem } = options
    this.loop = new ReconcileLoop({ reconcile: () => this.reconcile(), everyMs, onProblem: message => onProblem(`services: ${message}`) })
    this.watch = new ObjectWatch<KubeService>(client, {
      path: `/api/v1/namespaces/${namespace}/services`,
      onChange: () => this.loop.ask(),
      onProblem,
    })
    this.reading = this.read()
  }

  async stop(): Promise<void> {
    this.stopping.abort()
    await Promise.all([this.watch.stop(), this.loop.stop(), this.reading])
  }

  /** Blocking reads of the catalog, one after the other. */
  private async read(): Promise<void> {
    const { api, tag, onProblem } = this.options
    const { signal } = this.stopping
    let index = '0'
    let attempt = 0
    while (!signal.aborted) {
      try {
        const path = `/v1/catalog/services?index=${index}&wait=${BLOCK_S}s`
        const { text, indexText } = await api.call({ method: 'GET', path, timeoutMs: BLOCK_S * 1000 + MARGIN_MS, signal })
        const services = JSON.parse(text) as Readonly<Record<string, readonly string[]>>
        this.names = Object.entries(services).flatMap(([name, tags]) => (tags.includes(tag) ? [] : [name]))
        index = indexText
        attempt = 0
        this.loop.ask()
      } catch (error) {
        if (signal.aborted) return
        onProblem(`catalog: ${(error as Error).message}`)
        index = '0'
        await sleep(fullJitterMs(attempt++, BASE_WAIT_MS, MAX_WAIT_MS, Math.random), undefined, { signal }).catch(() => {})
      }
    }
  }

  private async reconcile(): Promise<void> {
    if (this.names === null || !this.watch.synced) return
    const { client, namespace, prefix, domain } = this.options
    const collection = `/api/v1/namespaces/${namespace}/services`
    const present = this.watch.objects
    const problems = new Set<string>()
    const wanted = new Map<string, string>()
    for (const name of this.names) {
      const own = prefix + name.toLowerCase()
      const other = present.get(`${namespace}/${own}`)
      if (!LABEL.test(own)) problems.add(`service "${name}": "${own}" is no name of a Kubernetes Service`)
      else if (other !== undefined && other.metadata.labels?.[SYNCED_LABEL] === undefined)
        problems.add(`service "${name}": ${namespace}/${own} is a Service of somebody else`)
      else wanted.set(own, `${name}.service.${domain}`)
    }
    for (const problem of problems) if (!this.problems.has(problem)) this.options.onProblem(problem)
    this.problems = problems
    await eachAtOnce([...wanted], async ([name, externalName]) => {
      const before = present.get(`${namespace}/${name}`)
      const metadata = { name, namespace, labels: { [SYNCED_LABEL]: 'true' } }
      const spec = { type: 'ExternalName', externalName }
      if (before === undefined) await client.create(collection, { apiVersion: 'v1', kind: 'Service', metadata, spec })
      else if (before.spec.externalName !== externalName) await client.update(`${collection}/${name}`, { ...before, spec })
    })
    const obsolete = [...present.values()].filter(
      ({ metadata }) => metadata.labels?.[SYNCED_LABEL] !== undefined && !wanted.has(metadata.name),
    )
    await eachAtOnce(obsolete, ({ metadata }) => client.delete(`${collection}/${metadata.name}`))
  }
}

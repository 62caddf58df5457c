// Kubernetes' Services into the catalog: watches Services, EndpointSlices and Nodes, and keeps one node of the catalog, which is no machine,
// equal to what they say. Run by commands/k8s while it leads. Invariant: nothing is written or taken back before all three lists are whole;
// only services of the own node are ever touched.
import type { KubeClient } from '../api/kube-client.js'
import { ObjectWatch } from '../api/object-watch.js'
import { ReconcileLoop } from '../api/reconcile-loop.js'
import type { ControlPlaneApi } from './control-plane-api.js'
import { eachAtOnce } from './each-at-once.js'
import type { EndpointSlice, KubeNode, KubeService } from './kube-objects.js'
import { type CatalogInstance, type InstanceRules, instancesOf, slicesByService } from './service-instances.js'

export interface CatalogWriterOptions {
  readonly client: KubeClient
  readonly api: ControlPlaneApi
  /** The node of the catalog. */
  readonly node: string
  readonly rules: InstanceRules
  readonly everyMs: number
  readonly onProblem: (message: string) => void
  readonly onWritten: (counts: { readonly registered: number; readonly deregistered: number }) => void
}

/** As the catalog has it. */
interface PresentService {
  readonly ID: string
  readonly Service: string
  readonly Address: string
  readonly Port: number
  readonly Tags?: readonly string[] | null
  readonly Meta?: Readonly<Record<string, string>> | null
}

const CHECK_NAME = 'Kubernetes Readiness Check'

export class CatalogWriter {
  private readonly services: ObjectWatch<KubeService>
  private readonly slices: ObjectWatch<EndpointSlice>
  private readonly nodes: ObjectWatch<KubeNode>
  private readonly loop: ReconcileLoop
  /** ID -> what was written of it. */
  private readonly written = new Map<string, string>()
  private problems = new Set<string>()

  constructor(private readonly options: CatalogWriterOptions) {
    const { client, onProblem, everyMs } = options
    this.loop = new ReconcileLoop({ reconcile: () => this.reconcile(), everyMs, onProblem: message => onProblem(`catalog: ${message}`) })
    const onChange = (): void => this.loop.ask()
    const watch = <T extends KubeService | EndpointSlice | KubeNode>(path: string): ObjectWatch<T> =>
      new ObjectWatch<T>(client, { path, onChange, onProblem })
    this.services = watch('/api/v1/services')
    this.slices = watch('/apis/discovery.k8s.io/v1/endpointslices')
    this.nodes = watch('/api/v1/nodes')
  }

  async stop(): Promise<void> {
    await Promise.all([this.services.stop(), this.slices.stop(), this.nodes.stop(), this.loop.stop()])
  }

  private async reconcile(): Promise<void> {
    if (!this.services.synced || !this.slices.synced || !this.nodes.synced) return
    const { api, node, onWritten } = this.options
    const wanted = this.wanted()
    const path = `/v1/catalog/node-services/${encodeURIComponent(node)}`
    const answer = await api.findJson<{ readonly Services?: readonly PresentService[] | null } | null>(path)
    const present = new Map((answer?.Services ?? []).map(each => [each.ID, each]))
    const changed = [...wanted.values()].filter(
      each => !isAs(present.get(each.id), each) || this.written.get(each.id) !== JSON.stringify(each),
    )
    const obsolete = [...present.keys()].filter(id => !wanted.has(id))
    await eachAtOnce(changed, async instance => {
      await api.put('/v1/catalog/register', registrationOf(instance, node))
      this.written.set(instance.id, JSON.stringify(instance))
    })
    await eachAtOnce(obsolete, async id => {
      await api.put('/v1/catalog/deregister', { Node: node, ServiceID: id })
      this.written.delete(id)
    })
    if (changed.length + obsolete.length > 0) onWritten({ registered: changed.length, deregistered: obsolete.length })
  }

  private wanted(): Map<string, CatalogInstance> {
    const slices = slicesByService(this.slices.objects.values())
    const nodes = new Map([...this.nodes.objects.values()].map(each => [each.metadata.name, each]))
    const wanted = new Map<string, CatalogInstance>()
    const problems = new Set<string>()
    for (const [key, service] of this.services.objects) {
      const { instances, problem } = instancesOf(service, slices.get(key) ?? [], nodes, this.options.rules)
      for (const instance of instances) wanted.set(instance.id, instance)
      if (problem !== '') problems.add(problem)
    }
    for (const problem of problems) if (!this.problems.has(problem)) this.options.onProblem(problem)
    this.problems = problems
    return wanted
  }
}

/** Whether nobody else has changed it. */
function isAs(present: PresentService | undefined, { service, address, port, tags, meta }: CatalogInstance): boolean {
  if (present === undefined || present.Service !== service || present.Address !== address || present.Port !== port) return false
  const { Tags, Meta } = present
  const keys = Object.keys(meta)
  return (
    JSON.stringify(Tags ?? []) === JSON.stringify(tags) &&
    Object.keys(Meta ?? {}).length === keys.length &&
    keys.every(key => Meta?.[key] === meta[key])
  )
}

function registrationOf({ id, service, address, port, tags, meta, ready }: CatalogInstance, node: string): object {
  return {
    Node: node,
    // Nobody calls it: each service has an address of its own.
    Address: '127.0.0.1',
    NodeMeta: { 'external-source': 'kubernetes' },
    SkipNodeUpdate: false,
    Service: { ID: id, Service: service, Address: address, Port: port, Tags: tags, Meta: meta },
    Check: {
      CheckID: `${id}/kubernetes-readiness`,
      Name: CHECK_NAME,
      ServiceID: id,
      Status: ready ? 'passing' : 'critical',
      Output: ready ? 'Kubernetes says that it is ready' : 'Kubernetes says that it is not ready',
    },
  }
}

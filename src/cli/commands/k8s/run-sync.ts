// `outrigger k8s sync` as a process: Kubernetes' Services into the catalog, and the catalog's services into Kubernetes. Called by k8s.ts.
import { namespaceRules } from '../../../kubernetes/namespace-rules.js'
import { CatalogWriter } from '../../../kubernetes/sync/catalog-writer.js'
import type { NodePortAddress } from '../../../kubernetes/sync/service-instances.js'
import { ServiceWriter } from '../../../kubernetes/sync/service-writer.js'
import type { ApiFlags } from '../../command-line/api-flags.js'
import { CliError, type CommandIo } from '../../command-line/command-io.js'
import type { ControlApi } from '../../command-line/control-api.js'
import type { ClusterFlags } from './cluster-flags.js'
import { runLeading } from './leading.js'

export interface SyncFlags extends ApiFlags, ClusterFlags {
  readonly toCatalog?: boolean
  readonly toKubernetes?: boolean
  readonly nodeName?: string
  readonly tag?: string
  readonly explicitOnly?: boolean
  readonly allowNamespace?: readonly string[]
  readonly denyNamespace?: readonly string[]
  readonly withoutClusterIps?: boolean
  readonly nodePortAddress?: string
  readonly namespaceSuffix?: boolean
  readonly writeNamespace?: string
  readonly servicePrefix?: string
  readonly domain?: string
}

const LEASE = 'outrigger-k8s-sync'
const RESYNC_MS = 30_000

export function runSync(flags: SyncFlags, api: ControlApi, io: CommandIo): Promise<void> {
  const { tag = 'k8s', toCatalog, toKubernetes } = flags
  const both = toCatalog !== true && toKubernetes !== true
  const nodePortAddress = nodePortAddressOf(flags.nodePortAddress)
  return runLeading(LEASE, flags, io, ({ client, info, problem }) => [
    ...(both || toCatalog === true
      ? [
          new CatalogWriter({
            client,
            api,
            node: flags.nodeName ?? 'k8s-sync',
            rules: {
              byDefault: flags.explicitOnly !== true,
              ...namespaceRules(flags.allowNamespace, flags.denyNamespace),
              clusterIps: flags.withoutClusterIps !== true,
              nodePortAddress,
              tag,
              namespaceSuffix: flags.namespaceSuffix === true,
            },
            everyMs: RESYNC_MS,
            onProblem: problem,
            onWritten: counts => info('catalog written', { ...counts }),
          }),
        ]
      : []),
    ...(both || toKubernetes === true
      ? [
          new ServiceWriter({
            client,
            api,
            namespace: flags.writeNamespace ?? 'default',
            tag,
            prefix: flags.servicePrefix ?? '',
            domain: flags.domain ?? 'consul',
            everyMs: RESYNC_MS,
            onProblem: problem,
          }),
        ]
      : []),
  ])
}

const ADDRESSES: readonly NodePortAddress[] = ['ExternalOnly', 'ExternalFirst', 'InternalOnly']

function nodePortAddressOf(text = 'ExternalOnly'): NodePortAddress {
  const known = ADDRESSES.find(each => each === text)
  if (known === undefined) throw new CliError(`--node-port-address "${text}": must be one of ${ADDRESSES.join(', ')}`)
  return known
}

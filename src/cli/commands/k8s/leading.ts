// What `k8s sync` and `k8s controller` have in common: a client of the cluster's API, and work that runs only while this process holds the
// Lease. Called by run-sync.ts and run-controller.ts. Invariant: what was started is stopped before the Lease is given back.
import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { type ClusterConfig, inClusterConfig, kubeconfigOf } from '../../../kubernetes/api/cluster-config.js'
import { HealthServer, type HealthSource } from '../../../kubernetes/api/health-server.js'
import { KubeClient } from '../../../kubernetes/api/kube-client.js'
import { LEASE_TIMES, LeaderLease } from '../../../kubernetes/api/leader-lease.js'
import { CliError, type CommandIo } from '../../command-line/command-io.js'
import { listenAddress } from '../../command-line/listen-flag.js'
import { openControlLog } from '../../control-log.js'
import { levelOf, stopSignal } from '../process-life.js'
import type { ClusterFlags } from './cluster-flags.js'

export interface Leading {
  readonly client: KubeClient
  readonly info: (message: string, fields?: Readonly<Record<string, unknown>>) => void
  readonly problem: (message: string) => void
}

interface Stoppable {
  stop(): Promise<void>
}

/** Until SIGTERM: `start` at each time that this process becomes the one that acts. */
export async function runLeading(
  leaseName: string,
  flags: ClusterFlags,
  io: CommandIo,
  start: (leading: Leading) => readonly Stoppable[],
): Promise<void> {
  const cluster = clusterOf(flags, io)
  const { logger } = openControlLog({ level: levelOf(flags.logLevel), json: false })
  const client = new KubeClient(cluster)
  // Two requests renew it: both end before the lease does.
  const leaseClient = new KubeClient(cluster, LEASE_TIMES.renewForMs / 2)
  const problem = (message: string): void => logger.warn({}, message)
  const info: Leading['info'] = (message, fields = {}) => logger.info(fields, message)
  let started: readonly Stoppable[] = []
  let lease: LeaderLease | undefined
  // First: nothing may act already where its address is taken.
  const health = await startHealth(flags, {
    get started() {
      return lease?.started === true
    },
    get ready() {
      return lease?.ready === true
    },
  })
  lease = new LeaderLease(leaseClient, {
    namespace: flags.leaseNamespace ?? cluster.namespace,
    name: leaseName,
    identity: `${hostname()}_${randomUUID()}`,
    times: LEASE_TIMES,
    onLeading: () => {
      info('leading')
      started = start({ client, info, problem })
    },
    onLost: async () => {
      info('no longer leading')
      await Promise.all(started.map(each => each.stop()))
      started = []
    },
    onProblem: problem,
  })
  // Before it is told: whoever reads that may signal at once.
  const stopped = stopSignal()
  io.out(`Kubernetes: ${cluster.server}\n`)
  await stopped
  await lease.stop()
  await health?.close()
  client.close()
  leaseClient.close()
}

async function startHealth({ healthListen }: ClusterFlags, source: HealthSource): Promise<HealthServer | undefined> {
  if (healthListen === undefined) return undefined
  const { host, port } = listenAddress('--health-listen', healthListen)
  return HealthServer.start(host, port, source).catch((error: Error) => {
    throw new CliError(`--health-listen: ${error.message}`)
  })
}

function clusterOf({ kubeconfig, context }: ClusterFlags, io: CommandIo): ClusterConfig {
  try {
    const inCluster = kubeconfig === undefined ? inClusterConfig(io.env) : undefined
    if (inCluster !== undefined) return inCluster
    const file = kubeconfig ?? io.env('KUBECONFIG')
    if (file === undefined) throw new Error('this is no pod: name a kubeconfig by --kubeconfig or KUBECONFIG')
    return kubeconfigOf(file, context)
  } catch (error) {
    throw new CliError((error as Error).message)
  }
}

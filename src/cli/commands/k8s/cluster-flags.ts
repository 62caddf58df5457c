// Flags of `k8s sync` and `k8s controller` that say which cluster. Apart from leading.ts, which loads what runs.
import type { Command } from 'commander'

export interface ClusterFlags {
  readonly kubeconfig?: string
  readonly context?: string
  readonly leaseNamespace?: string
  readonly healthListen?: string
  readonly logLevel?: string
}

export function addClusterFlags(command: Command): Command {
  return command
    .option('--kubeconfig <file>', 'how the cluster is reached (default: the service account of the pod, else KUBECONFIG)')
    .option('--context <name>', 'of the kubeconfig (default: its current-context)')
    .option('--lease-namespace <name>', 'where the Lease is, by which one of several acts (default: that of the pod)')
    .option('--health-listen <host:port>', 'serve /live, /startup and /ready here, for probes (default: nowhere)')
    .option('--log-level <level>', 'default: info')
}

// `outrigger k8s`: what runs in a Kubernetes cluster beside the control plane, and in its pods. Declared for program.ts; what a command does is
// in a file of its own, loaded when it runs.
import type { Command } from 'commander'
import { DEFAULT_ADMIN } from '../../../control/default-admin.js'
import { remote } from '../../command-line/api-flags.js'
import { collect } from '../../command-line/collect.js'
import type { CommandIo } from '../../command-line/command-io.js'
import { addClusterFlags } from './cluster-flags.js'
import { type LeaveFlags, leave, type PodSidecarFlags, runPodSidecar, writePodCa } from './pod-sidecar.js'
import type { ControllerFlags } from './run-controller.js'
import type { SyncFlags } from './run-sync.js'
import type { WebhookFlags } from './run-webhook.js'

export function addK8s(program: Command, io: CommandIo): void {
  const k8s = program.command('k8s').description('what runs in a Kubernetes cluster')
  addWebhook(k8s, io)
  addSync(k8s, io)
  const controller = k8s
    .command('controller')
    .description('config entries as custom resources: writes them to the control plane, and whether it took them into their status')
  addClusterFlags(controller)
  remote(controller, io, async (api, flags: ControllerFlags) => (await import('./run-controller.js')).runController(flags, api, io))
  k8s
    .command('crds')
    .description('print the CustomResourceDefinitions of those (YAML)')
    .allowExcessArguments(false)
    .action(async () => (await import('./crds.js')).printCrds(io))
  const sidecar = k8s
    .command('sidecar')
    .description('in an injected pod: register its service, and run its sidecar; what stands after -- are flags of the proxy')
    .argument('[args...]')
    .option('--admin-bind <host:port>', `the proxy's admin address (default: ${DEFAULT_ADMIN})`)
    .option('--auth-method <name>', 'log in by this auth method, with the token of the service account')
    .option('--bearer-token-file <file>', 'that token (default: where the webhook puts it)')
  remote(sidecar, io, (_, flags: PodSidecarFlags, args) => runPodSidecar(flags, args, io))
  sidecar.hook('preAction', () => writePodCa(io))
  const leaving = k8s
    .command('leave')
    .description('in an injected pod, before it ends: deregister its service, and let its sidecar drain')
    .option('--gateway', 'the pod is a gateway that is registered under the name of the pod')
    .option('--admin <host:port>', `the proxy's admin address (default: ${DEFAULT_ADMIN})`)
    .option('--wait <seconds>', 'how long callers have to learn of it (default: 5)')
  remote(leaving, io, (_, flags: LeaveFlags) => leave(flags, io))
}

function addWebhook(k8s: Command, io: CommandIo): void {
  const webhook = k8s
    .command('webhook')
    .description('the HTTPS server that gives pods their sidecars: a mutating admission webhook')
    .option('--listen <host:port>', 'where it listens (default: 0.0.0.0:8443)')
    .requiredOption('--tls-cert <file>', 'its certificate (PEM), read again when it changes')
    .requiredOption('--tls-key <file>', 'its private key (PEM)')
    .requiredOption('--image <image>', 'image of the sidecar')
    .requiredOption('--sidecar-http-addr <address>', "the control plane's HTTP API, as sidecars reach it: CONSUL_HTTP_ADDR")
    .requiredOption('--sidecar-grpc-addr <address>', 'its xDS, as sidecars reach it: CONSUL_GRPC_ADDR')
    .option('--sidecar-ca-file <file>', 'PEM bundle by which sidecars verify both')
    .option('--auth-method <name>', 'auth method (of type kubernetes) by which sidecars log in')
    .option('--default-inject', 'pods that say nothing get a sidecar as well')
    .option('--allow-namespace <name>', 'namespace whose pods may get one; may be given several times (default: *)', collect)
    .option(
      '--deny-namespace <name>',
      'namespace whose pods get none; may be given several times (default: kube-system and kube-public)',
      collect,
    )
    .option('--transparent-proxy', 'pods that say nothing of it are transparent')
    .option('--keep-probes', 'HTTP probes of transparent pods stay as they are')
    .option('--metrics', 'sidecars serve their metrics, with the annotations by which Prometheus finds them')
    .option('--metrics-port <port>', 'default: 20200')
    .option('--cpu-request <quantity>', 'of a sidecar (default: 50m)')
    .option('--cpu-limit <quantity>', 'default: none')
    .option('--memory-request <quantity>', 'default: 96Mi')
    .option('--memory-limit <quantity>', 'default: 256Mi')
    .option('--sidecar-log-level <level>', 'of the sidecars (default: info)')
    .option('--log-level <level>', 'of the webhook (default: info)')
    .allowExcessArguments(false)
  webhook.action(async () => (await import('./run-webhook.js')).runWebhook(webhook.opts<WebhookFlags>(), io))
}

function addSync(k8s: Command, io: CommandIo): void {
  const sync = k8s
    .command('sync')
    .description("Kubernetes' Services into the catalog, and the catalog's services into Kubernetes, as they change")
    .option('--to-catalog', 'only the former')
    .option('--to-kubernetes', 'only the latter')
    .option('--node-name <name>', 'node of the catalog that they stand under; one a cluster (default: k8s-sync)')
    .option('--tag <tag>', 'of all that comes from Kubernetes (default: k8s)')
    .option('--explicit-only', 'only Services with the annotation consul.hashicorp.com/service-sync: "true"')
    .option('--allow-namespace <name>', 'namespace whose Services are taken; may be given several times (default: *)', collect)
    .option(
      '--deny-namespace <name>',
      'namespace whose Services are not; may be given several times (default: kube-system and kube-public)',
      collect,
    )
    .option('--without-cluster-ips', 'not those of type ClusterIP: addresses of pods lead nowhere outside of the cluster')
    .option('--node-port-address <which>', 'of a node: ExternalOnly (default), ExternalFirst or InternalOnly')
    .option('--namespace-suffix', 'the namespace stands behind the name: web-shop')
    .option('--write-namespace <name>', "where the catalog's services become Services (default: default)")
    .option('--service-prefix <prefix>', 'before the names of those')
    .option('--domain <name>', "the domain of the control plane's DNS (default: consul)")
  addClusterFlags(sync)
  remote(sync, io, async (api, flags: SyncFlags) => (await import('./run-sync.js')).runSync(flags, api, io))
}

// What a control plane is started with, and what a reload reads again. Made by the command line, embedding programs and tests; read by
// control-plane.ts.

import type { CaConfig } from '../mtls/ca/config.js'
import type { AclOptions } from './acl/acl-system.js'
import type { AgentDefinitions } from './agent-definitions.js'
import type { AgentTerms } from './agents/agent-leases.js'
import type { BackupOptions } from './backup/open-backups.js'
import type { Locality } from './catalog/locality.js'
import type { PortRanges } from './catalog/port-ranges.js'
import type { IntentionAction } from './config-entries/types.js'
import type { DnsOptions } from './dns/start-dns.js'
import type { HttpConfig } from './http-api/context.js'
import type { ControlLogger } from './log-feed.js'
import type { PortTlsSettings, ServerTls } from './port-tls.js'
import type { VaultOptions } from './secrets/vault-options.js'
import type { EtcdStoreOptions } from './store/etcd/etcd-options.js'

/** What a reload reads again. */
export interface Configured {
  readonly definitions?: AgentDefinitions
  readonly tls?: PortTlsSettings
  /** By Consul's names (`acl.tokens`). */
  readonly agentTokens?: Readonly<Record<string, string>>
}

export interface ControlPlaneOptions extends Partial<PortRanges> {
  /** `host:port`, or `off`; port 0 picks a free one. Default 127.0.0.1:8500. */
  readonly httpAddr?: string
  /** The same over TLS; not served unless given. */
  readonly httpsAddr?: string
  /** `host:port`, or `off`; port 0 picks a free one. Default 127.0.0.1:8502. */
  readonly grpcAddr?: string
  /** gRPC over TLS beside it; not served unless given. */
  readonly grpcTlsAddr?: string
  /** Our trust domain's bundle for others, over TLS; not served unless given. */
  readonly spiffeBundleAddr?: string
  /** Addresses beyond loopback are served although clients come unknown or in clear text. */
  readonly allowOpen?: boolean
  /** Files of this machine, read at the start and at each reload. Throws one line. */
  readonly configured?: () => Configured
  /** Where the state lives; without it in memory only. */
  readonly dataDir?: string
  /** The state lives in etcd, shared with every control plane that names the same; in place of `dataDir`. */
  readonly store?: EtcdStoreOptions
  /** A snapshot, a state file or a backup: the state goes back to it, the files of before are kept aside. */
  readonly restore?: string
  readonly backups?: BackupOptions
  /** Serves what it has and touches nothing outside: no checks, no peers, no rollouts, no leases that end, no renewal of the CA. For a look at a backup. */
  readonly inert?: boolean
  /** Starts with what can be read of a damaged state. */
  readonly acceptLoss?: boolean
  /** Path of mesh.yaml. */
  readonly meshFile?: string
  /** Sidecars whose registration names no checks get Consul's. */
  readonly sidecarChecks?: boolean
  /** Script checks run, where files of this machine name them. */
  readonly localScriptChecks?: boolean
  /** The HTTP API takes script checks too, where ACLs deny who has no right to. */
  readonly scriptChecksByApi?: boolean
  readonly httpConfig?: HttpConfig
  /** Folder of the built web console, served at `/ui/`; without it there is none. */
  readonly consoleFolder?: string
  /** Intention policy when no mesh file says otherwise. Default deny. */
  readonly defaultIntentionPolicy?: IntentionAction
  readonly datacenter?: string
  readonly nodeName?: string
  /** Where instances without an address of their own are reached. Default 127.0.0.1. */
  readonly nodeAddress?: string
  /** Where this machine is: of its node, and of the services on it that say nothing else. */
  readonly locality?: Locality
  /** Required of HTTP clients when set. */
  readonly httpToken?: string
  /** Required of sidecars (`x-consul-token`) when set. */
  readonly grpcToken?: string
  /** TLS of `grpcTlsAddr`, or of `grpcAddr` where that is not given. `configured` stands over it. */
  readonly grpcTls?: ServerTls
  /** Without it ACLs are off. */
  readonly acl?: AclOptions
  /** Seals the private keys in the data directory: the key itself, or where it is in Vault (`vault://secret/data/mesh#key`). */
  readonly encryptionKey?: string
  /** Where references to secrets lead. */
  readonly vault?: VaultOptions
  readonly ca?: CaConfig
  /** Without it no DNS is served. */
  readonly dns?: DnsOptions
  /** How often proxies report what load they had. Default 10 s. */
  readonly loadReportIntervalMs?: number
  /** URL of the Prometheus that scrapes the sidecars: the console's figures reach back longer than an hour by it. */
  readonly prometheus?: string
  /** Where the secrets are that the webhooks of rollouts are signed with: a file, or `vault://…`. Without it they are not signed. */
  readonly webhookSecretFile?: string
  /** How long the agents of other machines keep their nodes. */
  readonly agents?: AgentTerms
  readonly version?: string
  readonly log?: ControlLogger
  /** Called when a client asks the agent to leave (`/v1/agent/leave`): to end the process. Without it the request is refused. */
  readonly onLeave?: () => void
  /** Lets API clients name paths of this host for the CA's provider `files`. */
  readonly caFilesByApi?: boolean
}

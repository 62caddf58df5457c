// Answers of the HTTP API, as far as the console reads them. Types only; names are the API's.

export interface ServerInfo {
  readonly Version: string
  readonly Datacenter: string
  readonly NodeName: string
  readonly ACLsEnabled: boolean
  readonly TokenRequired: boolean
  readonly DefaultIntentionPolicy: 'allow' | 'deny'
  /** Figures reach back longer than an hour. */
  readonly LongRanges?: boolean
}

export interface ServiceSummary {
  readonly Name: string
  readonly Kind: string
  readonly Tags: readonly string[]
  readonly Versions: readonly string[]
  readonly Nodes: readonly string[]
  readonly InstanceCount: number
  readonly ChecksPassing: number
  readonly ChecksWarning: number
  readonly ChecksCritical: number
  readonly ConnectedWithProxy: boolean
  readonly ConnectNative: boolean
}

export interface Check {
  readonly CheckID: string
  readonly Name: string
  readonly Status: string
  readonly Output: string
  readonly ServiceID: string
}

export interface ServiceInstance {
  readonly ID: string
  readonly Service: string
  readonly Kind?: string
  readonly Tags: readonly string[] | null
  readonly Meta: Readonly<Record<string, string>> | null
  readonly Address: string
  readonly Port: number
  readonly Proxy?: { readonly DestinationServiceName?: string; readonly DestinationServiceID?: string }
}

export interface HealthEntry {
  readonly Node: { readonly Node: string; readonly Address: string }
  readonly Service: ServiceInstance
  readonly Checks: readonly Check[]
}

export interface NodeDump {
  readonly ID: string
  readonly Node: string
  readonly Address: string
  readonly Meta: Readonly<Record<string, string>> | null
  readonly Services: readonly ServiceInstance[]
  readonly Checks: readonly Check[]
}

export interface TopologyService {
  readonly Name: string
  readonly Kind: string
  readonly Protocol: string
  readonly Instances: number
  readonly Passing: number
  readonly Critical: number
  readonly Proxies: number
}

export interface TopologyEdge {
  readonly Source: string
  readonly Destination: string
  readonly Allowed: boolean
  readonly Reason: string
  readonly ByRequest: boolean
}

export interface Topology {
  readonly Services: readonly TopologyService[]
  readonly Edges: readonly TopologyEdge[]
}

export interface TrafficTotals {
  readonly Requests: number
  readonly Failures: number
  readonly RequestsPerSecond: number
  readonly SuccessRate: number | null
  readonly P50: number | null
  readonly P90: number | null
  readonly P99: number | null
  readonly Active: number
}

export interface TrafficEdge {
  readonly Source: string
  readonly Destination: string
  readonly Subset: string
  readonly Totals: TrafficTotals
}

export interface InboundTraffic {
  /** ID of the sidecar, and the node that it is registered on. */
  readonly Proxy: string
  readonly Node?: string
  readonly Service: string
  readonly Totals: TrafficTotals
}

export interface Traffic {
  readonly Edges: readonly TrafficEdge[]
  readonly Inbound: readonly InboundTraffic[]
}

export interface TrafficPoint {
  readonly At: number | string
  readonly Totals: TrafficTotals
}

export interface IntentionShape {
  readonly SourceName: string
  /** A service of another mesh. */
  readonly SourcePeer?: string
  readonly DestinationName: string
  readonly Action?: 'allow' | 'deny'
  readonly Permissions?: readonly object[] | null
  readonly Precedence: number
  readonly Description?: string
  /** Of the entry that it is in. */
  readonly Meta?: Readonly<Record<string, string>>
}

export interface SourceIntention {
  readonly Name: string
  readonly Peer?: string
  readonly Action?: 'allow' | 'deny'
  readonly Permissions?: readonly object[]
  readonly Description?: string
}

export interface ConfigEntry {
  readonly Kind: string
  readonly Name: string
  readonly Sources?: readonly SourceIntention[]
  readonly CreateIndex?: number
  readonly ModifyIndex?: number
}

interface Verdict {
  readonly Allowed: boolean
  readonly Reason: string
  readonly ByRequest: boolean
}

export interface PreviewEdge {
  readonly Source: string
  readonly Destination: string
  readonly Changed: boolean
  readonly Before: Verdict
  readonly After: Verdict
}

export interface EntryCheck {
  readonly Errors: readonly { readonly Path: string; readonly Reason: string }[]
  readonly Warnings: readonly string[]
}

export interface Explanation {
  readonly from: string
  readonly to: string
  readonly protocol: string
  readonly allowed: boolean
  readonly reason: string
  readonly defaultPolicy: 'allow' | 'deny'
  readonly precedence: readonly {
    readonly name: string
    readonly precedence: number
    readonly action: string
    readonly matches: boolean
    readonly decides: boolean
  }[]
  readonly targets: readonly { readonly service: string; readonly allowed: boolean; readonly reason: string; readonly failover: boolean }[]
  readonly warnings: readonly string[]
  readonly reached: boolean
  readonly unreached: readonly string[]
}

export interface ChainNode {
  readonly Type: 'router' | 'splitter' | 'resolver'
  readonly Name: string
  readonly Routes?: readonly { readonly Definition: RouteDefinition; readonly NextNode: string }[]
  readonly Splits?: readonly { readonly Weight: number; readonly NextNode: string }[]
  readonly Resolver?: { readonly Target: string; readonly Failover?: { readonly Targets: readonly string[] } }
}

export interface RouteDefinition {
  readonly Match?: {
    readonly HTTP?: {
      readonly PathExact?: string
      readonly PathPrefix?: string
      readonly PathRegex?: string
      readonly Methods?: readonly string[]
      readonly Header?: readonly { readonly Name: string }[]
      readonly QueryParam?: readonly { readonly Name: string }[]
    }
  }
}

export interface DiscoveryChain {
  readonly Chain: {
    readonly ServiceName: string
    readonly Protocol: string
    readonly StartNode: string
    readonly Nodes: Readonly<Record<string, ChainNode>>
    readonly Targets: Readonly<Record<string, { readonly Service: string; readonly ServiceSubset?: string; readonly Datacenter: string }>>
  }
}

export interface ProxyState {
  readonly ID: string
  readonly Node?: string
  readonly Service: string
  readonly Connected: boolean
  readonly Synced: boolean
  readonly AcknowledgedIndex: number
  readonly Streams: readonly {
    readonly Peer: string
    readonly Protocol: string
    readonly OpenedAt: string
    readonly Types: readonly {
      readonly TypeURL: string
      readonly InFlight: boolean
      readonly LastNack: { readonly At: string; readonly Message: string; readonly Names: readonly string[] } | null
    }[]
  }[]
}

export interface Certificates {
  readonly ActiveRootID: string
  readonly TrustDomain: string
  readonly Provider: string
  readonly OutdatedLeaves: number
  readonly Roots: readonly {
    readonly ID: string
    readonly Name: string
    readonly Active: boolean
    readonly NotBefore: string
    readonly NotAfter: string
    readonly PrivateKeyType: string
    readonly PrivateKeyBits: number
  }[]
  readonly Leaves: readonly {
    readonly Service: string
    readonly URI: string
    readonly SerialNumber: string
    readonly ValidAfter: string
    readonly ValidBefore: string
    readonly Outdated: boolean
    readonly Proxies: readonly string[]
  }[]
}

export interface AuditEvent {
  readonly Index: number
  readonly At: string
  readonly Area: string
  readonly Action: string
  readonly Subject: string
  readonly Outcome: 'done' | 'refused' | 'denied' | 'failed'
  readonly AccessorID: string
  readonly By: string
  readonly From: string
  readonly Times: number
}

interface Link {
  readonly ID: string
  readonly Name: string
}

export interface AclToken {
  readonly AccessorID: string
  readonly Description: string
  readonly Policies: readonly Link[] | null
  readonly Roles: readonly Link[] | null
  readonly ServiceIdentities: readonly { readonly ServiceName: string }[] | null
  readonly NodeIdentities: readonly { readonly NodeName: string }[] | null
  readonly Local: boolean
  readonly CreateTime: string
  readonly ExpirationTime?: string
  readonly AuthMethod?: string
}

export interface AclPolicy {
  readonly ID: string
  readonly Name: string
  readonly Description: string
  readonly Rules: string
}

export interface KvPair {
  readonly Key: string
  readonly Value: string | null
  readonly Flags: number
  readonly Session?: string
  readonly CreateIndex: number
  readonly ModifyIndex: number
}

export interface Rollout {
  readonly Name: string
  readonly Service: string
  readonly From: string
  readonly To: string
  readonly Phase: string
  readonly Active: boolean
  readonly Step: number
  readonly Steps: number
  readonly Weight: number
  readonly Since: string | null
  readonly Reason: string
  readonly VerdictReason: string
}

// The config entries of gateways, in Consul's canonical JSON form, as those of `types.ts`, which takes them in.
import type { EntryCommon } from './common-types.js'

/** A service outside of the mesh that a terminating gateway stands before. */
export interface LinkedService {
  /** `*`: every service that is not of the mesh. */
  readonly Name: string
  readonly Namespace?: string
  /** Paths on the gateway's machine. With CAFile the gateway speaks TLS to the service. */
  readonly CAFile?: string
  readonly CertFile?: string
  readonly KeyFile?: string
  /** Sent as the server's name and expected of its certificate; an IP address or a URI is only expected. */
  readonly SNI?: string
  readonly DisableAutoHostRewrite?: boolean
}

export interface TerminatingGateway extends EntryCommon {
  readonly Kind: 'terminating-gateway'
  readonly Services: readonly LinkedService[]
}

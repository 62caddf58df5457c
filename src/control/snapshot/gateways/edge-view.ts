// What comes in from outside of the mesh (API and ingress gateways), as one view: listeners with their filter chains, route tables with their
// host names, and the chains of the services behind. Made for `kinds/api-gateway.ts` and `kinds/ingress-gateway.ts`, read by
// `edge-resources.ts`.
import type { HeaderModifiers, JwtRequirement } from '../../config-entries/common-types.js'
import type { JwtProvider } from '../../config-entries/types.js'
import type { ProxyView, UpstreamView } from '../proxy-view.js'
import type { SecretCertificate, TransportSocketInit } from '../tls.js'

/** A service behind the gateway, as far as clusters, endpoints and routes go. */
export type BehindView = Pick<UpstreamView, 'chain' | 'settings' | 'tunnel' | 'clusterJson' | 'filterName' | 'protocolOf' | 'peers'>

export interface EdgeHost {
  readonly name: string
  readonly domains: readonly string[]
  readonly behind: BehindView
  /** What each route asks of a token, in the order of the chain's routes. */
  readonly requirements: readonly (JwtRequirement | undefined)[]
  readonly requestHeaders?: HeaderModifiers | undefined
  readonly responseHeaders?: HeaderModifiers | undefined
}

export interface EdgeTable {
  readonly name: string
  readonly hosts: readonly EdgeHost[]
}

export interface EdgeChain {
  /** Absent: every name. */
  readonly serverNames: readonly string[]
  readonly transportSocket: TransportSocketInit | undefined
  /** A route table, or the one service that gets the bytes. */
  readonly to: { readonly table: string; readonly protocol: string } | { readonly tcp: BehindView }
  readonly maxRequestHeadersKb: number | undefined
}

export interface EdgeListener {
  /** Before the address in its name. */
  readonly label: string
  readonly address: string
  readonly port: number
  readonly chains: readonly EdgeChain[]
}

/** A certificate that comes as a secret of the snapshot. */
export interface CertificateSecret {
  readonly name: string
  readonly certificate: SecretCertificate
}

export interface EdgeView extends Pick<ProxyView, 'identity' | 'mesh' | 'accessLogs' | 'config'> {
  readonly listeners: readonly EdgeListener[]
  readonly tables: readonly EdgeTable[]
  readonly behind: readonly BehindView[]
  /** Those that any listener shows, by name. */
  readonly secrets: readonly CertificateSecret[]
  /** Those that any route names, by name. */
  readonly jwtProviders: readonly JwtProvider[]
  /** What any route asks of a token. */
  readonly requirements: readonly JwtRequirement[]
}

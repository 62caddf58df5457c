// Services, EndpointSlices and Nodes of Kubernetes, as far as the catalog sync reads them. Types only.
import type { KubeObject } from '../api/kube-client.js'

export interface KubeService extends KubeObject {
  readonly spec: {
    readonly type?: string
    readonly clusterIP?: string
    readonly externalIPs?: readonly string[]
    readonly externalName?: string
    readonly ports?: readonly ServicePort[] | null
  }
  readonly status?: { readonly loadBalancer?: { readonly ingress?: readonly { readonly ip?: string; readonly hostname?: string }[] } }
}

export interface ServicePort {
  readonly name?: string
  readonly port: number
  readonly nodePort?: number
}

/** discovery.k8s.io/v1. */
export interface EndpointSlice extends KubeObject {
  readonly addressType: string
  readonly endpoints: readonly Endpoint[] | null
  readonly ports: readonly { readonly name?: string | null; readonly port?: number | null }[] | null
}

export interface Endpoint {
  readonly addresses: readonly string[]
  readonly conditions?: { readonly ready?: boolean | null }
  readonly nodeName?: string | null
}

export interface KubeNode extends KubeObject {
  readonly status?: { readonly addresses?: readonly { readonly type: string; readonly address: string }[] }
}

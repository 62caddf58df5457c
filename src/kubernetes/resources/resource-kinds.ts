// The kinds of custom resources that stand for config entries, by consul-k8s' names (consul.hashicorp.com/v1alpha1; those of API gateways, which it
// makes of other resources, by ours), and what entry each becomes. Read by entry-controller.ts and cli/commands/k8s/. Invariant: an entry belongs to one resource: which one stands in its Meta.
import type { KubeObject } from '../api/kube-client.js'

export const GROUP = 'consul.hashicorp.com'
export const VERSION = 'v1alpha1'

export interface ResourceKind {
  /** Of the resource. */
  readonly kind: string
  readonly plural: string
  readonly shortName: string
  /** Of the config entry. */
  readonly entryKind: string
  /** Entries of which there is one have one name; '' = any. */
  readonly onlyName: string
  /** Whether the entry itself says in conditions what has become of it. */
  readonly conditions: boolean
}

const WITH_CONDITIONS: ReadonlySet<string> = new Set(['api-gateway', 'http-route', 'tcp-route'])

const of = (kind: string, shortName: string, entryKind: string, onlyName = ''): ResourceKind => ({
  kind,
  plural: kind.toLowerCase() + (kind.endsWith('s') ? '' : kind.endsWith('sh') ? 'es' : 's'),
  shortName,
  entryKind,
  onlyName,
  conditions: WITH_CONDITIONS.has(entryKind),
})

export const RESOURCE_KINDS: readonly ResourceKind[] = [
  of('ServiceDefaults', 'service-defaults', 'service-defaults'),
  of('ServiceResolver', 'service-resolver', 'service-resolver'),
  of('ServiceRouter', 'service-router', 'service-router'),
  of('ServiceSplitter', 'service-splitter', 'service-splitter'),
  of('ServiceIntentions', 'service-intentions', 'service-intentions'),
  of('ProxyDefaults', 'proxy-defaults', 'proxy-defaults', 'global'),
  of('Mesh', 'mesh', 'mesh', 'mesh'),
  of('ExportedServices', 'exported-services', 'exported-services', 'default'),
  of('IngressGateway', 'ingress-gateway', 'ingress-gateway'),
  of('TerminatingGateway', 'terminating-gateway', 'terminating-gateway'),
  of('JWTProvider', 'jwt-provider', 'jwt-provider'),
  of('APIGateway', 'api-gateway', 'api-gateway'),
  of('APIGatewayHTTPRoute', 'http-route', 'http-route'),
  of('APIGatewayTCPRoute', 'tcp-route', 'tcp-route'),
  of('InlineCertificate', 'inline-certificate', 'inline-certificate'),
  of('FileSystemCertificate', 'file-system-certificate', 'file-system-certificate'),
]

export interface EntryResource extends KubeObject {
  readonly spec?: Readonly<Record<string, unknown>> | null
  readonly status?: { readonly conditions?: readonly Condition[]; readonly lastSyncedTime?: string }
}

export interface Condition {
  readonly type: string
  readonly status: 'True' | 'False' | 'Unknown'
  readonly reason?: string
  readonly message?: string
  readonly lastTransitionTime: string
  readonly observedGeneration?: number
}

export interface EntryKey {
  readonly kind: string
  readonly name: string
}

/** In an entry's Meta: the resource that it comes from. */
export const OWNER = 'k8s-resource'

export function ownerOf({ metadata: { namespace = '', name } }: KubeObject): string {
  return `${namespace}/${name}`
}

/** Whose intentions they are is in the spec; all else is named as the resource is. */
export function entryKeyOf({ entryKind }: ResourceKind, { metadata, spec }: EntryResource): EntryKey {
  const { name } = (spec?.['destination'] ?? {}) as { readonly name?: unknown }
  return { kind: entryKind, name: entryKind === 'service-intentions' && typeof name === 'string' ? name : metadata.name }
}

/** The body of `PUT /v1/config`, or why there is none. */
export function entryOf(
  kind: ResourceKind,
  resource: EntryResource,
): { readonly entry: Record<string, unknown> } | { readonly problem: string } {
  const { name, namespace = '' } = resource.metadata
  if (kind.onlyName !== '' && name !== kind.onlyName)
    return { problem: `metadata.name: must be "${kind.onlyName}": there is one ${kind.kind}` }
  const { destination, meta = {}, ...rest } = resource.spec ?? {}
  if (kind.entryKind === 'service-intentions' && typeof (destination as { name?: unknown } | undefined)?.name !== 'string')
    return { problem: 'spec.destination.name: is missing' }
  const spec = kind.entryKind === 'service-intentions' || destination === undefined ? rest : { ...rest, destination }
  const key = entryKeyOf(kind, resource)
  return {
    entry: {
      ...spec,
      Kind: key.kind,
      Name: key.name,
      Meta: { ...(meta as object), 'external-source': 'kubernetes', 'k8s-namespace': namespace, [OWNER]: ownerOf(resource) },
    },
  }
}

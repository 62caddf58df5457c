// The names Consul gives to what a chain compiles to: target ids, SNI and cluster names, Envoy ids.
// Used by the chain compiler and by the snapshot. Stock dashboards and stats tags parse these names, so their shape is fixed.
import { PEER_NAME } from '../peering/peer-name.js'

export const DEFAULT_TENANCY = 'default' as const

export interface TargetName {
  readonly service: string
  readonly subset?: string
  readonly namespace?: string
  readonly partition?: string
  readonly datacenter: string
  readonly peer?: string
}

/** Stands in the place of a subset, and is the name of none. */
const NO_SUBSET = '_'

/**
 * The labels that say which service and subset. A service without dots in its name has Consul's form, `[subset.]svc`. One with dots
 * says also that it is asked for without a subset, so that `v1.api` is never taken for the subset `v1` of `api`.
 */
function serviceLabels(service: string, subset: string | undefined): string {
  if (subset) return `${subset}.${service}`
  return service.includes('.') ? `${NO_SUBSET}.${service}` : service
}

/** `[subset.]svc.ns.ap.dc`, for a peer `svc.ns.default.external.<peer>`. */
export function targetId({ service, subset, namespace, partition, datacenter, peer }: TargetName): string {
  const ns = namespace || DEFAULT_TENANCY
  if (peer) return `${service}.${ns}.default.external.${peer}`
  return `${serviceLabels(service, subset)}.${ns}.${partition || DEFAULT_TENANCY}.${datacenter}`
}

/**
 * SNI of a service, which is also its cluster's name: `[subset.]svc.ns.dc.internal.<td>`, with a partition other than default
 * `[subset.]svc.ns.ap.dc.internal-v1.<td>`.
 */
export function clusterSni({ service, subset, namespace, partition, datacenter }: Omit<TargetName, 'peer'>, trustDomain: string): string {
  const head = serviceLabels(service, subset)
  const ns = namespace || DEFAULT_TENANCY
  const inDefault = !partition || partition === DEFAULT_TENANCY
  return inDefault
    ? `${head}.${ns}.${datacenter}.internal.${trustDomain}`
    : `${head}.${ns}.${partition}.${datacenter}.internal-v1.${trustDomain}`
}

/** SNI of a service for a peer, by the exporter's own name of that peer and in its own trust domain. */
export const peeredSni = (service: string, peer: string, trustDomain: string): string =>
  `${service}.${DEFAULT_TENANCY}.${DEFAULT_TENANCY}.${peer}.external.${trustDomain}`

/** Whether a peer may call its service so: a name of that service in its own trust domain, by a name of ours, and so none of anybody else's. */
export function isPeeredSni(sni: string, service: string, trustDomain: string): boolean {
  const [head, tail] = [`${service}.${DEFAULT_TENANCY}.${DEFAULT_TENANCY}.`, `.external.${trustDomain}`]
  return sni.startsWith(head) && sni.endsWith(tail) && PEER_NAME.test(sni.slice(head.length, -tail.length))
}

/** Cluster of a service of a peer, by our name of that peer and in its trust domain. */
export const peeredClusterName = (service: string, peer: string, trustDomain: string): string =>
  `${service}.${DEFAULT_TENANCY}.${peer}.external.${trustDomain}`

/** Of one address of a `Destination`: `destination.<address with dashes>.<sni>`; `sni` is the service's. */
export const destinationSni = (address: string, sni: string) => `destination.${address.replaceAll(/[.:]/g, '-')}.${sni}`

/** A chain that overrides changed gets clusters of its own: `<hash>~<name>`. */
export const customizedClusterName = (hash: string | undefined, name: string) => (hash ? `${hash}~${name}` : name)

/** Child `index` of a failover (aggregate) cluster. */
export const failoverClusterName = (index: number, clusterName: string) => `failover-target~${index}~${clusterName}`

/** RDS route name, virtual host name and listener prefix of an upstream: `[<ap>/<ns>/]<name>[?peer=<peer> | ?dc=<dc>]`. */
export function envoyId(upstream: {
  readonly name: string
  readonly namespace?: string
  readonly partition?: string
  readonly peer?: string
  readonly datacenter?: string
  readonly preparedQuery?: boolean
}): string {
  const { name, namespace = DEFAULT_TENANCY, partition = DEFAULT_TENANCY, peer, datacenter, preparedQuery } = upstream
  const isDefault = namespace === DEFAULT_TENANCY && partition === DEFAULT_TENANCY
  const base = `${preparedQuery ? 'prepared_query:' : ''}${isDefault ? '' : `${partition}/${namespace}/`}${name}`
  if (peer) return `${base}?peer=${peer}`
  return datacenter ? `${base}?dc=${datacenter}` : base
}

/** Name of a chain in stat prefixes (`upstream.<filterName>`): `<service>.<ns>.<ap>.<dc>`. */
export function filterName(service: string, namespace: string, partition: string, datacenter: string): string {
  return `${service}.${namespace}.${partition}.${datacenter}`
}

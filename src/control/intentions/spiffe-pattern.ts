// The anchored SPIFFE id regexes of intentions' sources, in Consul's form, with every name escaped:
// `web.api` must not match `web-api`, nor `a|b` anything but itself (consul#23900).
// Used by the RBAC compiler. The sidecar recognises the form and looks names up in a table instead of running the regex.

const ANY_SEGMENT = '[^/]+'

/** As Go's `regexp.QuoteMeta`: RE2 takes the same escapes. */
export function quoteMeta(text: string): string {
  return text.replace(/[\\.+*?()|[\]{}^$]/g, '\\$&')
}

export interface ServicePattern {
  readonly trustDomain: string
  readonly partition: string
  /** `*` is any one segment, here and in `service`. */
  readonly namespace: string
  readonly service: string
}

/** `^spiffe://<td>[/ap/<ap>]/ns/<ns>/dc/[^/]+/svc/<svc>$`; the datacenter is never checked. */
export function serviceSpiffePattern(pattern: ServicePattern): string {
  const { trustDomain, partition, namespace, service } = pattern
  const segment = (name: string) => (name === '*' ? ANY_SEGMENT : quoteMeta(name))
  return `^spiffe://${quoteMeta(trustDomain)}${partitionPart(partition)}/ns/${segment(namespace)}/dc/${ANY_SEGMENT}/svc/${segment(service)}$`
}

const partitionPart = (partition: string) => (partition === 'default' || partition === '' ? '' : `/ap/${quoteMeta(partition)}`)

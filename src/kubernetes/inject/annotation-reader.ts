// The annotations of a pod or Service, read one by one, each checked. Used by pod-annotations.ts; sync/ takes the small readers.
// Invariant: every `consul.hashicorp.com/` annotation is either read, or named in a warning; what is read and malformed is a problem.

export const PREFIX = 'consul.hashicorp.com/'

const NO_GATEWAYS = 'gateways are not injected: examples/deploy/kubernetes/gateways.yaml has them'
/** consul-k8s has them; here they have no effect, and why. */
const WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  'enable-metrics-merging': 'the metrics of sidecar and application are scraped separately',
  'merged-metrics-port': 'the metrics of sidecar and application are scraped separately',
  'service-metrics-port': 'the metrics of sidecar and application are scraped separately',
  'service-metrics-path': 'the metrics of sidecar and application are scraped separately',
  'prometheus-ca-file': 'metrics are served without TLS',
  'prometheus-ca-path': 'metrics are served without TLS',
  'prometheus-cert-file': 'metrics are served without TLS',
  'prometheus-key-file': 'metrics are served without TLS',
  'consul-sidecar-cpu-limit': 'there is no such container: sidecar-proxy-cpu-limit is the sidecar',
  'consul-sidecar-cpu-request': 'there is no such container: sidecar-proxy-cpu-request is the sidecar',
  'consul-sidecar-memory-limit': 'there is no such container: sidecar-proxy-memory-limit is the sidecar',
  'consul-sidecar-memory-request': 'there is no such container: sidecar-proxy-memory-request is the sidecar',
  'connect-service-tags': 'its name of today is service-tags',
  'use-proxy-health-check': 'readiness is always asked of the sidecar itself',
  'enable-consul-dataplane-as-sidecar': 'the sidecar is a native one in any case',
  'enable-sidecar-proxy-lifecycle': 'the sidecar is a native one: it starts before and ends after the application in any case',
  'sidecar-proxy-lifecycle-graceful-port': 'the sidecar is stopped by the kubelet, which needs no port',
  'sidecar-proxy-lifecycle-graceful-shutdown-path': 'the sidecar is stopped by the kubelet, which needs no path',
  'sidecar-proxy-lifecycle-graceful-startup-path': 'containers start once the startup probe of the sidecar has passed',
  'sidecar-proxy-lifecycle-startup-grace-period-seconds': 'containers start once the startup probe of the sidecar has passed',
  'enable-sidecar-proxy-lifecycle-shutdown-drain-listeners': 'the sidecar always drains before it ends',
  'consul-namespace': 'namespaces are of Consul Enterprise',
  'connect-k8s-version': 'nothing reads it',
  'consul-k8s-version': 'nothing reads it',
  'connect-inject-managed-by': 'the sidecar registers its pod by itself',
  'original-pod': 'nothing reads it',
  'redirect-traffic-config': 'it is for a network plugin: outrigger-redirect reads its own flags',
  'transparent-proxy-status': 'nothing reads it',
  'consul-dns': "the cluster's DNS asks the control plane's for its domain: docs/kubernetes.md",
  'gateway-kind': NO_GATEWAYS,
  'gateway-consul-service-name': NO_GATEWAYS,
  'mesh-gateway-container-port': NO_GATEWAYS,
  'gateway-wan-address-source': NO_GATEWAYS,
  'gateway-wan-address-static': NO_GATEWAYS,
  'gateway-wan-port': NO_GATEWAYS,
  'gateway-namespace': NO_GATEWAYS,
}

const FILTERED_LATER: ReadonlySet<string> = new Set(['connect-inject', 'connect-inject-status', 'kubernetes-service'])

export class AnnotationReader {
  readonly problems: string[] = []
  private readonly read = new Set<string>()

  constructor(private readonly annotations: Readonly<Record<string, string>>) {}

  problem(name: string, value: string, why: string): void {
    this.problems.push(`${PREFIX}${name} "${value}": ${why}`)
  }

  text(name: string): string {
    this.read.add(name)
    return (this.annotations[PREFIX + name] ?? '').trim()
  }

  checked(name: string, good: (text: string) => boolean, why: string): string {
    const text = this.text(name)
    if (text !== '' && !good(text)) this.problem(name, text, why)
    return text
  }

  seconds(name: string): string {
    return this.checked(name, text => /^\d{1,4}$/.test(text), 'is no number of seconds')
  }

  oneOf(name: string, choices: readonly string[]): string {
    return this.checked(name, text => choices.includes(text), `must be one of ${choices.filter(Boolean).join(', ')}`)
  }

  flag(name: string, fallback: boolean): boolean {
    const text = this.text(name)
    const value = text === '' ? fallback : booleanOf(text)
    if (value === undefined) this.problem(name, text, 'must be true or false')
    return value ?? fallback
  }

  list(name: string, good: (item: string) => boolean, why: string): string[] {
    const items = this.text(name)
      .split(',')
      .map(item => item.trim())
      .filter(Boolean)
    for (const item of items) if (!good(item)) this.problem(name, item, why)
    return items
  }

  withPrefix(prefix: string): Record<string, string> {
    const found: Record<string, string> = {}
    for (const name of Object.keys(this.annotations)) {
      const key = name.startsWith(PREFIX + prefix) ? name.slice(PREFIX.length + prefix.length) : ''
      if (key !== '') found[key] = this.text(prefix + key)
    }
    return found
  }

  /** A JSON object. */
  map(name: string): Readonly<Record<string, unknown>> {
    const text = this.text(name)
    if (text === '') return {}
    try {
      const value: unknown = JSON.parse(text)
      if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
      this.problem(name, text, 'must be a JSON object')
    } catch {
      this.problem(name, text, 'is no JSON')
    }
    return {}
  }

  /** A JSON list of objects that have texts of these names. */
  json<T>(name: string, needed: readonly string[]): readonly T[] {
    const text = this.text(name)
    if (text === '') return []
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch {
      this.problem(name, text, 'is no JSON')
      return []
    }
    const items = Array.isArray(value) ? value : [value]
    const good = items.every(item => needed.every(key => typeof (item as Record<string, unknown> | null)?.[key] === 'string'))
    if (!good) this.problem(name, text, `must be a JSON list of objects with ${needed.join(' and ')}`)
    return good ? (items as T[]) : []
  }

  /** A warning for each annotation of ours that nobody has read. */
  unread(): string[] {
    return Object.keys(this.annotations).flatMap(name => {
      const own = name.startsWith(PREFIX) ? name.slice(PREFIX.length) : ''
      if (own === '' || this.read.has(own) || FILTERED_LATER.has(own)) return []
      return [`${name} has no effect: ${WITHOUT_EFFECT[own] ?? 'there is no such annotation'}`]
    })
  }
}

/** As Go reads them. */
export function booleanOf(text: string): boolean | undefined {
  if (/^(1|t|true)$/i.test(text)) return true
  return /^(0|f|false)$/i.test(text) ? false : undefined
}

/** `\,` is a comma of the tag itself. */
export function splitTags(text: string): string[] {
  return text
    .split(/(?<!\\),/)
    .map(tag => tag.replaceAll('\\,', ',').trim())
    .filter(Boolean)
}

// `consul.hashicorp.com/connect-service-upstreams`, in all of its forms, as upstreams of a registration. Called by pod-annotations.ts.
// Labelled: `api.svc.eu.peer:1234` (dc, peer, ns, ap); unlabelled: `api:1234:dc2`, `api.ns.ap:1234`; `prepared_query:near-api:1234`.
// Invariant: a namespace or partition other than `default` is refused, since both are of Consul Enterprise.

export interface PodUpstream {
  readonly type: 'service' | 'prepared_query'
  readonly name: string
  readonly localPort: number
  /** '' = that of the control plane. */
  readonly datacenter: string
  /** '' = none. */
  readonly peer: string
}

/** Ports of the pod's containers by their names: an upstream's may be said so too. */
export type NamedPorts = ReadonlyMap<string, number>

const LABELS: ReadonlySet<string> = new Set(['dc', 'peer', 'ns', 'ap'])
const NAME = /^[A-Za-z0-9_-]{1,128}$/
const PREPARED_QUERY = 'prepared_query'

/** What is wrong is added to `problems`, each beginning with the text in question. */
export function readUpstreams(text: string, namedPorts: NamedPorts, problems: string[]): PodUpstream[] {
  const upstreams: PodUpstream[] = []
  const takenBy = new Map<number, string>()
  for (const item of text.split(',').map(part => part.trim())) {
    if (item === '') continue
    const upstream = readUpstream(item, namedPorts)
    if (typeof upstream === 'string') {
      problems.push(`upstream "${item}": ${upstream}`)
      continue
    }
    const other = takenBy.get(upstream.localPort)
    if (other !== undefined) problems.push(`upstream "${item}": the port ${upstream.localPort} is that of ${other} already`)
    takenBy.set(upstream.localPort, upstream.name)
    upstreams.push(upstream)
  }
  return upstreams
}

/** A text is why not. */
function readUpstream(item: string, namedPorts: NamedPorts): PodUpstream | string {
  const parts = item.split(':')
  if (parts[0] === PREPARED_QUERY) {
    const [, name = '', port = '', ...more] = parts
    if (more.length > 0 || !NAME.test(name)) return 'must be prepared_query:name:port'
    return withPort({ type: PREPARED_QUERY, name, datacenter: '', peer: '' }, port, namedPorts)
  }
  const [host = '', port = '', datacenter = '', ...more] = parts
  if (more.length > 0) return 'must be name:port or name:port:datacenter'
  if (datacenter !== '' && !NAME.test(datacenter)) return `"${datacenter}" is no name of a datacenter`
  const words = host.split('.')
  const name = words[0]!
  if (!NAME.test(name)) return `"${name}" is no name of a service`
  const labelled = words[1] === 'svc'
  if (labelled && datacenter !== '') return 'a labelled upstream names its datacenter by .dc'
  const place = labelled ? labelledPlace(words.slice(2)) : unlabelledPlace(words.slice(1))
  if (typeof place === 'string') return place
  return withPort({ type: 'service', name, datacenter: place.dc ?? datacenter, peer: place.peer ?? '' }, port, namedPorts)
}

interface Place {
  readonly dc?: string
  readonly peer?: string
}

function labelledPlace(words: readonly string[]): Place | string {
  const place: Record<string, string> = {}
  for (let i = 0; i < words.length; i += 2) {
    const [value = '', label = ''] = words.slice(i, i + 2)
    if (!LABELS.has(label)) return `"${label}" is none of the labels dc, peer, ns, ap`
    if (!NAME.test(value)) return `"${value}" is no name for .${label}`
    if (place[label] !== undefined) return `.${label} is given twice`
    place[label] = value
  }
  if (place['dc'] !== undefined && place['peer'] !== undefined) return 'either .dc or .peer, not both'
  return enterprise(place['ns'], place['ap']) ?? place
}

function unlabelledPlace(words: readonly string[]): Place | string {
  if (words.length > 2) return 'must be name, name.namespace or name.namespace.partition before the port'
  return enterprise(words[0], words[1]) ?? {}
}

function enterprise(namespace: string | undefined, partition: string | undefined): string | undefined {
  if (namespace !== undefined && namespace !== 'default') return `the namespace "${namespace}": namespaces are of Consul Enterprise`
  if (partition !== undefined && partition !== 'default') return `the partition "${partition}": partitions are of Consul Enterprise`
  return undefined
}

function withPort(upstream: Omit<PodUpstream, 'localPort'>, text: string, namedPorts: NamedPorts): PodUpstream | string {
  const localPort = namedPorts.get(text) ?? (/^\d{1,5}$/.test(text) ? Number(text) : 0)
  if (localPort < 1 || localPort > 65_535) return text === '' ? 'has no port' : `"${text}" is no port`
  return { ...upstream, localPort }
}

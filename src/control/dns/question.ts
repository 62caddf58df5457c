// What a DNS name under the mesh's domain asks for, in Consul's forms (`web.service.consul`, `v1.web.service.dc1.dc.consul`,
// `_web._tcp.service.consul`, `n1.node.consul`, `0a000001.addr.consul` ...). Pure; used by `dns-answers.ts`, which knows who is there.
// Names come in lower case. Invariant: a name in none of the forms is `unknown` (NXDOMAIN), one outside the domains is `foreign`.

/** Where it is asked for: `.<dc>.dc`, or `.<dc>` alone, which may as well be a peer's name. */
export interface Locality {
  readonly datacenter?: string
  readonly peer?: string
}

export type Question =
  | { readonly kind: 'apex' }
  | { readonly kind: 'nameserver' }
  | { readonly kind: 'service' | 'connect' | 'ingress'; readonly name: string; readonly tag: string; readonly locality: Locality }
  | { readonly kind: 'virtual' | 'query' | 'node'; readonly name: string; readonly locality: Locality }
  | { readonly kind: 'address'; readonly hex: string; readonly locality: Locality }
  | { readonly kind: 'reverse'; readonly address: string }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'foreign' }

const UNKNOWN: Question = { kind: 'unknown' }
const KINDS: ReadonlySet<string> = new Set(['service', 'connect', 'ingress', 'virtual', 'query', 'node', 'addr'])
/** The label that nameserver records and the SOA name. */
const NAMESERVER = 'ns'

/** `domains` in lower case, without dots at their ends. The domain that matched is part of the answer, so that names in it are answered in it. */
export function parseQuestion(name: string, domains: readonly string[]): { readonly question: Question; readonly domain: string } {
  const reverse = reverseAddress(name)
  if (reverse !== undefined) return { question: { kind: 'reverse', address: reverse }, domain: domains[0]! }
  for (const domain of domains) {
    if (name === domain) return { question: { kind: 'apex' }, domain }
    if (name.length > domain.length && name.endsWith(domain) && name[name.length - domain.length - 1] === '.')
      return { question: parseLabels(name.slice(0, -domain.length - 1).split('.')), domain }
  }
  return { question: { kind: 'foreign' }, domain: domains[0]! }
}

/** Everything before the last label that names a kind is the name; everything after it where to look. */
function parseLabels(labels: readonly string[]): Question {
  if (labels.length === 1 && labels[0] === NAMESERVER) return { kind: 'nameserver' }
  let at = labels.length - 1
  while (at >= 0 && !KINDS.has(labels[at]!)) at--
  // RFC 2782 names need no kind: `_web._tcp.consul`.
  if (at < 0) return labels.length === 2 && isUnderscored(labels) ? rfc2782(labels, 'service', {}) : UNKNOWN
  const kind = labels[at]!
  const locality = parseLocality(labels.slice(at + 1))
  if (locality === undefined || at === 0) return UNKNOWN
  const before = labels.slice(0, at)
  switch (kind) {
    case 'service':
    case 'connect':
    case 'ingress':
      if (kind === 'service' && before.length === 2 && isUnderscored(before)) return rfc2782(before, kind, locality)
      // A tag may have dots in it; a service's name can't in DNS.
      return { kind, name: before.at(-1)!, tag: kind === 'service' ? before.slice(0, -1).join('.') : '', locality }
    case 'virtual':
      return before.length === 1 ? { kind, name: before[0]!, locality } : UNKNOWN
    case 'query':
    case 'node':
      return { kind, name: before.join('.'), locality }
    default:
      return before.length === 1 ? { kind: 'address', hex: before[0]!, locality } : UNKNOWN
  }
}

function isUnderscored(labels: readonly string[]): boolean {
  return labels.every(label => label.length > 1 && label.startsWith('_'))
}

function rfc2782(labels: readonly string[], kind: 'service', locality: Locality): Question {
  const tag = labels[1]!.slice(1)
  return { kind, name: labels[0]!.slice(1), tag: tag === 'tcp' ? '' : tag, locality }
}

function parseLocality(labels: readonly string[]): Locality | undefined {
  if (labels.length === 0) return {}
  if (labels.length === 1) return { datacenter: labels[0]! }
  if (labels.length === 2 && labels[1] === 'dc') return { datacenter: labels[0]! }
  if (labels.length === 2 && labels[1] === 'peer') return { peer: labels[0]! }
  return undefined
}

/** The IP literal that a name under `in-addr.arpa` or `ip6.arpa` stands for. */
function reverseAddress(name: string): string | undefined {
  if (name.endsWith('.in-addr.arpa')) {
    const parts = name.slice(0, -'.in-addr.arpa'.length).split('.')
    return parts.length === 4 && parts.every(part => /^\d{1,3}$/.test(part) && Number(part) < 256) ? parts.reverse().join('.') : undefined
  }
  if (!name.endsWith('.ip6.arpa')) return undefined
  const nibbles = name.slice(0, -'.ip6.arpa'.length).split('.')
  if (nibbles.length !== 32 || !nibbles.every(nibble => /^[0-9a-f]$/.test(nibble))) return undefined
  return nibbles.reverse().join('').match(/.{4}/g)!.join(':')
}

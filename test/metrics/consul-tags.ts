// The stats tags that Consul writes into a sidecar's bootstrap, put together from the parts of its cluster names
// `[passthrough~][hash~][subset.]service.namespace.[partition.]dc.routing-type.trust-domain.consul` and of its stat prefixes
// `upstream.service.[namespace.[partition.]]dc` and `upstream_peered.service.[namespace.]peer`. Used by the tests of src/metrics.
import type { StatsTag } from '../../src/model/bootstrap.js'

const ANY = '[^.]+'
const VALUE = '([^.]+)'

interface Parts {
  hash?: string
  subset?: string
  service?: string
  namespace?: string
  partition?: string
  dc?: string
  routing?: string
  domain?: string
}

const hashAndSubset = (p: Parts) => `(?:${p.hash ?? ANY}~)?(?:${p.subset ?? ANY}\\.)?`
const place = (p: Parts) => `${p.service ?? ANY}\\.${p.namespace ?? ANY}\\.(?:${p.partition ?? ANY}\\.)?${p.dc ?? ANY}`
const routed = (p: Parts) => `${p.routing ?? ANY}\\.${p.domain ?? ANY}`
const cluster = (p: Parts) => `^cluster\\.(?:passthrough~)?(${hashAndSubset(p)}${place(p)}\\.${routed(p)}\\.consul\\.)`
const upstream = (word: string, rest: string) => `^(?:tcp|http)\\.${word}\\.(${rest}\\.)`

const REGEXES: Record<string, string> = {
  'consul.destination.custom_hash': cluster({ hash: VALUE }),
  'consul.destination.service_subset': cluster({ subset: VALUE }),
  'consul.destination.service': cluster({ service: VALUE }),
  'consul.destination.namespace': cluster({ namespace: VALUE }),
  'consul.destination.partition': cluster({ partition: VALUE, routing: 'internal[^.]*' }),
  'consul.destination.datacenter': cluster({ dc: VALUE, routing: 'internal[^.]*' }),
  'consul.destination.peer': `^cluster\\.(${ANY}\\.(?:${ANY}\\.)?${VALUE}\\.external\\.${ANY}\\.consul\\.)`,
  'consul.destination.routing_type': cluster({ routing: VALUE }),
  'consul.destination.trust_domain': cluster({ domain: VALUE }),
  'consul.destination.target': `^cluster\\.(?:passthrough~)?((${hashAndSubset({})}${place({})})\\.${routed({})}\\.consul\\.)`,
  'consul.destination.full_target': `^cluster\\.(?:passthrough~)?((${hashAndSubset({})}${place({})}\\.${routed({})})\\.consul\\.)`,
  'consul.upstream.service': upstream('upstream(?:_peered)?', `${VALUE}(?:\\.${ANY})?(?:\\.${ANY})?\\.${ANY}`),
  'consul.upstream.datacenter': upstream('upstream', `${ANY}(?:\\.${ANY})?(?:\\.${ANY})?\\.${VALUE}`),
  'consul.upstream.peer': upstream('upstream_peered', `${ANY}(?:\\.${ANY})?\\.${VALUE}`),
  'consul.upstream.namespace': upstream('upstream(?:_peered)?', `${ANY}(?:\\.${VALUE})?(?:\\.${ANY})?\\.${ANY}`),
  'consul.upstream.partition': upstream('upstream', `${ANY}(?:\\.${ANY})?(?:\\.${VALUE})?\\.${ANY}`),
}

/** The tags of the sidecar of `service`, in Consul's order: 16 regexes, then the fixed ones. */
export function consulTags(service: string): StatsTag[] {
  const regexes = Object.entries(REGEXES).map(([name, regex]) => ({ name, regex, fixedValue: null }))
  const fixed = (name: string, fixedValue: string) => ({ name, regex: null, fixedValue })
  return [
    ...regexes,
    fixed('local_cluster', service),
    fixed('consul.source.service', service),
    fixed('consul.source.namespace', 'default'),
    fixed('consul.source.partition', 'default'),
  ]
}

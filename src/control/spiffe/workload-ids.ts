// The SPIFFE ids that services of this mesh have from a Workload API (SPIRE's), beside those by which the mesh's own CA would know them: of a
// service by the Meta of its service-defaults, else by a template of proxy-defaults. Asked when snapshots are made: for the proxy's own
// certificate, for whom to expect at a target, and for the sources of intentions. Pure.
// Invariant: what a service is called is read from config entries alone, which whoever may write the service may write, never from an instance.

import type { StringMatcher } from '../../model/matcher.js'
import { parseSpiffeId } from '../../mtls/spiffe.js'
import { SPIFFE_ID_KEY } from '../config-entries/proxy-config-keys.js'
import type { ConfigEntryIndex } from '../config-entries/types.js'
import { DEFAULT_TENANCY } from '../discovery-chain/names.js'
import type { WorkloadIds } from '../intentions/compile.js'
import { quoteMeta } from '../intentions/spiffe-pattern.js'
import { idFromTemplate, patternOfTemplate } from './id-template.js'

/** Undefined: the service's certificate is one of the mesh's own CA. */
export function workloadIdOf(service: string, entries: ConfigEntryIndex, datacenter: string): string | undefined {
  const own = entries.get('service-defaults', service)?.Meta?.[SPIFFE_ID_KEY]
  // An empty one keeps a service out of what proxy-defaults says.
  const template = own ?? templateOf(entries)
  if (template === undefined || template === '') return undefined
  return idFromTemplate(template, { service, namespace: DEFAULT_TENANCY, datacenter })
}

/** `meshDomains`: federated trust domains whose workloads are services of the mesh. */
export function workloadIds(entries: ConfigEntryIndex, datacenter: string, meshDomains: readonly string[]): WorkloadIds {
  return {
    of: service => workloadIdOf(service, entries, datacenter),
    everyOf: service => {
      const common = idFromTemplate(templateOf(entries) ?? '', { service, namespace: DEFAULT_TENANCY, datacenter })
      return [...new Set([workloadIdOf(service, entries, datacenter), common])].filter(id => id !== undefined)
    },
    all: () => [
      ...commonPattern(entries, datacenter),
      ...ownIds(entries, datacenter).map((value): StringMatcher => ({ kind: 'exact', value, ignoreCase: false })),
    ],
    everybody: () => {
      const common = templateOf(entries) ?? ''
      const given = [...(common === '' ? [] : [common.replace(/\{\w+\}/g, 'x')]), ...ownIds(entries, datacenter)].map(trustDomainOf)
      return [...new Set([...given, ...meshDomains])].sort().map(domain => ({ kind: 'regex', value: `^spiffe://${quoteMeta(domain)}/.+$` }))
    },
  }
}

export function trustDomainOf(id: string): string {
  const parsed = parseSpiffeId(id)
  return parsed.ok ? parsed.id.trustDomain : ''
}

function templateOf(entries: ConfigEntryIndex): string | undefined {
  const value = entries.get('proxy-defaults', 'global')?.Config?.[SPIFFE_ID_KEY]
  return typeof value === 'string' ? value : undefined
}

function commonPattern(entries: ConfigEntryIndex, datacenter: string): StringMatcher[] {
  const template = templateOf(entries) ?? ''
  if (template === '') return []
  return [{ kind: 'regex', value: patternOfTemplate(template, { namespace: DEFAULT_TENANCY, datacenter }) }]
}

/** Of the services that say their own. */
function ownIds(entries: ConfigEntryIndex, datacenter: string): string[] {
  return entries
    .list('service-defaults')
    .flatMap(({ Name, Meta }) => (Meta?.[SPIFFE_ID_KEY] ? (workloadIdOf(Name, entries, datacenter) ?? []) : []))
    .sort()
}

// SPIFFE ids by the name of a service: `spiffe://example.org/mesh/{service}`. In them {service}, {namespace} and {datacenter} stand for what they
// say; no SPIFFE id may hold a brace, so a template is never taken for an id, nor an id for a template. Used for the ids that SPIRE gives the
// services of this mesh (workload-ids.ts) and for those of federated trust domains. Pure.

import { checkPathSegment, parseSpiffeId } from '../../mtls/spiffe.js'
import { quoteMeta } from '../intentions/spiffe-pattern.js'

const PLACEHOLDER = /\{(service|namespace|datacenter)\}/g

export interface IdNames {
  readonly service: string
  readonly namespace: string
  readonly datacenter: string
}

/** Undefined: there is no such id. A name is one segment of it: none reaches the ids of others. */
export function idFromTemplate(template: string, names: IdNames): string | undefined {
  if (Object.values(names).some(name => checkPathSegment(name) !== undefined)) return undefined
  const id = template.replace(PLACEHOLDER, (_all, name: keyof IdNames) => names[name])
  const parsed = parseSpiffeId(id)
  return parsed.ok && parsed.id.path !== '' ? id : undefined
}

/** An anchored regex of the ids of every service. */
export function patternOfTemplate(template: string, { namespace, datacenter }: Omit<IdNames, 'service'>): string {
  const parts = template.split(PLACEHOLDER)
  // Odd ones are the names that the split has captured.
  const pattern = parts.map((part, i) => {
    if (i % 2 === 0) return quoteMeta(part)
    return part === 'service' ? '[^/]+' : quoteMeta(part === 'namespace' ? namespace : datacenter)
  })
  return `^${pattern.join('')}$`
}

/** What is wrong with it; undefined: nothing. `everyService`: it has to name the service. */
export function templateProblem(template: string, everyService: boolean): string | undefined {
  if (everyService && !template.includes('{service}')) return 'must hold {service}: every service would have the same id'
  const sample = template.replace(PLACEHOLDER, 'x')
  const parsed = parseSpiffeId(sample)
  if (!parsed.ok) return `must be a SPIFFE id: ${parsed.error.reason}`
  if (parsed.id.path === '') return 'must be the id of a workload, not of a trust domain alone'
  return /^spiffe:\/\/[^/]*\{/.test(template) ? 'must name its trust domain without a placeholder' : undefined
}

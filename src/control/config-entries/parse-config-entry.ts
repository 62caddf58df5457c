// One config entry from outside (HTTP body, mesh.yaml, `outrigger apply -f`) to the canonical form of `types.ts`, or every reason why not.
// Called by the HTTP API and the mesh file; calls the shape of the kind (`schemas.ts`), then its rules (`rules-*.ts`).
// Invariant: an entry that comes out of here parses to itself again.
import type { z } from 'zod'
import { refusedFields } from './entry-fields.js'
import { spelling } from './fields.js'
import type { Report } from './rules-common.js'
import { exportedServicesRules, jwtProviderRules, meshRules, proxyDefaultsRules, serviceDefaultsRules } from './rules-defaults.js'
import { apiGatewayRules, fileSystemCertificateRules, httpRouteRules, inlineCertificateRules, tcpRouteRules } from './rules-edge.js'
import { terminatingGatewayRules } from './rules-gateways.js'
import { ingressGatewayRules } from './rules-ingress.js'
import { intentionsRules } from './rules-intentions.js'
import { resolverRules, routerRules, splitterRules } from './rules-routing.js'
import { REFUSED_KINDS, SCHEMAS } from './schemas.js'
import type { ConfigEntry, ConfigError } from './types.js'

export type ParsedConfigEntry = { readonly entry: ConfigEntry } | { readonly errors: readonly ConfigError[] }

/** More errors than this help nobody; the rest is cut. */
const MAX_ERRORS = 100

export function parseConfigEntry(raw: unknown): ParsedConfigEntry {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) return refuse('', 'a config entry must be an object')
  const kindKey = Object.keys(raw).find(key => spelling(key) === 'kind')
  const kind = kindKey === undefined ? undefined : (raw as Record<string, unknown>)[kindKey]
  if (typeof kind !== 'string' || kind === '') return refuse('Kind', 'is required')
  const schema = SCHEMAS.get(kind)
  if (schema === undefined) {
    return refuse('Kind', REFUSED_KINDS.get(kind) ?? `unknown kind ${JSON.stringify(kind)}`)
  }
  const shaped = schema.safeParse(raw)
  if (!shaped.success) return { errors: shaped.error.issues.flatMap(toErrors).slice(0, MAX_ERRORS) }
  const errors: ConfigError[] = []
  const report: Report = (path, reason) => void errors.push({ path, reason })
  const entry = applyRules(dropAbsent(shaped.data) as ConfigEntry, report)
  refusedFields(entry, report)
  return errors.length > 0 ? { errors: errors.slice(0, MAX_ERRORS) } : { entry: dropAbsent(entry) as ConfigEntry }
}

function applyRules(entry: ConfigEntry, report: Report): ConfigEntry {
  switch (entry.Kind) {
    case 'service-defaults':
      return serviceDefaultsRules(entry, report)
    case 'proxy-defaults':
      return proxyDefaultsRules(entry, report)
    case 'service-router':
      return routerRules(entry, report)
    case 'service-splitter':
      return splitterRules(entry, report)
    case 'service-resolver':
      return resolverRules(entry, report)
    case 'service-intentions':
      return intentionsRules(entry, report)
    case 'mesh':
      return meshRules(entry, report)
    case 'exported-services':
      return exportedServicesRules(entry, report)
    case 'jwt-provider':
      return jwtProviderRules(entry, report)
    case 'terminating-gateway':
      return terminatingGatewayRules(entry, report)
    case 'ingress-gateway':
      return ingressGatewayRules(entry, report)
    case 'api-gateway':
      return apiGatewayRules(entry, report)
    case 'http-route':
      return httpRouteRules(entry, report)
    case 'tcp-route':
      return tcpRouteRules(entry, report)
    case 'inline-certificate':
      return inlineCertificateRules(entry, report)
    case 'file-system-certificate':
      return fileSystemCertificateRules(entry, report)
    default: {
      const never: never = entry
      return never
    }
  }
}

const refuse = (path: string, reason: string): ParsedConfigEntry => ({ errors: [{ path, reason }] })

function toErrors(issue: z.core.$ZodIssue): ConfigError[] {
  if (issue.code !== 'unrecognized_keys') return [{ path: formatPath(issue.path), reason: issue.message }]
  return issue.keys.map(key => ({ path: formatPath([...issue.path, key]), reason: 'unknown field' }))
}

/** `['Splits', 1, 'Weight']` → `Splits[1].Weight`; keys that are no identifiers in brackets and quotes. */
function formatPath(path: readonly PropertyKey[]): string {
  let out = ''
  for (const part of path) {
    if (typeof part === 'number') out += `[${part}]`
    else if (/^[A-Za-z_]\w*$/.test(String(part))) out += out === '' ? String(part) : `.${String(part)}`
    else out += `[${JSON.stringify(String(part))}]`
  }
  return out
}

/** Removes undefined members, so that the canonical form has the same keys as its JSON. */
function dropAbsent(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(dropAbsent)
  if (typeof value !== 'object' || value === null) return value
  const members = Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .map(([key, field]): [string, unknown] => [key, dropAbsent(field)])
  // `fromEntries` defines, it does not assign: a key "__proto__" of opaque data stays a key.
  const out: object = Object.fromEntries(members)
  return Object.getPrototypeOf(value) === null ? Object.setPrototypeOf(out, null) : out
}

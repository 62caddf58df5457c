// Rules of the entries by which traffic comes in that one entry alone can break, and their defaults. Called by `parse-config-entry.ts`.
// What depends on other entries is no error but a condition of the entry's status (`gateways/api-gateway-binding.ts`).
import { pairProblems } from '../../mtls/x509/certificate-pair.js'
import { isKvReference, parseKvReference } from '../../vault/kv-secrets.js'
import { durationMs } from './duration.js'
import type {
  ApiGateway,
  ApiGatewayListener,
  FileSystemCertificate,
  HttpRoute,
  HttpRouteFilters,
  HttpRouteMatch,
  HttpRouteRule,
  InlineCertificate,
  ResourceReference,
  TcpRoute,
} from './edge-types.js'
import { commonRules, headerModifierRules, methodRules, nameRules, RETRY_ON, type Report, regexRules } from './rules-common.js'
import { jwtRules } from './rules-intentions.js'
import { tlsRules } from './rules-tls.js'

const LABEL = '[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?'
const HOST_NAME = new RegExp(`^(\\*\\.)?${LABEL}(\\.${LABEL})*$`, 'i')
const LISTENER_NAME = new RegExp(`^${LABEL}(\\.${LABEL})*$`, 'i')
const CERTIFICATE_KINDS = ['inline-certificate', 'file-system-certificate']

export function apiGatewayRules(entry: ApiGateway, report: Report): ApiGateway {
  commonRules(entry, report)
  const { Status: _status, ...rest } = entry as ApiGateway & { Status?: unknown }
  const named = { ...rest, Listeners: (entry.Listeners ?? []).map(listener => withDefaults(listener)) }
  if (named.Listeners.length === 0) report('Listeners', 'at least one is required')
  for (const [i, listener] of named.Listeners.entries()) {
    const path = `Listeners[${i}]`
    listenerRules(path, listener, report)
    for (const [j, before] of named.Listeners.slice(0, i).entries()) {
      if (before.Name === listener.Name) report(`${path}.Name`, `${JSON.stringify(listener.Name)} occurs more than once`)
      if (before.Port === listener.Port) portRules(path, listener, `Listeners[${j}]`, before, report)
    }
  }
  return named
}

function withDefaults(listener: ApiGatewayListener): ApiGatewayListener {
  const tls = listener.TLS
  return {
    ...listener,
    Protocol: listener.Protocol ?? 'http',
    ...(tls === undefined
      ? {}
      : {
          TLS: {
            ...tls,
            ...(tls.Certificates === undefined
              ? {}
              : { Certificates: tls.Certificates.map(each => ({ ...each, Kind: each.Kind ?? 'inline-certificate' })) }),
          },
        }),
  }
}

function listenerRules(path: string, listener: ApiGatewayListener, report: Report): void {
  const { Name: name, Hostname: host, Protocol: protocol, TLS: tls } = listener
  if (name === undefined) report(`${path}.Name`, 'is required')
  else if (!LISTENER_NAME.test(name)) report(`${path}.Name`, `${JSON.stringify(name)} is no name of DNS labels`)
  if (protocol === 'tcp') {
    if (host !== undefined) report(`${path}.Hostname`, 'is for protocol http only')
    if (listener.Override !== undefined) report(`${path}.Override`, 'is for protocol http only')
    if (listener.Default !== undefined) report(`${path}.Default`, 'is for protocol http only')
  } else hostRules(`${path}.Hostname`, host, report)
  jwtRules(`${path}.Override.JWT`, listener.Override?.JWT, report)
  jwtRules(`${path}.Default.JWT`, listener.Default?.JWT, report)
  for (const [i, { Kind, Name }] of (tls?.Certificates ?? []).entries()) {
    if (!CERTIFICATE_KINDS.includes(Kind))
      report(`${path}.TLS.Certificates[${i}].Kind`, `must be one of ${CERTIFICATE_KINDS.join(', ')}, not ${JSON.stringify(Kind)}`)
    nameRules(`${path}.TLS.Certificates[${i}].Name`, Name, report)
  }
  tlsRules(`${path}.TLS`, tls && { TLSMinVersion: tls.MinVersion, TLSMaxVersion: tls.MaxVersion, CipherSuites: tls.CipherSuites }, report, {
    min: 'MinVersion',
    max: 'MaxVersion',
  })
}

/** Of two listeners on one port. */
function portRules(path: string, listener: ApiGatewayListener, other: string, before: ApiGatewayListener, report: Report): void {
  const hasTls = ({ TLS }: ApiGatewayListener): boolean => (TLS?.Certificates ?? []).length > 0
  if (listener.Protocol !== before.Protocol)
    report(`${path}.Protocol`, `is ${listener.Protocol} on port ${listener.Port}, on which ${other} has ${before.Protocol}`)
  else if (listener.Protocol === 'tcp') report(`${path}.Port`, `${listener.Port} is the port of ${other} already`)
  else if (hasTls(listener) !== hasTls(before)) report(`${path}.TLS`, `port ${listener.Port} has TLS in one of this and ${other} only`)
  else if ((listener.Hostname ?? '*').toLowerCase() === (before.Hostname ?? '*').toLowerCase())
    report(`${path}.Hostname`, `${listener.Hostname ?? 'every host'} on port ${listener.Port} is taken by ${other} already`)
}

export function hostRules(path: string, host: string | undefined, report: Report): void {
  if (host === undefined || host === '*') return
  if (!HOST_NAME.test(host)) report(path, `${JSON.stringify(host)} is no host name (a wildcard stands for the first label alone)`)
}

function parentsOf(entry: { readonly Parents?: readonly ResourceReference[] }, report: Report): ResourceReference[] {
  const seen = new Set<string>()
  return (entry.Parents ?? []).map((parent, i) => {
    const Kind = parent.Kind ?? 'api-gateway'
    const place = `${parent.Name} ${parent.SectionName ?? ''}`
    if (seen.has(place)) report(`Parents[${i}]`, 'occurs more than once')
    seen.add(place)
    if (Kind !== 'api-gateway') report(`Parents[${i}].Kind`, `must be api-gateway, not ${JSON.stringify(Kind)}`)
    nameRules(`Parents[${i}].Name`, parent.Name, report)
    return { ...parent, Kind }
  })
}

export function httpRouteRules(entry: HttpRoute, report: Report): HttpRoute {
  commonRules(entry, report)
  const { Status: _status, ...rest } = entry as HttpRoute & { Status?: unknown }
  for (const [i, host] of (entry.Hostnames ?? []).entries()) hostRules(`Hostnames[${i}]`, host, report)
  return {
    ...rest,
    Parents: parentsOf(entry, report),
    Rules: (entry.Rules ?? []).map((rule, i) => routeRule(`Rules[${i}]`, rule, report)),
  }
}

function routeRule(path: string, rule: HttpRouteRule, report: Report): HttpRouteRule {
  filterRules(`${path}.Filters`, rule.Filters, report)
  for (const [i, headers] of (rule.ResponseFilters?.Headers ?? []).entries())
    headerModifierRules(`${path}.ResponseFilters.Headers[${i}]`, headers, report)
  const given = rule.Matches ?? []
  // Clients in Go say 0 of all where nothing is said.
  const isWeighted = (rule.Services ?? []).some(({ Weight }) => Weight !== 0)
  const Services = (rule.Services ?? []).map((service, i) => {
    const at = `${path}.Services[${i}]`
    nameRules(`${at}.Name`, service.Name, report)
    filterRules(`${at}.Filters`, service.Filters, report)
    for (const field of ['RetryFilter', 'TimeoutFilter', 'JWT'] as const)
      if (service.Filters?.[field] !== undefined) report(`${at}.Filters.${field}`, 'is for a rule as a whole only')
    if (service.Filters?.URLRewrite !== undefined && (rule.Services?.length ?? 0) > 1)
      report(`${at}.Filters.URLRewrite`, 'is for a rule as a whole, or for its only service')
    return { ...service, Weight: isWeighted ? (service.Weight ?? 1) : 1 }
  })
  const Matches = (given.length === 0 ? [{} as HttpRouteMatch] : given).map((match, i) =>
    matchRules(`${path}.Matches[${i}]`, match, report),
  )
  return { ...rule, Matches, Services }
}

function filterRules(path: string, filters: HttpRouteFilters | undefined, report: Report): void {
  for (const [i, headers] of (filters?.Headers ?? []).entries()) headerModifierRules(`${path}.Headers[${i}]`, headers, report)
  jwtRules(`${path}.JWT`, filters?.JWT, report)
  const rewrite = filters?.URLRewrite?.Path
  if (rewrite !== undefined && !rewrite.startsWith('/')) report(`${path}.URLRewrite.Path`, 'does not start with "/"')
  for (const [i, on] of (filters?.RetryFilter?.RetryOn ?? []).entries())
    if (!RETRY_ON.has(on)) report(`${path}.RetryFilter.RetryOn[${i}]`, `unknown value ${JSON.stringify(on)}`)
  for (const field of ['RequestTimeout', 'IdleTimeout'] as const)
    if (durationMs(filters?.TimeoutFilter?.[field]) < 0) report(`${path}.TimeoutFilter.${field}`, 'must not be negative')
}

function matchRules(path: string, match: HttpRouteMatch, report: Report): HttpRouteMatch {
  const given: Partial<HttpRouteMatch['Path']> = match.Path ?? {}
  const Path = { Match: given.Match ?? 'prefix', Value: given.Value ?? '/' } as const
  if (Path.Match === 'regex') regexRules(`${path}.Path.Value`, Path.Value, report)
  else if (!Path.Value.startsWith('/')) report(`${path}.Path.Value`, `does not start with "/": ${JSON.stringify(Path.Value)}`)
  for (const [field, values] of [
    ['Headers', match.Headers],
    ['Query', match.Query],
  ] as const)
    for (const [i, { Match = 'exact', Name, Value }] of (values ?? []).entries()) {
      const at = `${path}.${field}[${i}]`
      if (Name === undefined) report(`${at}.Name`, 'is required')
      if (Match !== 'present' && Value === undefined) report(`${at}.Value`, `is required with Match "${Match}"`)
      if (Match === 'regex') regexRules(`${at}.Value`, Value, report)
    }
  const method = methodRules(`${path}.Method`, match.Method === undefined ? undefined : [match.Method], report)?.[0]
  return {
    ...match,
    Path,
    ...(method === undefined ? {} : { Method: method }),
    ...(match.Headers === undefined ? {} : { Headers: match.Headers.map(each => ({ ...each, Match: each.Match ?? 'exact' })) }),
    ...(match.Query === undefined ? {} : { Query: match.Query.map(each => ({ ...each, Match: each.Match ?? 'exact' })) }),
  }
}

export function tcpRouteRules(entry: TcpRoute, report: Report): TcpRoute {
  commonRules(entry, report)
  const { Status: _status, ...rest } = entry as TcpRoute & { Status?: unknown }
  const Services = entry.Services ?? []
  if (Services.length > 1) report('Services', 'at most one: a connection has no rules to choose by')
  for (const [i, { Name }] of Services.entries()) nameRules(`Services[${i}].Name`, Name, report)
  return { ...rest, Parents: parentsOf(entry, report), Services }
}

export function inlineCertificateRules(entry: InlineCertificate, report: Report): InlineCertificate {
  commonRules(entry, report)
  const { chain, key } = pairProblems(pemOf('Certificate', entry.Certificate, report), pemOf('PrivateKey', entry.PrivateKey, report))
  if (chain !== undefined) report('Certificate', chain)
  if (key !== undefined) report('PrivateKey', key)
  return entry
}

/** Undefined for a reference to a secret, which holds nothing yet. */
function pemOf(path: string, text: string, report: Report): string | undefined {
  if (!isKvReference(text)) return text
  if (parseKvReference(text) === undefined) report(path, 'must have the form vault://<mount>/data/<path>#<field>')
  return undefined
}

export function fileSystemCertificateRules(entry: FileSystemCertificate, report: Report): FileSystemCertificate {
  commonRules(entry, report)
  for (const field of ['Certificate', 'PrivateKey'] as const)
    if (!entry[field].startsWith('/')) report(field, 'must be an absolute path on the machine of the gateway')
  return entry
}

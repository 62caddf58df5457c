// Rules of service-defaults, proxy-defaults, mesh, exported-services and jwt-provider that one entry alone can break.
// Called by `parse-config-entry.ts`.
import { isIP } from 'node:net'
import { templateProblem } from '../spiffe/id-template.js'
import { configProblems, PROXY_CONFIG_KEYS, SPIFFE_ID_KEY } from './proxy-config-keys.js'
import { commonRules, failoverPolicyRules, nameRules, type Report, serviceNameRules } from './rules-common.js'
import { tlsRules } from './rules-tls.js'
import { PROTOCOLS } from './schemas.js'
import type { ExportedServices, Expose, JwtProvider, Mesh, ProxyDefaults, ServiceDefaults, UpstreamConfig } from './types.js'

const HOSTNAME = /^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?$/i

export function serviceDefaultsRules(entry: ServiceDefaults, report: Report): ServiceDefaults {
  commonRules(entry, report)
  serviceMetaRules(entry.Meta, report)
  exposeRules(entry.Expose, report)
  const { UpstreamConfig: upstreams, Destination: destination } = entry
  if (upstreams !== undefined && destination !== undefined) report('Destination', 'and UpstreamConfig cannot both be set')
  if (upstreams?.Defaults !== undefined) {
    upstreamRules('UpstreamConfig.Defaults', upstreams.Defaults, report)
  }
  for (const [i, override] of (upstreams?.Overrides ?? []).entries()) {
    nameRules(`UpstreamConfig.Overrides[${i}].Name`, override.Name, report)
    upstreamRules(`UpstreamConfig.Overrides[${i}]`, override, report)
  }
  if (destination !== undefined) {
    if (destination.Addresses.length === 0) report('Destination.Addresses', 'at least one address is required')
    const seen = new Set<string>()
    for (const [i, address] of destination.Addresses.entries()) {
      const path = `Destination.Addresses[${i}]`
      if (seen.has(address)) report(path, `${JSON.stringify(address)} occurs more than once`)
      seen.add(address)
      if (address.includes('*')) report(path, 'must not contain a wildcard')
      else if (isIP(address) === 0 && !HOSTNAME.test(address)) report(path, `${JSON.stringify(address)} is no IP address or host name`)
    }
  }
  return entry
}

function upstreamRules(path: string, upstream: UpstreamConfig, report: Report) {
  for (const field of ['EnvoyListenerJSON', 'EnvoyClusterJSON'] as const) jsonObjectRules(`${path}.${field}`, upstream[field], report)
  for (const field of ['Interval', 'BaseEjectionTime'] as const) {
    if (upstream.PassiveHealthCheck?.[field]?.startsWith('-')) report(`${path}.PassiveHealthCheck.${field}`, 'must not be negative')
  }
}

function jsonObjectRules(path: string, json: string | undefined, report: Report) {
  if (json === undefined) return
  try {
    const value: unknown = JSON.parse(json)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) report(path, 'is not a JSON object')
  } catch {
    report(path, 'is not JSON')
  }
}

function exposeRules(expose: Expose | undefined, report: Report) {
  for (const [i, exposed] of (expose?.Paths ?? []).entries()) {
    if (!exposed.Path.startsWith('/')) report(`Expose.Paths[${i}].Path`, `does not start with "/": ${JSON.stringify(exposed.Path)}`)
  }
}

/** What the mesh itself reads of the Meta of a service. */
function serviceMetaRules(meta: ServiceDefaults['Meta'], report: Report): void {
  const id = meta?.[SPIFFE_ID_KEY] ?? ''
  const problem = id === '' ? undefined : templateProblem(id, false)
  if (problem !== undefined) report(`Meta.${SPIFFE_ID_KEY}`, problem)
}

export function proxyDefaultsRules(entry: ProxyDefaults, report: Report): ProxyDefaults {
  const named = { ...entry, Name: entry.Name ?? 'global' }
  commonRules(named, report)
  if (named.Name !== 'global') report('Name', `must be "global", not ${JSON.stringify(named.Name)}`)
  exposeRules(entry.Expose, report)
  failoverPolicyRules('FailoverPolicy', entry.FailoverPolicy, report)
  const logs = entry.AccessLogs
  if (logs !== undefined) {
    if (logs.Type === 'file' && logs.Path === undefined) report('AccessLogs.Path', 'is required with Type "file"')
    if (logs.Type !== 'file' && logs.Path !== undefined) report('AccessLogs.Path', 'needs Type "file"')
    if (logs.JSONFormat !== undefined && logs.TextFormat !== undefined) report('AccessLogs', 'has both JSONFormat and TextFormat')
    jsonObjectRules('AccessLogs.JSONFormat', logs.JSONFormat, report)
  }
  const config = entry.Config
  if (config === undefined) return named
  for (const { path, reason } of configProblems(config, PROXY_CONFIG_KEYS, 'Config', { strict: true }).errors) report(path, reason)
  if (Object.hasOwn(config, 'protocol')) {
    const protocol = config.protocol
    if (typeof protocol === 'string' && protocol !== '' && !(PROTOCOLS as readonly string[]).includes(protocol.toLowerCase())) {
      report('Config.protocol', `must be one of ${PROTOCOLS.join(', ')}, not ${JSON.stringify(protocol)}`)
    }
  }
  return named
}

export function meshRules(entry: Mesh, report: Report): Mesh {
  const named = { ...entry, Name: entry.Name ?? 'mesh' }
  commonRules(named, report)
  if (named.Name !== 'mesh') report('Name', `must be "mesh", not ${JSON.stringify(named.Name)}`)
  tlsRules('TLS.Incoming', entry.TLS?.Incoming, report)
  tlsRules('TLS.Outgoing', entry.TLS?.Outgoing, report)
  return named
}

export function exportedServicesRules(entry: ExportedServices, report: Report): ExportedServices {
  const named = { ...entry, Name: entry.Name ?? 'default', Services: entry.Services ?? [] }
  commonRules(named, report)
  if (named.Name !== 'default') report('Name', `must be the partition "default", not ${JSON.stringify(named.Name)}`)
  for (const [i, service] of named.Services.entries()) {
    const path = `Services[${i}]`
    nameRules(`${path}.Name`, service.Name, report, { wildcard: true })
    if (service.Namespace === '*' && service.Name !== '*') report(`${path}.Name`, 'must be "*" in the namespace "*"')
    const consumers = service.Consumers ?? []
    if (consumers.length === 0) report(`${path}.Consumers`, 'at least one consumer is required')
    for (const [j, consumer] of consumers.entries()) {
      const at = `${path}.Consumers[${j}]`
      const given = [consumer.Partition, consumer.Peer, consumer.SamenessGroup].filter(value => value !== undefined)
      if (given.length !== 1) report(at, 'needs exactly one of Partition, Peer and SamenessGroup')
      if (given.includes('*')) report(at, 'the wildcard "*" is not allowed here')
    }
  }
  return named
}

const DEFAULT_CLOCK_SKEW_SECONDS = 30

export function jwtProviderRules(entry: JwtProvider, report: Report): JwtProvider {
  commonRules(entry, report)
  serviceNameRules('Name', entry.Name, report)
  const { Local: local, Remote: remote } = entry.JSONWebKeySet ?? {}
  if ((local === undefined) === (remote === undefined)) report('JSONWebKeySet', 'needs exactly one of Local and Remote')
  if (local !== undefined) {
    if ((local.JWKS === undefined) === (local.Filename === undefined))
      report('JSONWebKeySet.Local', 'needs exactly one of JWKS and Filename')
    if (local.JWKS !== undefined) {
      const isBase64 = /^[A-Za-z0-9+/\s]+={0,2}\s*$/.test(local.JWKS)
      if (!isBase64) report('JSONWebKeySet.Local.JWKS', 'is not base64')
      else jsonObjectRules('JSONWebKeySet.Local.JWKS', Buffer.from(local.JWKS, 'base64').toString('utf8'), report)
    }
  }
  if (remote !== undefined) {
    const path = 'JSONWebKeySet.Remote'
    const uri = remote.URI ?? ''
    const url = URL.canParse(uri) ? new URL(uri) : undefined
    if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) report(`${path}.URI`, 'must be an http or https URL')
    const tls = remote.JWKSCluster?.TLSCertificates
    if (tls !== undefined && (tls.CaCertificateProviderInstance === undefined) === (tls.TrustedCA === undefined)) {
      report(`${path}.JWKSCluster.TLSCertificates`, 'needs exactly one of CaCertificateProviderInstance and TrustedCA')
    }
    if (tls?.TrustedCA !== undefined && Object.keys(tls.TrustedCA).length !== 1) {
      report(`${path}.JWKSCluster.TLSCertificates.TrustedCA`, 'needs exactly one source')
    }
  }
  for (const [i, location] of (entry.Locations ?? []).entries()) {
    const path = `Locations[${i}]`
    if (Object.keys(location).length !== 1) report(path, 'needs exactly one of Header, QueryParam and Cookie')
    for (const field of ['Header', 'QueryParam', 'Cookie'] as const) {
      if (location[field] !== undefined && location[field].Name === undefined) report(`${path}.${field}.Name`, 'is required')
    }
  }
  if (entry.Forwarding !== undefined && entry.Forwarding.HeaderName === undefined) report('Forwarding.HeaderName', 'is required')
  return { ...entry, ClockSkewSeconds: entry.ClockSkewSeconds ?? DEFAULT_CLOCK_SKEW_SECONDS }
}

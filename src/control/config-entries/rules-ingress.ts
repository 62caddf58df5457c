// Rules of ingress-gateway that one entry alone can break, and its defaults. Called by `parse-config-entry.ts`.
import type { IngressGateway, IngressListener, IngressService, SdsCertificate } from './edge-types.js'
import { commonRules, headerModifierRules, nameRules, type Report } from './rules-common.js'
import { hostRules } from './rules-edge.js'
import { tlsRules } from './rules-tls.js'

const WILDCARD = '*'

export function ingressGatewayRules(entry: IngressGateway, report: Report): IngressGateway {
  commonRules(entry, report)
  const Listeners = (entry.Listeners ?? []).map(
    (listener): IngressListener => ({ ...listener, Protocol: listener.Protocol ?? 'tcp', Services: listener.Services ?? [] }),
  )
  tlsRules('TLS', entry.TLS, report)
  sdsRules('TLS.SDS', entry.TLS?.SDS, [], report)
  const ports = new Set<number>()
  for (const [i, listener] of Listeners.entries()) {
    const path = `Listeners[${i}]`
    if (ports.has(listener.Port)) report(`${path}.Port`, `${listener.Port} is the port of another listener already`)
    ports.add(listener.Port)
    tlsRules(`${path}.TLS`, listener.TLS, report)
    sdsRules(`${path}.TLS.SDS`, listener.TLS?.SDS, [entry.TLS?.SDS], report)
    serviceRules(path, listener, entry, report)
  }
  return { ...entry, Listeners }
}

function serviceRules(path: string, listener: IngressListener, entry: IngressGateway, report: Report): void {
  const { Protocol: protocol, Services: services } = listener
  if (services.length === 0) report(`${path}.Services`, 'at least one is required')
  if (protocol === 'tcp' && services.length > 1) report(`${path}.Services`, 'exactly one with protocol tcp')
  const names = new Set<string>()
  const hosts = new Set<string>()
  for (const [i, service] of services.entries()) {
    const at = `${path}.Services[${i}]`
    nameRules(`${at}.Name`, service.Name, report, { wildcard: protocol !== 'tcp' })
    if (names.has(service.Name)) report(`${at}.Name`, `${JSON.stringify(service.Name)} occurs more than once`)
    names.add(service.Name)
    if (protocol === 'tcp') tcpRules(at, service, report)
    if (service.Name === WILDCARD && service.Hosts !== undefined) report(`${at}.Hosts`, 'must be empty for the service "*"')
    if (service.Name !== WILDCARD && names.has(WILDCARD)) report(`${at}.Name`, 'stands beside "*", which takes every service')
    headerModifierRules(`${at}.RequestHeaders`, service.RequestHeaders, report)
    headerModifierRules(`${at}.ResponseHeaders`, service.ResponseHeaders, report)
    sdsRules(`${at}.TLS.SDS`, service.TLS?.SDS, [listener.TLS?.SDS, entry.TLS?.SDS], report)
    if (service.TLS?.SDS !== undefined && service.Hosts === undefined) report(`${at}.Hosts`, 'is required with a certificate of its own')
    const hasTls = (listener.TLS?.Enabled ?? entry.TLS?.Enabled) === true
    for (const [j, host] of (service.Hosts ?? []).entries()) {
      hostRules(`${at}.Hosts[${j}]`, host, report)
      if (host === WILDCARD && hasTls) report(`${at}.Hosts[${j}]`, '"*" is not possible with TLS: the certificate must name the host')
      if (hosts.has(host.toLowerCase())) report(`${at}.Hosts[${j}]`, `${JSON.stringify(host)} occurs more than once`)
      hosts.add(host.toLowerCase())
    }
  }
}

function tcpRules(path: string, service: IngressService, report: Report): void {
  for (const field of ['Hosts', 'RequestHeaders', 'ResponseHeaders'] as const)
    if (service[field] !== undefined) report(`${path}.${field}`, 'is not for protocol tcp')
}

/** Each half is the entry's own, or one that it stands under. */
function sdsRules(path: string, sds: SdsCertificate | undefined, above: readonly (SdsCertificate | undefined)[], report: Report): void {
  if (sds === undefined) return
  for (const field of ['ClusterName', 'CertResource'] as const)
    if (sds[field] === undefined && above.every(each => each?.[field] === undefined)) report(`${path}.${field}`, 'is required')
}

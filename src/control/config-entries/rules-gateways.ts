// Rules of the gateways' config entries that one entry alone can break. Called by `parse-config-entry.ts`.
import { isIP } from 'node:net'
import type { TerminatingGateway } from './gateway-types.js'
import { commonRules, nameRules, type Report } from './rules-common.js'

const HOST_NAME = /^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/i

export function terminatingGatewayRules(entry: TerminatingGateway, report: Report): TerminatingGateway {
  commonRules(entry, report)
  const named = { ...entry, Services: entry.Services ?? [] }
  const seen = new Set<string>()
  for (const [i, link] of named.Services.entries()) {
    const path = `Services[${i}]`
    nameRules(`${path}.Name`, link.Name, report, { wildcard: true })
    const name = (link.Name ?? '').toLowerCase()
    if (name !== '' && seen.has(name)) report(`${path}.Name`, `${JSON.stringify(link.Name)} occurs more than once`)
    seen.add(name)
    const { CAFile: ca, CertFile: cert, KeyFile: key, SNI: sni } = link
    if ((cert !== undefined || key !== undefined) && (ca === undefined || cert === undefined || key === undefined))
      report(path, 'a client certificate needs all of CAFile, CertFile and KeyFile')
    if (sni === undefined) continue
    if (ca === undefined) report(`${path}.SNI`, 'needs CAFile: without it the gateway speaks no TLS to the service')
    if (isIP(sni) === 0 && !sni.includes('://') && !HOST_NAME.test(sni))
      report(`${path}.SNI`, `${JSON.stringify(sni)} is no host name, IP address or URI`)
  }
  return named
}

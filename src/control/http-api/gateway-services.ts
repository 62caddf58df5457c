// Which services a gateway stands before, in the shape of `/v1/catalog/gateway-services`. Read by that endpoint and by those of `/v1/internal/ui`
// that are about one gateway.
import { ingressServices, linkedServices } from '../gateways/gateway-links.js'
import type { ApiContext } from './context.js'

export interface GatewayService {
  readonly Gateway: { readonly Name: string }
  readonly Service: { readonly Name: string }
  readonly GatewayKind: string
  readonly Port?: number
  readonly Protocol?: string
  readonly Hosts?: readonly string[]
}

/** What a gateway stands before, as its config entry says. */
export function gatewayServices({ catalog, entries }: Pick<ApiContext, 'catalog' | 'entries'>, gateway: string): GatewayService[] {
  const ingress = entries.get('ingress-gateway', gateway)
  if (ingress !== undefined)
    return ingressServices(ingress, entries, catalog).map(({ service, listener, hosts, fromWildcard }) => ({
      Gateway: { Name: gateway },
      Service: { Name: service },
      GatewayKind: ingress.Kind,
      Port: listener.Port,
      Protocol: listener.Protocol,
      ...(hosts.length === 0 ? {} : { Hosts: hosts }),
      ...(fromWildcard ? { FromWildcard: true } : {}),
    }))
  const entry = entries.get('terminating-gateway', gateway)
  if (entry === undefined) return []
  return linkedServices(entry, entries, catalog).map(({ service, link, fromWildcard }) => ({
    Gateway: { Name: gateway },
    Service: { Name: service },
    GatewayKind: entry.Kind,
    ...present({ CAFile: link.CAFile, CertFile: link.CertFile, KeyFile: link.KeyFile, SNI: link.SNI }),
    ...(fromWildcard ? { FromWildcard: true } : {}),
  }))
}

const present = (fields: Readonly<Record<string, unknown>>): object =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))

// What readers see of entries beside what was written: the status of an API gateway and its routes, and the entries bound-api-gateway, which
// exist for readers alone. Made by `ControlPlane`, asked by `/v1/config`. Computed from the entries at each reading: a status costs no write,
// moves no index and wakes nobody. Since when a condition holds is known from the first reading of this process on.
import type { ApiGateway } from '../config-entries/edge-types.js'
import type { ConfigEntry, ConfigEntryIndex } from '../config-entries/types.js'
import {
  type BoundListener,
  bindGateway,
  type Condition,
  type GatewayBinding,
  listenerReference,
  type Route,
  routeConditions,
  servicesOf,
  WHOLE_ENTRY,
} from './api-gateway-binding.js'

export const BOUND_API_GATEWAY = 'bound-api-gateway'
/** Of conditions whose time is kept: more than all entries can have at once. */
const MAX_TRANSITIONS = 200_000

/** What the proxies of a gateway have of what they should have. */
export type GatewayProgress = Pick<Condition, 'Status' | 'Reason' | 'Message'>

export class EntryStatus {
  private readonly transitions = new Map<string, { readonly state: string; readonly at: string }>()

  constructor(
    private readonly entries: ConfigEntryIndex,
    private readonly progressOf: (gateway: string) => GatewayProgress,
    private readonly now: () => number = Date.now,
  ) {}

  /** For one reading of any number of entries: what a gateway comes to is found out once. */
  reader(): (entry: ConfigEntry) => object {
    const bindings = new Map<string, GatewayBinding>()
    const bind = (gateway: ApiGateway): GatewayBinding => {
      const known = bindings.get(gateway.Name)
      if (known !== undefined) return known
      const made = bindGateway(gateway, this.entries, this.now())
      bindings.set(gateway.Name, made)
      return made
    }
    return entry => {
      switch (entry.Kind) {
        case 'api-gateway':
          return { ...entry, Status: this.status(entry, this.gatewayConditions(entry, bind(entry))) }
        case 'http-route':
        case 'tcp-route':
          return { ...entry, Status: this.status(entry, routeConditions(entry, this.entries, bind)) }
        default:
          return entry
      }
    }
  }

  private gatewayConditions(gateway: ApiGateway, { conditions, listeners }: GatewayBinding): Condition[] {
    const progress = this.progressOf(gateway.Name)
    const served = new Set(listeners.map(({ listener }) => listener))
    const notServed: GatewayProgress = { Status: 'False', Reason: 'Invalid', Message: 'the listener is not served: see ResolvedRefs' }
    return [
      ...conditions,
      { Type: 'Programmed', ...progress, Resource: WHOLE_ENTRY },
      ...gateway.Listeners.map(
        (listener): Condition => ({
          Type: 'Programmed',
          ...(served.has(listener) ? progress : notServed),
          Resource: listenerReference(gateway, listener),
        }),
      ),
    ]
  }

  /** Every bound-api-gateway, by name. */
  bound(): object[] {
    return [...this.entries.list('api-gateway')].sort((a, b) => (a.Name < b.Name ? -1 : 1)).map(entry => this.boundOf(entry))
  }

  boundNamed(name: string): object | undefined {
    const entry = this.entries.get('api-gateway', name)
    return entry && this.boundOf(entry)
  }

  private boundOf(entry: ApiGateway): object {
    const { listeners } = bindGateway(entry, this.entries, this.now())
    return {
      Kind: BOUND_API_GATEWAY,
      Name: entry.Name,
      Listeners: listeners.map(({ listener, certificates, httpRoutes, tcpRoute }) => ({
        Name: listener.Name,
        Routes: [...httpRoutes.map(({ route }) => route), ...(tcpRoute === undefined ? [] : [tcpRoute])].map(({ Kind, Name }) => ({
          Kind,
          Name,
        })),
        Certificates: certificates.map(({ Kind, Name }) => ({ Kind, Name })),
      })),
      Services: routesByService(listeners),
      CreateIndex: entry.CreateIndex,
      ModifyIndex: entry.ModifyIndex,
    }
  }

  private status({ Kind, Name }: ConfigEntry, conditions: readonly Condition[]): object {
    return { Conditions: conditions.map(condition => ({ ...condition, LastTransitionTime: this.since(`${Kind}/${Name}`, condition) })) }
  }

  private since(entry: string, { Type, Status, Reason, Resource }: Condition): string {
    const key = `${entry} ${Type} ${JSON.stringify(Resource)}`
    const state = `${Status} ${Reason}`
    const known = this.transitions.get(key)
    if (known?.state === state) return known.at
    if (this.transitions.size >= MAX_TRANSITIONS) this.transitions.clear()
    const at = new Date(this.now()).toISOString()
    this.transitions.set(key, { state, at })
    return at
  }
}

/** Of each service to which a bound route leads: those routes. */
function routesByService(listeners: readonly BoundListener[]): Record<string, object[]> {
  const found = new Map<string, Set<Route>>()
  for (const { httpRoutes, tcpRoute } of listeners)
    for (const route of [...httpRoutes.map(({ route }) => route), ...(tcpRoute === undefined ? [] : [tcpRoute])])
      for (const { Name } of servicesOf(route)) found.set(Name, (found.get(Name) ?? new Set<Route>()).add(route))
  return Object.fromEntries([...found].map(([service, routes]) => [service, [...routes].map(({ Kind, Name }) => ({ Kind, Name }))]))
}

// What readers see of entries beside what was written: the status of an API gateway and its routes, and the entries bound-api-gateway, which
// exist for readers alone. Made by `ControlPlane`, asked by `/v1/config`. Computed from the entries at each reading: a status costs no write,
// moves no index and wakes nobody. Since when a condition holds is known from the first reading of this process on.
import type { ApiGateway } from '../config-entries/edge-types.js'
import type { ConfigEntry, ConfigEntryIndex } from '../config-entries/types.js'
import { bindGateway, type Condition, routeConditions } from './api-gateway-binding.js'

export const BOUND_API_GATEWAY = 'bound-api-gateway'
/** Of conditions whose time is kept: more than all entries can have at once. */
const MAX_TRANSITIONS = 200_000

export class EntryStatus {
  private readonly transitions = new Map<string, { readonly state: string; readonly at: string }>()

  constructor(
    private readonly entries: ConfigEntryIndex,
    private readonly now: () => number = Date.now,
  ) {}

  shown(entry: ConfigEntry): object {
    switch (entry.Kind) {
      case 'api-gateway':
        return { ...entry, Status: this.status(entry, bindGateway(entry, this.entries, this.now()).conditions) }
      case 'http-route':
      case 'tcp-route':
        return { ...entry, Status: this.status(entry, routeConditions(entry, this.entries)) }
      default:
        return entry
    }
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
      CreateIndex: entry.CreateIndex,
      ModifyIndex: entry.ModifyIndex,
    }
  }

  private status({ Kind, Name }: ConfigEntry, conditions: readonly Condition[]): object {
    return { Conditions: conditions.map(condition => ({ ...condition, LastTransitionTime: this.since(`${Kind}/${Name}`, condition) })) }
  }

  private since(entry: string, { Type, Status, Reason, Resource }: Condition): string {
    const key = `${entry} ${Type} ${JSON.stringify(Resource ?? '')}`
    const state = `${Status} ${Reason}`
    const known = this.transitions.get(key)
    if (known?.state === state) return known.at
    if (this.transitions.size >= MAX_TRANSITIONS) this.transitions.clear()
    const at = new Date(this.now()).toISOString()
    this.transitions.set(key, { state, at })
    return at
  }
}

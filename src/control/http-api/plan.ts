// `PUT /v1/outrigger/plan`: config entries judged against the live state and not written: what would be refused, what is doubtful, and what would
// change in which proxy. Asked by `outrigger analyze` and `outrigger diff`.
import type { FastifyInstance } from 'fastify'
import { meshServiceOf } from '../catalog/catalog-types.js'
import type { ProxyChange } from '../snapshot/planned-changes.js'
import { configWarnings } from './config.js'
import type { ApiContext } from './context.js'
import { HttpError } from './respond.js'

export function planRoutes(app: FastifyInstance, context: ApiContext): void {
  const { entries, catalog } = context
  app.put('/v1/outrigger/plan', async request => {
    const { body } = request
    if (!Array.isArray(body)) throw new HttpError(400, 'Request decode failed: must be a list of config entries')
    const { entries: planned, changes, errors, after } = await entries.preview(body)
    // Those that cannot be read are in none of what follows.
    const unread = new Set(planned.length === body.length ? [] : errors.map(({ change }) => change))
    const places = body.map((_, i) => i).filter(i => !unread.has(i))
    const proxies = errors.length > 0 ? [] : context.plannedChanges(after, changes)
    return {
      Errors: errors.map(({ change, path, reason }) => ({ Entry: change, Path: path, Reason: reason })),
      Warnings: planned.flatMap((entry, i) =>
        configWarnings(context, entry).map(reason => ({ Entry: places[i], Path: '', Reason: reason })),
      ),
      Entries: planned.map(entry => ({
        Kind: entry.Kind,
        Name: entry.Name,
        Change: !changes.includes(entry) ? 'none' : entries.get(entry.Kind, entry.Name) === undefined ? 'added' : 'changed',
      })),
      Proxies: proxies.map(change => proxyShape(change, catalog.nodeOf(change.proxy).Node)),
    }
  })
}

function proxyShape({ proxy, problem, resources }: ProxyChange, node: string) {
  return {
    ID: proxy.ID,
    Node: node,
    Service: meshServiceOf(proxy),
    Problem: problem,
    Resources: resources.map(({ typeUrl, name, change }) => ({
      Type: typeUrl.slice(typeUrl.lastIndexOf('.') + 1),
      Name: name,
      Change: change,
    })),
  }
}

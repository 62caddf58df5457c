// Parts of Consul's API that this control plane has by name only: each answers why, with Consul's status, instead of "not found".
import type { FastifyInstance } from 'fastify'
import { HttpError } from './respond.js'

const PEERING = [
  ['POST', '/v1/peering/token'],
  ['POST', '/v1/peering/establish'],
  ['GET', '/v1/peering/:name'],
  ['DELETE', '/v1/peering/:name'],
  ['GET', '/v1/peerings'],
] as const

export function refusedRoutes(app: FastifyInstance): void {
  const refuse = (status: number, reason: string) => (): Promise<never> => Promise.reject(new HttpError(status, reason))
  const noPeering = refuse(501, 'peering must be enabled to use this endpoint: this control plane has no peering')
  for (const [method, url] of PEERING) app.route({ method, url, handler: noPeering })
  app.get('/v1/internal/ui/metrics-proxy/*', refuse(404, 'Metrics proxy is not enabled'))
}

// Parts of Consul's API that this control plane has by name only: each answers why, with Consul's status, instead of "not found".
import type { FastifyInstance } from 'fastify'
import { HttpError } from './respond.js'

export function refusedRoutes(app: FastifyInstance): void {
  app.get('/v1/internal/ui/metrics-proxy/*', () => Promise.reject(new HttpError(404, 'Metrics proxy is not enabled')))
}

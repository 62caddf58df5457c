// Paths that end where a name should stand: refused in Consul's words, before anything takes '' for a name. Added by server.ts to
// the API of the control plane and of an agent, before their routes. Invariant: of a route in this table no handler is asked about ''.
import type { FastifyInstance } from 'fastify'
import { HttpError, param } from './respond.js'

const MISSING: Readonly<Record<string, string>> = {
  '/v1/acl/auth-method/:name': 'Missing auth method name',
  '/v1/acl/binding-rule/:id': 'Missing binding rule ID',
  '/v1/acl/policy/:id': 'Missing policy ID',
  '/v1/acl/role/:id': 'Missing role ID',
  '/v1/acl/token/:id': 'Missing token ID',
  '/v1/agent/health/service/id/:id': 'Missing serviceID',
  '/v1/agent/health/service/name/:name': 'Missing service Name',
  '/v1/agent/service/maintenance/:id': 'Missing service ID',
  '/v1/catalog/connect/:name': 'Missing service name',
  '/v1/catalog/gateway-services/:gateway': 'Missing gateway name',
  '/v1/catalog/node-services/:node': 'Missing node name',
  '/v1/catalog/node/:node': 'Missing node name',
  '/v1/catalog/service/:name': 'Missing service name',
  '/v1/discovery-chain/:service': 'Missing chain name',
  '/v1/event/fire/:name': 'Missing name',
  '/v1/health/checks/:name': 'Missing service name',
  '/v1/health/connect/:name': 'Missing service name',
  '/v1/health/ingress/:name': 'Missing service name',
  '/v1/health/node/:node': 'Missing node name',
  '/v1/health/service/:name': 'Missing service name',
  '/v1/health/state/:state': 'Missing check state',
  '/v1/internal/ui/gateway-intentions/:gateway': 'Missing gateway name',
  '/v1/internal/ui/gateway-services-nodes/:gateway': 'Missing gateway name',
  '/v1/internal/ui/node/:node': 'Missing node name',
  '/v1/internal/ui/service-topology/:service': 'Missing service name',
  '/v1/peering/:name': 'Must specify a name to fetch.',
  '/v1/session/destroy/:id': 'Missing session',
  '/v1/session/info/:id': 'Missing session',
  '/v1/session/node/:node': 'Missing node name',
  '/v1/session/renew/:id': 'Missing session',
}

export function refuseMissingNames(app: FastifyInstance): void {
  app.addHook('onRoute', route => {
    const text = MISSING[route.url]
    const name = route.url.slice(route.url.indexOf(':') + 1)
    if (text === undefined) return
    route.preValidation = (request, _reply, done) => {
      if (param(request, name) === '') throw new HttpError(400, text)
      done()
    }
  })
}

// An HTTP filter of one's own: asks for a key, counts requests by tenant, and masks what looks like a card number in answers. Named by its
// type in the configuration, as Envoy's filters are; a route changes it by typed_per_filter_config.
// `node examples/embed/http-filter.mjs` runs it before an origin and shows what it does.
import { createServer } from 'node:http'
import { registerHttpFilter, Sidecar } from 'outrigger'

registerHttpFilter({
  typeUrl: 'type.googleapis.com/example.Tenants',
  // What the configuration holds: what is wrong with it is refused at the start, or as a NACK.
  parseConfig({ keys, open = false }) {
    if (typeof keys !== 'object' || keys === null) throw new Error('keys: a map from key to tenant is needed')
    return { tenants: new Map(Object.entries(keys)), open }
  },
  // Of a route: the same fields, where it differs.
  parseRouteConfig: ({ open = false }) => ({ open }),
  create({ tenants, open }, context) {
    const refused = context.counter('refused')
    return call => {
      if (call.routeConfig?.open ?? open) return null
      return {
        onRequest(request) {
          const tenant = tenants.get(request.headers.get('x-api-key') ?? '')
          if (tenant === undefined) {
            refused.add()
            call.reply({ status: 401, body: 'a key is needed\n', headers: [['www-authenticate', 'ApiKey']], details: 'no_api_key' })
            return
          }
          request.headers.remove('x-api-key')
          request.headers.set('x-tenant', tenant)
          context.counter(`tenant.${tenant}`).add()
        },
        onResponse(response) {
          if (response.headers.get('content-type')?.startsWith('text/') !== true) return
          call.rewriteResponseBody(64 * 1024, body => body.toString().replace(/\d{4} \d{4} \d{4} (\d{4})/g, '**** **** **** $1'))
        },
      }
    }
  },
})

const origin = createServer((request, response) => {
  response.setHeader('content-type', 'text/plain')
  response.end(`${request.headers['x-tenant'] ?? 'nobody'} pays with 1111 2222 3333 4444\n`)
})
await new Promise(resolve => origin.listen(0, '127.0.0.1', resolve))

const HCM = 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'
const sidecar = await Sidecar.start({
  bootstrap: `
static_resources:
  listeners:
    - name: inbound
      address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
      filter_chains:
        - filters:
            - name: http
              typed_config:
                "@type": ${HCM}
                stat_prefix: inbound
                http_filters:
                  - name: tenants
                    typed_config:
                      "@type": type.googleapis.com/example.Tenants
                      keys: { k-1: acme, k-2: globex }
                  - name: router
                    typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
                      routes:
                        - match: { path: /status }
                          route: { cluster: origin }
                          typed_per_filter_config:
                            tenants: { "@type": type.googleapis.com/example.Tenants, open: true }
                        - match: { prefix: / }
                          route: { cluster: origin }
  clusters:
    - name: origin
      load_assignment:
        cluster_name: origin
        endpoints:
          - lb_endpoints:
              - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${origin.address().port} } } }
`,
})
await sidecar.ready()

const [address] = sidecar.listeners().get('inbound')
for (const [path, headers] of [
  ['/', {}],
  ['/', { 'x-api-key': 'k-1' }],
  ['/status', {}],
]) {
  const response = await fetch(`http://${address}${path}`, { headers })
  console.log(response.status, (await response.text()).trim())
}
const stats = sidecar.stats()
console.log(`refused: ${stats.get('http.inbound.tenants.refused')}, acme: ${stats.get('http.inbound.tenants.tenant.acme')}`)

await sidecar.close()
origin.close()

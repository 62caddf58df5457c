// A sidecar in the application's own process: retries and timeouts by Envoy's configuration for what it calls, without a second program.
// `node examples/embed/sidecar.mjs` starts an origin that fails every other request, and calls it through the sidecar.
import { createServer } from 'node:http'
import { Sidecar } from 'outrigger'

let asked = 0
const origin = createServer((_request, response) => {
  response.statusCode = asked++ % 2 === 0 ? 503 : 200
  response.end('hello\n')
})
await new Promise(resolve => origin.listen(0, '127.0.0.1', resolve))

const sidecar = await Sidecar.start({
  bootstrap: {
    static_resources: {
      listeners: [
        {
          name: 'outbound',
          address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
          filter_chains: [
            {
              filters: [
                {
                  name: 'envoy.filters.network.http_connection_manager',
                  typed_config: {
                    '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
                    stat_prefix: 'outbound',
                    http_filters: [
                      {
                        name: 'envoy.filters.http.router',
                        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
                      },
                    ],
                    route_config: {
                      virtual_hosts: [
                        {
                          name: 'origin',
                          domains: ['*'],
                          routes: [
                            { match: { prefix: '/' }, route: { cluster: 'origin', retry_policy: { retry_on: '5xx', num_retries: 2 } } },
                          ],
                        },
                      ],
                    },
                  },
                },
              ],
            },
          ],
        },
      ],
      clusters: [
        {
          name: 'origin',
          connect_timeout: '1s',
          load_assignment: {
            cluster_name: 'origin',
            endpoints: [
              {
                lb_endpoints: [{ endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: origin.address().port } } } }],
              },
            ],
          },
        },
      ],
    },
  },
  log: ({ level, message }) => {
    if (level === 'warn' || level === 'error') console.error(`sidecar: ${message}`)
  },
})
await sidecar.ready()

const [address] = sidecar.listeners().get('outbound')
for (let i = 0; i < 3; i++) {
  const response = await fetch(`http://${address}/`)
  console.log(response.status, (await response.text()).trim())
}
console.log(`retries: ${sidecar.stats().get('cluster.origin.upstream_rq_retry')}`)

await sidecar.drain()
origin.close()

// Writes what V8 compiles of the proxy's scripts while one starts and answers a first request (dist/bundle/proxy/*.cache), for starts to come; read by
// bin/run-proxy.js. Run by build.mjs in a process of its own, with the options that the proxy runs with, since V8 takes back only what was
// made with the same. Where a machine allows no such start there are no caches, and starts take longer.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { keepCompiled, loadProxy } from '../bin/run-proxy.js'

const MAX_MS = 20_000

const freePort = () =>
  new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })

const address = port => ({ socket_address: { address: '127.0.0.1', port_value: port } })

/** A listener of every kind that most starts have: HTTP with a router, a cluster, statistics. */
const bootstrap = (port, origin) => ({
  admin: { address: address(0) },
  static_resources: {
    listeners: [
      {
        name: 'in',
        address: address(port),
        filter_chains: [
          {
            filters: [
              {
                name: 'envoy.filters.network.http_connection_manager',
                typed_config: {
                  '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
                  stat_prefix: 'in',
                  route_config: {
                    virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'origin' } }] }],
                  },
                  http_filters: [
                    {
                      name: 'envoy.filters.http.router',
                      typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
                    },
                  ],
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
        type: 'STATIC',
        load_assignment: { cluster_name: 'origin', endpoints: [{ lb_endpoints: [{ endpoint: { address: address(origin) } }] }] },
      },
    ],
  },
})

function answered(port) {
  return new Promise((resolve, reject) => {
    get({ port, host: '127.0.0.1' }, response => response.resume().once('end', resolve)).once('error', reject)
  })
}

async function main() {
  setTimeout(() => process.exit(1), MAX_MS).unref()
  const origin = createServer((_request, response) => response.end('ok'))
  await new Promise((resolve, reject) => origin.once('error', reject).listen(0, '127.0.0.1', resolve))
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-code-cache-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const port = await freePort()
  const file = join(folder, 'bootstrap.json')
  writeFileSync(file, JSON.stringify(bootstrap(port, origin.address().port)))
  await loadProxy(true).proxyMain(['-c', file, '-l', 'error', '--disable-hot-restart'])
  await answered(port)
  keepCompiled()
  process.exit(0)
}

await main()

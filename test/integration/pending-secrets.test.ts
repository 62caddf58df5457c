// Filters that follow a secret by SDS, from a server that is not there: the listener serves, and what needs the secret is refused.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { exchange } from '../support/envoy-pair.js'
import { http2Upstream } from '../support/grpc-services.js'
import { freePort, hcm, listener, ProxyProcess, router, staticCluster, stopAll, typed } from '../support/proxy-process.js'

const bootstrap = (port: number, nobody: number): object => {
  const sds_config = {
    resource_api_version: 'V3',
    api_config_source: {
      api_type: 'GRPC',
      transport_api_version: 'V3',
      grpc_services: [{ envoy_grpc: { cluster_name: 'sds' } }],
    },
  }
  const injector = typed('injector', 'filters.http.credential_injector.v3.CredentialInjector', {
    credential: {
      name: 'generic',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic',
        credential: { name: 'token', sds_config },
      },
    },
  })
  const route_config = {
    virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, direct_response: { status: 204 } }] }],
  }
  return {
    node: { id: 'n', cluster: 'c' },
    static_resources: {
      listeners: [listener('main', port, [hcm({ route_config }, [injector, router])])],
      clusters: [staticCluster('sds', nobody, http2Upstream)],
    },
  }
}

describe('a secret that has not come', () => {
  let port: number
  let proxy: ProxyProcess

  beforeAll(async () => {
    port = await freePort()
    proxy = await ProxyProcess.start({ bootstrap: bootstrap(port, await freePort()) })
  })
  afterAll(stopAll)

  it('does not hold up its listener: requests that need it are refused', async () => {
    expect((await exchange({ port, proxy }, { path: '/' })).status).toBe(401)
    expect(await proxy.stat('http.ingress.credential_injector.failed')).toBe(1)
    expect(await proxy.stat('listener_manager.total_listeners_warming')).toBe(0)
  })
})

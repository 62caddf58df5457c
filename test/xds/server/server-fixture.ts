// An ADS server and clients of the test's own: what the tests of the server share.
import { create } from '@bufbuild/protobuf'
import { afterEach, expect } from 'vitest'
import type { DeltaDiscoveryResponse } from '../../../src/xds/gen/envoy/service/discovery/v3/discovery_pb.js'
import { StatusSchema } from '../../../src/xds/gen/google/rpc/status_pb.js'
import { AdsServer, type AdsServerOptions } from '../../../src/xds/server/server.js'
import { CLUSTER_TYPE, ENDPOINT_TYPE, EXTENSION_CONFIG_TYPE, LISTENER_TYPE, ROUTE_TYPE } from '../../../src/xds/type-urls.js'
import { attachAds, grpcJsServer } from '../../support/grpc-js-ads.js'
import { bind, cluster, deltaClient, endpoints, listener, route } from '../xds-peers.js'
export type Delta = ReturnType<typeof deltaClient>

/** Servers and clients of one test file: all are closed after each test. */
export function serverFixture() {
  const cleanups: (() => void)[] = []
  afterEach(() => {
    for (const cleanup of cleanups.splice(0).reverse()) cleanup()
  })

  async function serve(options: Partial<AdsServerOptions> = {}) {
    const ads = new AdsServer({ accept: () => ({ ok: true }), ...options })
    const server = grpcJsServer()
    attachAds(ads, server, { singleType: true })
    const port = await bind(server)
    cleanups.push(() => server.forceShutdown())
    return { ads, port }
  }

  function connect(port: number, metadata?: Record<string, string>): Delta {
    const client = deltaClient(port, metadata)
    cleanups.push(() => client.close())
    return client
  }

  return { cleanups, serve, connect }
}

export const node = { id: 'web-1' }
export const refusal = create(StatusSchema, { code: 3, message: 'no' })

export function ack(client: Delta, response: DeltaDiscoveryResponse, more: { resourceNamesSubscribe?: string[] } = {}) {
  client.send({ typeUrl: response.typeUrl, responseNonce: response.nonce, ...more })
}

export function nack(client: Delta, response: DeltaDiscoveryResponse) {
  client.send({ typeUrl: response.typeUrl, responseNonce: response.nonce, errorDetail: refusal })
}

let fences = 0
/** A number that no fence of this process had. */
export const nextFence = () => ++fences
// A name that does not exist is answered at once, so whatever comes before that answer is all that was sent.
export async function nothingMore(client: Delta) {
  const name = `fence-${nextFence()}`
  client.send({ node, typeUrl: EXTENSION_CONFIG_TYPE, resourceNamesSubscribe: [name] })
  const response = await client.next()
  expect(response).toMatchObject({ typeUrl: EXTENSION_CONFIG_TYPE, removedResources: [name] })
  ack(client, response)
}

export const names = (response: { resources: { name: string }[] }) => response.resources.map(resource => resource.name)

export function web(mark = '') {
  return [cluster('api', mark), endpoints('api', mark), listener('out', ['r'], mark), route('r', mark)]
}

// Subscribes to everything in web() and acknowledges it.
export async function settle(client: Delta) {
  client.send({ node, typeUrl: CLUSTER_TYPE })
  ack(client, await client.next())
  client.send({ typeUrl: ENDPOINT_TYPE, resourceNamesSubscribe: ['api'] })
  ack(client, await client.next())
  client.send({ typeUrl: LISTENER_TYPE })
  ack(client, await client.next())
  client.send({ typeUrl: ROUTE_TYPE, resourceNamesSubscribe: ['r'] })
  ack(client, await client.next())
  await nothingMore(client)
}

// A management server by `google_grpc`: TLS by its own credentials, with a client certificate, and a token that goes with the stream.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as grpc from '@grpc/grpc-js'
import { afterAll, expect, it } from 'vitest'
import { AnyCa } from '../support/mesh-certificates.js'
import { ProxyProcess, stopAll, until } from '../support/proxy-process.js'

const ca = new AnyCa()
const folder = mkdtempSync(join(tmpdir(), 'outrigger-google-grpc-'))
const server = new grpc.Server()

afterAll(async () => {
  await stopAll()
  server.forceShutdown()
  rmSync(folder, { recursive: true, force: true })
})

it('TLS by ssl_credentials, tokens by access_token and from a file', async () => {
  const own = ca.leaf({ dns: ['localhost'] })
  const client = ca.service('web')
  const streams: string[] = []
  const identity = (value: Buffer): Buffer => value
  server.addService(
    {
      Delta: {
        path: '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources',
        requestStream: true,
        responseStream: true,
        requestSerialize: identity,
        requestDeserialize: identity,
        responseSerialize: identity,
        responseDeserialize: identity,
      },
    },
    {
      Delta: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
        streams.push(
          `${String(call.metadata.get('authorization')[0])} ${String(call.metadata.get('x-token')[0])} ${call.getAuthContext().sslPeerCertificate?.subjectaltname ?? 'none'}`,
        )
        call.on('data', () => {})
        call.on('error', () => {})
      },
    },
  )
  const keys = [{ private_key: Buffer.from(own.key), cert_chain: Buffer.from(own.cert) }]
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createSsl(Buffer.from(ca.pem), keys, true), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  )
  writeFileSync(join(folder, 'key.pem'), client.key)
  writeFileSync(join(folder, 'token'), 'of-the-file\n')
  const google = {
    target_uri: `localhost:${port}`,
    stat_prefix: 'xds',
    channel_credentials: {
      ssl_credentials: {
        root_certs: { inline_string: ca.pem },
        private_key: { filename: join(folder, 'key.pem') },
        cert_chain: { inline_string: client.cert },
      },
    },
    call_credentials: [
      { access_token: 'secret-token' },
      {
        from_plugin: {
          name: 'envoy.grpc_credentials.file_based_metadata',
          typed_config: {
            '@type': 'type.googleapis.com/envoy.config.grpc_credential.v3.FileBasedMetadataConfig',
            secret_data: { filename: join(folder, 'token') },
            header_key: 'X-Token',
            header_prefix: 'token ',
          },
        },
      },
    ],
  }
  const proxy = await ProxyProcess.start({
    untilReady: false,
    bootstrap: {
      node: { id: 'n', cluster: 'c' },
      dynamic_resources: {
        ads_config: { api_type: 'DELTA_GRPC', transport_api_version: 'V3', grpc_services: [{ google_grpc: google }] },
        cds_config: { ads: {}, resource_api_version: 'V3' },
      },
    },
  })
  await until('a stream', () => streams.length > 0, 10_000).catch(error => {
    throw new Error(`${(error as Error).message}\n${proxy.log}`)
  })
  expect(streams[0]).toMatch(/^Bearer secret-token token of-the-file URI:spiffe:.*web/)
})

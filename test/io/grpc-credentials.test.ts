import { Client, credentials, Metadata, Server, ServerCredentials } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TlsCredentials } from '../../src/io/grpc-credentials.js'
import { AnyCa, type Shape } from '../support/mesh-certificates.js'

const ECHO = '/test.Echo/Echo'
const same = (message: Buffer): Buffer => message
const ca = new AnyCa()
const servers: Server[] = []

/** Its port; answers with the metadata `x-token`. */
async function serve(shape: Shape): Promise<number> {
  const { cert, key } = ca.leaf(shape)
  const server = new Server()
  servers.push(server)
  const method = { path: ECHO, requestStream: false, responseStream: false } as const
  server.addService(
    { Echo: { ...method, requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same } },
    {
      Echo: (call: { metadata: Metadata }, answer: (error: null, value: Buffer) => void) =>
        answer(null, Buffer.from(String(call.metadata.get('x-token')[0] ?? 'none'))),
    },
  )
  const secure = ServerCredentials.createSsl(null, [{ cert_chain: Buffer.from(cert), private_key: Buffer.from(key) }])
  return new Promise((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', secure, (error, port) => (error === null ? resolve(port) : reject(error))),
  )
}

/** The answer, or why there is none. */
function ask(target: string, channel: TlsCredentials, options: object = {}): Promise<string> {
  const client = new Client(target, channel, { 'grpc.enable_retries': 0, 'grpc.use_local_subchannel_pool': 1, ...options })
  return new Promise<string>(resolve =>
    client.makeUnaryRequest(ECHO, same, same, Buffer.alloc(0), (error, value) => resolve(error?.details ?? String(value))),
  ).finally(() => client.close())
}

describe('TlsCredentials', () => {
  let byAddress: number
  let byName: number
  const channel = new TlsCredentials({ ca: ca.pem })
  beforeAll(async () => {
    byAddress = await serve({ ips: [[127, 0, 0, 1]] })
    byName = await serve({ dns: ['localhost', 'other.test'] })
  })
  afterAll(() => {
    for (const server of servers) server.forceShutdown()
  })

  it('judges a server that is dialled by its address by the addresses of its certificate', async () => {
    expect(await ask(`127.0.0.1:${byAddress}`, channel)).toBe('none')
    expect(await ask(`ipv4:127.0.0.1:${byAddress},127.0.0.1:1`, channel)).toBe('none')
    expect(await ask(`127.0.0.1:${byName}`, channel)).toContain("IP: 127.0.0.1 is not in the cert's list")
  })

  it('judges one that is dialled by name by that name, or by the one that is asked for instead', async () => {
    expect(await ask(`localhost:${byName}`, channel)).toBe('none')
    expect(await ask(`localhost:${byAddress}`, channel)).toContain('does not contain a DNS name')
    expect(await ask(`127.0.0.1:${byName}`, channel, { 'grpc.ssl_target_name_override': 'other.test' })).toBe('none')
    expect(await ask(`localhost:${byAddress}`, channel, { 'grpc.ssl_target_name_override': '127.0.0.1' })).toBe('none')
  })

  it('trusts nobody whose CA it does not know, unless it verifies nothing', async () => {
    expect(await ask(`127.0.0.1:${byAddress}`, new TlsCredentials({}))).toContain('unable to verify the first certificate')
    expect(await ask(`127.0.0.1:${byName}`, new TlsCredentials({ rejectUnauthorized: false }))).toBe('none')
  })

  it('carries the credentials of calls', async () => {
    const token = credentials.createFromMetadataGenerator((_, answer) => {
      const metadata = new Metadata()
      metadata.set('x-token', 'secret')
      answer(null, metadata)
    })
    expect(await ask(`127.0.0.1:${byAddress}`, channel.compose(token) as TlsCredentials)).toBe('secret')
  })

  it('refuses a certificate that it cannot read at once', () => {
    expect(() => new TlsCredentials({ cert: 'nonsense', key: 'nonsense' })).toThrow()
  })
})

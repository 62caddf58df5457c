import { once } from 'node:events'
import net, { type AddressInfo, type Socket } from 'node:net'
import { Client } from '@grpc/grpc-js'
import { describe, it } from 'vitest'
import { SidecarCredentials } from '../../src/sidecar/sidecar-credentials.js'
import { common, side, upstream } from '../mtls/tls/tls-support.js'

describe('SidecarCredentials', () => {
  it('a server that accepts and never speaks TLS costs no socket once the client gives up', async () => {
    const server = net.createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { contexts, cluster } = side()
    const context = contexts.upstream(upstream(common(null, {})), cluster)
    const { port } = server.address() as AddressInfo
    const client = new Client(`127.0.0.1:${port}`, new SidecarCredentials(true, () => context, null))
    client.getChannel().getConnectivityState(true)
    const [socket] = (await once(server, 'connection')) as [Socket]
    socket.on('error', () => {})
    await once(socket, 'data') // the ClientHello
    client.close()
    await once(socket, 'close')
    server.close()
  })
})

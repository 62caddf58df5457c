// Channel credentials of grpc-js whose connections are made by us: what its own cannot do (an address as the server's name on Node 26, files
// read at each connection, an UpstreamTlsContext) is one method here. TlsCredentials is the ordinary case; the dataplane and the sidecar have
// theirs. Loaded by those alone that load grpc-js. Invariant: a socket that was not secured in time, or was given up, is destroyed.
import type { Socket } from 'node:net'
import { type ConnectionOptions, connect, createSecureContext, type TLSSocket } from 'node:tls'
import { ChannelCredentials, experimental } from '@grpc/grpc-js'
import { serverNameOptions } from './server-name.js'

type SecureConnector = ReturnType<ChannelCredentials['_createSecureConnector']>
type ConnectorArguments = Parameters<ChannelCredentials['_createSecureConnector']>
type CallCredentials = Parameters<ChannelCredentials['compose']>[0]
export type Connected = Awaited<ReturnType<SecureConnector['connect']>>

const NAME_OVERRIDE = 'grpc.ssl_target_name_override'

export abstract class OwnChannelCredentials extends ChannelCredentials {
  private readonly plain = ChannelCredentials.createInsecure()

  /** `host`: of the target, without its port and brackets. */
  protected abstract connectOver(socket: Socket, host: string): Promise<Connected>

  override compose(_callCredentials: CallCredentials): ChannelCredentials {
    throw new Error('call credentials are not supported')
  }

  override _isSecure(): boolean {
    return true
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other
  }

  override _createSecureConnector(...args: ConnectorArguments): SecureConnector {
    const base = this.plain._createSecureConnector(...args)
    const [target, options] = args
    const host = options[NAME_OVERRIDE] ?? (target.scheme === 'unix' ? 'localhost' : hostOf(target.path))
    let pending: Socket | null = null
    return {
      connect: socket => {
        pending = socket
        return this.connectOver(socket, host).finally(() => {
          pending = null
        })
      },
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => base.getCallCredentials(),
      // A server that accepts and never speaks TLS: the client gave up, the socket must not stay.
      destroy: () => pending?.destroy(),
    }
  }
}

/** TLS as the options say; without a name of their own the server is judged by the target's host. */
export class TlsCredentials extends OwnChannelCredentials {
  private readonly tls: ConnectionOptions

  /** Throws for certificates and keys that cannot be read. */
  constructor(
    tls: ConnectionOptions,
    private readonly call: CallCredentials | null = null,
  ) {
    super()
    this.tls = { secureContext: createSecureContext(tls), ...tls }
  }

  override compose(callCredentials: CallCredentials): ChannelCredentials {
    return new TlsCredentials(this.tls, this.call?.compose(callCredentials) ?? callCredentials)
  }

  override _createSecureConnector(
    target: ConnectorArguments[0],
    options: ConnectorArguments[1],
    call?: ConnectorArguments[2],
  ): SecureConnector {
    const both = call === undefined ? this.call : (this.call?.compose(call) ?? call)
    return super._createSecureConnector(target, options, both ?? undefined)
  }

  protected override async connectOver(socket: Socket, host: string): Promise<Connected> {
    const secured = connect({ socket, ALPNProtocols: ['h2'], ...serverNameOptions(host), ...this.tls })
    await whenSecured(secured, socket)
    return { socket: secured, secure: true }
  }
}

/** Once the handshake stands; rejects, and ends both sockets, when it does not. */
export function whenSecured(secured: TLSSocket, socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => {
      // One that follows the first must not be unheard.
      secured.on('error', () => {})
      socket.destroy()
      reject(error)
    }
    secured.once('error', failed)
    secured.once('secureConnect', () => {
      secured.off('error', failed)
      resolve()
    })
  })
}

/** Of several addresses (`ipv4:10.0.0.1:443,10.0.0.2:443`) the first, as with grpc-js. */
function hostOf(addresses: string): string {
  const path = addresses.split(',', 1)[0]!
  return experimental.splitHostPort(path)?.host ?? path
}

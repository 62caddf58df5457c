// TLS to Consul's servers by consul-dataplane's flags, for every connection: the dataplane's own calls and the xDS stream. Files are read at each
// connection, so that rotated ones are used from the next on. Made by ConsulServers.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { isIP, type Socket } from 'node:net'
import { join } from 'node:path'
import { checkServerIdentity, connect, type TLSSocket } from 'node:tls'
import { ChannelCredentials } from '@grpc/grpc-js'
import type { TlsSettings } from '../settings/settings.js'

type SecureConnector = ReturnType<ChannelCredentials['_createSecureConnector']>
type CallCredentials = Parameters<ChannelCredentials['compose']>[0]

const KEEPALIVE_MS = 30_000

export class ServerCredentials extends ChannelCredentials {
  private readonly plain = ChannelCredentials.createInsecure()

  constructor(private readonly tls: TlsSettings) {
    super()
  }

  override compose(_callCredentials: CallCredentials): ChannelCredentials {
    throw new Error('call credentials are not supported')
  }

  override _isSecure(): boolean {
    return true
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other
  }

  override _createSecureConnector(...args: Parameters<ChannelCredentials['_createSecureConnector']>): SecureConnector {
    const base = this.plain._createSecureConnector(...args)
    let pending: Socket | null = null
    return {
      connect: socket => {
        pending = socket
        return this.secured(socket)
          .then(secured => ({ socket: secured, secure: true }))
          .finally(() => {
            pending = null
          })
      },
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => base.getCallCredentials(),
      destroy: () => pending?.destroy(),
    }
  }

  private secured(socket: Socket): Promise<TLSSocket> {
    const { caCertsPath, certFile, keyFile, serverName, verify } = this.tls
    socket.setKeepAlive(true, KEEPALIVE_MS)
    return new Promise((resolve, reject) => {
      const secured = connect({
        socket,
        ALPNProtocols: ['h2'],
        rejectUnauthorized: verify,
        // RFC 6066: an address is never a server name.
        ...(serverName === '' || isIP(serverName) !== 0 ? {} : { servername: serverName }),
        checkServerIdentity: (_host, certificate) => checkServerIdentity(serverName, certificate),
        ...(caCertsPath === '' ? {} : { ca: readRoots(caCertsPath) }),
        ...(certFile === '' ? {} : { cert: readFileSync(certFile), key: readFileSync(keyFile) }),
      })
      const failed = (error: Error): void => {
        // One that follows the first must not be unheard.
        secured.on('error', () => {})
        socket.destroy()
        reject(error)
      }
      secured.once('error', failed)
      secured.once('secureConnect', () => {
        secured.off('error', failed)
        resolve(secured)
      })
    })
  }
}

/** PEM of a file, or of every file of a folder. */
export function readRoots(path: string): string {
  if (!statSync(path).isDirectory()) return readFileSync(path, 'utf8')
  return readdirSync(path, { withFileTypes: true })
    .filter(entry => !entry.isDirectory())
    .map(({ name }) => readFileSync(join(path, name), 'utf8'))
    .join('\n')
}

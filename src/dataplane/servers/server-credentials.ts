// TLS to Consul's servers by consul-dataplane's flags, for every connection: the dataplane's own calls and the xDS stream. Files are read at each
// connection, so that rotated ones are used from the next on. Made by ConsulServers.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { type Connected, OwnChannelCredentials, whenSecured } from '../../io/grpc-credentials.js'
import { serverNameOptions } from '../../io/server-name.js'
import type { TlsSettings } from '../settings/settings.js'

const KEEPALIVE_MS = 30_000

export class ServerCredentials extends OwnChannelCredentials {
  constructor(private readonly tls: TlsSettings) {
    super()
  }

  protected override async connectOver(socket: Socket): Promise<Connected> {
    const { caCertsPath, certFile, keyFile, serverName, verify } = this.tls
    socket.setKeepAlive(true, KEEPALIVE_MS)
    const secured = connect({
      socket,
      ALPNProtocols: ['h2'],
      rejectUnauthorized: verify,
      ...serverNameOptions(serverName),
      ...(caCertsPath === '' ? {} : { ca: readRoots(caCertsPath) }),
      ...(certFile === '' ? {} : { cert: readFileSync(certFile), key: readFileSync(keyFile) }),
    })
    await whenSecured(secured, socket)
    return { socket: secured, secure: true }
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

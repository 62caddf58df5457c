// A mesh client made by hand: mutual TLS to a sidecar's public listener with the certificate of a service, as another sidecar would.
// Used by steps.ts to see which certificate a sidecar serves and that connections outlive a rotation.
import { Agent, request as httpsRequest } from 'node:https'
import { type ConnectionOptions, connect, type PeerCertificate, type TLSSocket } from 'node:tls'
import { DEMO_HOST } from './port-table.js'

const TIMEOUT_MS = 10_000

export interface MeshIdentity {
  readonly certPem: string
  readonly keyPem: string
  /** Roots of the mesh. */
  readonly caPem: string
}

/** Options that accept a server of the service `spiffeId` only. */
function tlsOptions(identity: MeshIdentity, spiffeId: string): ConnectionOptions {
  return {
    host: DEMO_HOST,
    ca: identity.caPem,
    cert: identity.certPem,
    key: identity.keyPem,
    ALPNProtocols: ['http/1.1'],
    // The mesh names services by URI, which the default check against the host name does not know.
    checkServerIdentity: (_host: string, certificate: PeerCertificate) =>
      (certificate.subjectaltname ?? '').split(', ').includes(`URI:${spiffeId}`)
        ? undefined
        : new Error(`the server is ${certificate.subjectaltname}, not ${spiffeId}`),
  }
}

/** Serial number of the certificate that a fresh connection is shown, in upper-case hex without separators. */
export function servedSerial(port: number, identity: MeshIdentity, spiffeId: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ ...tlsOptions(identity, spiffeId), port }, () => {
      const serial = socket.getPeerX509Certificate()?.serialNumber ?? ''
      socket.destroy()
      resolve(plainSerial(serial))
    })
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error(`no TLS handshake with port ${port} within ${TIMEOUT_MS / 1000} s`)))
    socket.once('error', reject)
  })
}

/** `0a:bc` and `ABC` are the same number. */
export function plainSerial(serial: string): string {
  return serial.replaceAll(':', '').toUpperCase().replace(/^0+/, '')
}

/** One connection that is kept and used again. */
export class HeldConnection {
  private readonly agent: Agent
  private readonly port: number
  private first: TLSSocket | undefined

  constructor(port: number, identity: MeshIdentity, spiffeId: string) {
    this.port = port
    this.agent = new Agent({ ...tlsOptions(identity, spiffeId), keepAlive: true, maxSockets: 1, maxCachedSessions: 0 })
  }

  /** Resolves with the status and whether it came on the same connection as the first request. */
  request(path: string): Promise<{ readonly status: number; readonly same: boolean }> {
    return new Promise((resolve, reject) => {
      const request = httpsRequest({ agent: this.agent, host: DEMO_HOST, port: this.port, path, timeout: TIMEOUT_MS }, response => {
        // Taken now: at the end the response gives its socket back to the agent.
        const socket = response.socket as TLSSocket
        this.first ??= socket
        const same = this.first === socket
        response.resume()
        response.on('error', reject)
        response.on('end', () => resolve({ status: response.statusCode ?? 0, same }))
      })
      request.on('timeout', () => request.destroy(new Error(`no answer on port ${this.port} within ${TIMEOUT_MS / 1000} s`)))
      request.on('error', reject)
      request.end()
    })
  }

  close(): void {
    this.agent.destroy()
  }
}

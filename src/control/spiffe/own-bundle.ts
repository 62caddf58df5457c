// The bundle of the mesh's own trust domain as a document, and the endpoint that serves it and nothing else to other trust domains, over TLS with
// the control plane's own identity (profile https_spiffe). Made by `ControlPlane`, the document also served by the HTTP API.
// Invariant: the sequence grows with every change of the CA's state, and is the same for all who serve it.
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { CertificateAuthority } from '../../mtls/ca/authority.js'
import type { ServerCertificate } from '../certificates/server-certificate.js'
import type { HostPort } from '../http-api/listen-addresses.js'
import type { Store } from '../store/store.js'
import { writeBundleDocument } from './bundle-document.js'

/** Others should look again after so long. A new root signs sooner, but is cross-signed by the one before it. */
const REFRESH_HINT_SECONDS = 60
const MAX_CONNECTIONS = 256
const REQUEST_TIMEOUT_MS = 10_000

export class OwnBundle {
  constructor(
    private readonly ca: CertificateAuthority,
    private readonly store: Store,
  ) {}

  async document(): Promise<object> {
    const state = await this.store.list('ca')
    return writeBundleDocument({
      rootPems: this.ca.roots().Roots.map(({ RootCert }) => RootCert),
      sequence: Math.max(1, ...state.map(({ modifyIndex }) => modifyIndex)),
      refreshHintSeconds: REFRESH_HINT_SECONDS,
    })
  }
}

export class BundleEndpoint {
  private constructor(
    private readonly server: Server,
    private readonly certificate: ServerCertificate,
  ) {}

  /** `certificate`: started already; `refresh` is to be called when it is another. */
  static async listen({ host, port }: HostPort, bundle: OwnBundle, certificate: ServerCertificate): Promise<BundleEndpoint> {
    const server = createServer(
      { ...pair(certificate), minVersion: 'TLSv1.2', requestTimeout: REQUEST_TIMEOUT_MS, handshakeTimeout: REQUEST_TIMEOUT_MS },
      (request, response) => {
        const isAsked = request.method === 'GET' || request.method === 'HEAD'
        if (!isAsked) {
          response.writeHead(405, { allow: 'GET, HEAD' }).end()
          return
        }
        bundle.document().then(
          document => response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(document)),
          () => response.writeHead(500).end(),
        )
      },
    )
    server.maxConnections = MAX_CONNECTIONS
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, host, resolve)
    })
    return new BundleEndpoint(server, certificate)
  }

  get address(): HostPort {
    const { address: host, port } = this.server.address() as AddressInfo
    return { host, port }
  }

  refresh(): void {
    this.server.setSecureContext({ ...pair(this.certificate), minVersion: 'TLSv1.2' })
  }

  async close(): Promise<void> {
    this.certificate.stop()
    this.server.closeAllConnections()
    await new Promise(resolve => this.server.close(resolve))
  }
}

function pair(certificate: ServerCertificate): { cert: string; key: string } {
  const { certPem, keyPem } = certificate.pem
  return { cert: certPem, key: keyPem }
}

// The HTTP API on its addresses: in clear text (8500) and over TLS (8501), one set of routes. Called by `ControlPlane`.
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import type { SecureOptions } from '../port-tls.js'
import { bindReason, formatAddress, type HostPort } from './listen-addresses.js'

export interface HttpListeners {
  /** As bound; undefined where there is none. */
  readonly http: HostPort | undefined
  readonly https: HostPort | undefined
  /** New connections over TLS get this certificate. */
  replaceCertificate(secure: SecureOptions): void
}

export interface HttpAddresses {
  readonly http: HostPort | undefined
  readonly https: HostPort | undefined
  /** Of the address over TLS. */
  readonly secure: SecureOptions | undefined
}

/** Rejects with one line that names the option. Closing the app closes both. */
export async function listenHttp(app: FastifyInstance, { http, https, secure }: HttpAddresses): Promise<HttpListeners> {
  const { requestTimeout, keepAliveTimeout } = app.server
  const tlsServer =
    https === undefined
      ? undefined
      : createServer({ ...secure, requestTimeout, headersTimeout: requestTimeout, keepAliveTimeout }, (request, response) =>
          app.routing(request, response),
        )
  if (tlsServer !== undefined) {
    app.addHook('onClose', async () => {
      tlsServer.closeAllConnections()
      if (tlsServer.listening) await new Promise(resolve => tlsServer.close(resolve))
    })
  }
  let bound: HostPort | undefined
  if (http === undefined) await app.ready()
  else {
    try {
      await app.listen({ host: http.host, port: http.port })
    } catch (error) {
      throw new Error(`--http-addr ${formatAddress(http)}: ${bindReason(error as Error)}`)
    }
    bound = { host: http.host, port: (app.server.address() as AddressInfo).port }
  }
  if (tlsServer === undefined) return { http: bound, https: undefined, replaceCertificate: () => {} }
  await new Promise<void>((resolve, reject) => {
    tlsServer.once('error', error => reject(new Error(`--https-addr ${formatAddress(https)}: ${bindReason(error)}`)))
    tlsServer.listen(https!.port, https!.host, resolve)
  })
  return {
    http: bound,
    https: { host: https!.host, port: (tlsServer.address() as AddressInfo).port },
    replaceCertificate: options => tlsServer.setSecureContext(options),
  }
}

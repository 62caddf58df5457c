// The HTTP API on its addresses: in clear text (8500) and over TLS (8501), one set of routes. Called by `ControlPlane`.
import { chmodSync, lstatSync, rmSync } from 'node:fs'
import { createServer } from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import type { FastifyInstance } from 'fastify'
import type { SecureOptions } from '../port-tls.js'
import { bindReason, formatAddress, type HostPort, socketPath } from './listen-addresses.js'

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
      const path = socketPath(http)
      if (path !== undefined) await removeDeadSocket(path)
      await app.listen(path === undefined ? { host: http.host, port: http.port } : { path })
      // Who may write to the file may use the API: its owner, until the operator says more.
      if (path !== undefined) chmodSync(path, 0o600)
    } catch (error) {
      throw new Error(`--http-addr ${formatAddress(http)}: ${bindReason(error as Error)}`)
    }
    const address = app.server.address() as AddressInfo | string
    bound = { host: http.host, port: typeof address === 'string' ? 0 : address.port }
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

/** A socket file that nobody listens on any more, after a crash: it would keep its path. Anything else stays where it is. */
async function removeDeadSocket(path: string): Promise<void> {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return
  const isDead = await new Promise<boolean>(resolve => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(false)
    })
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'))
  })
  if (isDead) rmSync(path, { force: true })
}

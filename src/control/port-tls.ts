// TLS of the control plane's own ports (HTTP API, gRPC): what the operator gives as files, or a certificate of the mesh's own CA, as Node's
// options. Made by `ControlPlane`; the files are read again at a reload, an issued certificate is replaced by itself.
// Invariant: a certificate and a key that do not go together are refused before anything is replaced.
import { createSecureContext, type SecureContext, type SecureContextOptions, type TlsOptions } from 'node:tls'
import { ServerCertificate, type ServerCertificateOptions } from './certificates/server-certificate.js'

/** PEM throughout. */
export interface ServerTls {
  /** Without certificate and key the mesh's CA issues one. */
  readonly certPem?: string
  readonly keyPem?: string
  /** What clients verify the server with: put into bootstraps. Default: the roots of the mesh where it issued, else `certPem`. */
  readonly caPem?: string
  /** When given, clients must present a certificate of this CA. */
  readonly clientCaPem?: string
  /** Default TLSv1.2. */
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3'
}

export type TlsPort = 'https' | 'grpc'
export type PortTlsSettings = Readonly<Record<TlsPort, ServerTls>>
export type SecureOptions = SecureContextOptions & TlsOptions

export interface PortTlsOptions extends Omit<ServerCertificateOptions, 'onChange'> {
  /** The ports that are served. */
  readonly ports: readonly TlsPort[]
  /** Reads the operator's files. Throws one line. */
  readonly read: () => PortTlsSettings
}

export class PortTls {
  private readonly options: PortTlsOptions
  private settings: PortTlsSettings
  private issued: ServerCertificate | undefined
  /** What peers are shown, made anew with each certificate. */
  private peering: { readonly pem: ServerCertificate['pem']; readonly context: SecureContext } | undefined
  private readonly listeners = new Map<TlsPort, (options: SecureOptions) => void>()

  private constructor(options: PortTlsOptions) {
    this.options = options
    this.settings = options.read()
  }

  /** Rejects with one line that names the port. */
  static async open(options: PortTlsOptions): Promise<PortTls> {
    const port = new PortTls(options)
    await port.issueWhereNeeded(port.settings)
    for (const name of options.ports) port.secureOptions(name)
    return port
  }

  secureOptions(port: TlsPort): SecureOptions {
    const options = secureOptions(this.settings[port], this.issued, port)
    return port === 'grpc' ? { ...options, SNICallback: (name, done) => done(null, this.peeringContext(name)) } : options
  }

  /** Clients of the port must show a certificate, which peers have none of. */
  get refusesPeers(): boolean {
    return this.settings.grpc.clientCaPem !== undefined
  }

  /** Undefined: the port's own. A peer verifies by the mesh's CA, whoever signed what the operator has given. */
  private peeringContext(name: string): SecureContext | undefined {
    if (name !== this.options.peeringName || this.issued === undefined) return undefined
    const { pem } = this.issued
    if (this.peering?.pem !== pem) this.peering = { pem, context: createSecureContext({ cert: pem.certPem, key: pem.keyPem }) }
    return this.peering.context
  }

  /** `replace` is called with what new connections of the port are to get. */
  onChange(port: TlsPort, replace: (options: SecureOptions) => void): void {
    this.listeners.set(port, replace)
  }

  /** PEM that clients of the port verify it with. */
  caPem(port: TlsPort): string {
    const { caPem, certPem } = this.settings[port]
    return caPem ?? certPem ?? this.options.ca.trustBundlePem()
  }

  /** Reads the files again. Throws one line, and then nothing has changed. */
  async reload(): Promise<void> {
    const settings = this.options.read()
    await this.issueWhereNeeded(settings)
    for (const name of this.options.ports) secureOptions(settings[name], this.issued, name)
    this.settings = settings
    this.tell()
  }

  stop(): void {
    this.issued?.stop()
  }

  private async issueWhereNeeded(settings: PortTlsSettings): Promise<void> {
    // One for peers stands beside the operator's.
    const isWanted = this.options.ports.some(port => port === 'grpc' || settings[port].certPem === undefined)
    if (this.issued !== undefined || !isWanted) return
    const issued = new ServerCertificate({ ...this.options, onChange: () => this.tell() })
    await issued.start()
    this.issued = issued
  }

  private tell(): void {
    for (const port of this.options.ports) this.listeners.get(port)?.(this.secureOptions(port))
  }
}

/** Throws one line that begins with the port's name. `issued` stands in where the operator gives no certificate. */
export function secureOptions(tls: ServerTls, issued: ServerCertificate | undefined, port: TlsPort): SecureOptions {
  const options: SecureOptions = {
    ...(tls.certPem === undefined
      ? { cert: issued!.pem.certPem, key: issued!.pem.keyPem }
      : { cert: tls.certPem, ...(tls.keyPem === undefined ? {} : { key: tls.keyPem }) }),
    minVersion: tls.minVersion ?? 'TLSv1.2',
    ...(tls.clientCaPem === undefined ? {} : { ca: tls.clientCaPem, requestCert: true, rejectUnauthorized: true }),
  }
  try {
    createSecureContext(options)
  } catch (error) {
    throw new Error(`TLS of ${port}: the certificate and its key cannot be used: ${(error as Error).message}`)
  }
  return options
}

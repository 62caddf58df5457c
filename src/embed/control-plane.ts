// A control plane inside another program: the package's public `ControlPlane`, over src/control. Everything belongs to the instance and ends
// with close(); nothing of the process is touched. Without a data directory its state is in memory, which is what tests want.

import type { ControlPlane as RunningControlPlane, ControlPlaneOptions as RunningOptions } from '../control/control-plane.js'
import { OUTRIGGER_VERSION } from '../sidecar/version.js'
import { ConfigRefusedError } from './config-refused-error.js'
import type { Log, LogLine } from './log-line.js'

export interface ControlPlaneOptions {
  /** Consul's HTTP API, `host:port`; port 0 picks a free one. Default 127.0.0.1:0. Beyond loopback a token is needed, or ACLs, and TLS. */
  readonly http?: string
  /** xDS for sidecars. Default 127.0.0.1:0; `off`: not served. */
  readonly grpc?: string
  /** The same over TLS, by certificates of the mesh's CA. Not served unless given. */
  readonly https?: string
  readonly grpcTls?: string
  /** DNS by UDP and TCP. Not served unless given. */
  readonly dns?: string
  /** Where the state lives; without it in memory alone. */
  readonly dataDir?: string
  /** Seals the private keys in the data directory. */
  readonly encryptionKey?: string
  readonly datacenter?: string
  readonly nodeName?: string
  /** What is allowed where no intention says. Default deny. */
  readonly defaultIntentionPolicy?: 'allow' | 'deny'
  /** Required of clients of the HTTP API, and of sidecars. */
  readonly httpToken?: string
  readonly grpcToken?: string
  /** Consul's ACLs; absent: they are off. */
  readonly acl?: {
    readonly defaultPolicy: 'allow' | 'deny'
    /** The secret of a management token that exists from the start. */
    readonly initialManagementToken?: string
  }
  /** Addresses beyond loopback are served although clients come unknown or in clear text. */
  readonly allowOpen?: boolean
  /** Hears everything that is said, of every level. */
  readonly log?: Log
}

/** `host:port` as bound; null: not served. */
export interface ControlPlaneAddresses {
  readonly http: string | null
  readonly https: string | null
  readonly grpc: string | null
  readonly grpcTls: string | null
  readonly dns: string | null
}

/** Consul's service definitions and config entries, in CamelCase or snake_case. */
export interface Declaration {
  readonly services?: readonly object[]
  readonly configEntries?: readonly object[]
}

export interface Applied {
  /** What is written and has no effect here, with its place. */
  readonly warnings: readonly { readonly path: string; readonly reason: string }[]
}

export class ControlPlane {
  private readonly running: RunningControlPlane
  private ending: Promise<void> | null = null

  private constructor(running: RunningControlPlane) {
    this.running = running
  }

  /** Serves once it resolves. Rejects with one line that names the option, file or address at fault; nothing is left running then. */
  static async start(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
    // Who runs a sidecar alone does not load it.
    const { ControlPlane: Running } = await import('../control/control-plane.js')
    const running = new Running(runningOptions(options))
    await running.start()
    return new ControlPlane(running)
  }

  get addresses(): ControlPlaneAddresses {
    const { httpAddress, httpsAddress, grpcAddress, grpcTlsAddress, dnsAddress } = this.running
    const plain = grpcAddress === grpcTlsAddress ? '' : grpcAddress
    return {
      http: httpAddress || null,
      https: httpsAddress || null,
      grpc: plain || null,
      grpcTls: grpcTlsAddress || null,
      dns: dnsAddress || null,
    }
  }

  /**
   * Registers services and writes config entries, as one change: all of it, or none and a ConfigRefusedError with every problem. What was
   * there under the same ids and names is replaced; the rest stays.
   */
  async apply(declaration: Declaration): Promise<Applied> {
    const { errors, warnings } = await this.running.apply(declaration)
    if (errors.length > 0) throw new ConfigRefusedError('not applied', errors)
    return { warnings }
  }

  /** Stops serving and closes the state. */
  close(): Promise<void> {
    this.ending ??= this.running.stop()
    return this.ending
  }
}

function runningOptions(options: ControlPlaneOptions): RunningOptions {
  const { http = '127.0.0.1:0', https, grpc = '127.0.0.1:0', grpcTls, dns, acl, log = () => {}, ...same } = options
  const say =
    (level: LogLine['level']) =>
    (fields: object, message: string): void =>
      log({ level, message, fields: fields as Record<string, unknown>, component: 'control' })
  return {
    ...same,
    httpAddr: http,
    grpcAddr: grpc,
    ...(https === undefined ? {} : { httpsAddr: https }),
    ...(grpcTls === undefined ? {} : { grpcTlsAddr: grpcTls }),
    ...(dns === undefined ? {} : { dns: { address: dnsAddress(dns) } }),
    ...(acl === undefined ? {} : { acl: aclOptions(acl) }),
    version: OUTRIGGER_VERSION,
    log: { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') },
  }
}

function aclOptions({
  defaultPolicy,
  initialManagementToken,
}: NonNullable<ControlPlaneOptions['acl']>): NonNullable<RunningOptions['acl']> {
  return { defaultPolicy, ...(initialManagementToken === undefined ? {} : { initialManagement: initialManagementToken }) }
}

function dnsAddress(text: string): { readonly host: string; readonly port: number } {
  const match = /^\[?([^\]]+?)\]?:(\d{1,5})$/.exec(text)
  if (match === null) throw new TypeError(`dns: '${text}' is no host:port`)
  return { host: match[1]!, port: Number(match[2]) }
}

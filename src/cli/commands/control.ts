// `outrigger control`: the control plane as a process. Turns flags, environment and files into `ControlPlaneOptions`, starts it, stops
// it on SIGTERM or SIGINT. Called by outrigger-main.ts, which loads this file only for this command (the control plane is most of the
// program's start-up time). Secrets come by file or environment: a command line is for everyone to read.
import pino from 'pino'
import { ControlPlane, type ControlPlaneOptions, decodeCaConfig } from '../../control/control-plane.js'
import { OUTRIGGER_VERSION } from '../version.js'
import { CliError, type CommandIo } from './command-io.js'
import { type DnsFlags, dnsOptions } from './dns-flags.js'
import { readObjects } from './documents.js'

export interface ControlFlags extends DnsFlags {
  readonly config?: string
  readonly httpAddr?: string
  readonly grpcAddr?: string
  readonly dataDir?: string
  readonly enableLocalScriptChecks?: boolean
  readonly restore?: string
  readonly acceptLoss?: boolean
  readonly datacenter?: string
  readonly nodeName?: string
  readonly nodeAddress?: string
  readonly token?: string
  readonly tokenFile?: string
  readonly grpcToken?: string
  readonly grpcTokenFile?: string
  readonly grpcTlsCert?: string
  readonly grpcTlsKey?: string
  readonly grpcTlsCa?: string
  readonly grpcTlsClientCa?: string
  readonly acl?: boolean
  readonly aclDefaultPolicy?: string
  readonly aclInitialManagementFile?: string
  readonly caConfig?: string
  readonly caKeyFile?: string
  readonly caFilesByApi?: boolean
  readonly sidecarMinPort?: string
  readonly sidecarMaxPort?: string
  readonly logLevel?: string
}

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']

export async function control(flags: ControlFlags, io: CommandIo): Promise<void> {
  const leave = { asked: (): void => {} }
  const left = new Promise<void>(resolve => {
    leave.asked = resolve
  })
  const plane = new ControlPlane({ ...controlOptions(flags, io), log: logger(flags.logLevel ?? 'info'), onLeave: () => leave.asked() })
  await plane.start().catch((error: Error) => {
    throw new CliError(error.message)
  })
  io.out(`http ${plane.httpAddress}\ngrpc ${plane.grpcAddress}\n`)
  if (plane.dnsAddress !== '') io.out(`dns ${plane.dnsAddress}\n`)
  await Promise.race([stopSignal(), left])
  await plane.stop()
}

/** Throws `CliError` that names the flag or file at fault. */
export function controlOptions(flags: ControlFlags, io: CommandIo): ControlPlaneOptions {
  if (flags.dataDir === undefined && (flags.restore !== undefined || flags.acceptLoss === true))
    throw new CliError('--restore and --accept-loss need --data-dir')
  const secret = (text: string | undefined, file: string | undefined, variable: string): string | undefined =>
    text ?? (file === undefined ? io.env(variable) : io.readText(file).trim())
  const encryptionKey = secret(undefined, flags.caKeyFile, 'OUTRIGGER_CA_KEY')
  const httpToken = secret(flags.token, flags.tokenFile, 'OUTRIGGER_HTTP_TOKEN')
  const grpcToken = secret(flags.grpcToken, flags.grpcTokenFile, 'OUTRIGGER_GRPC_TOKEN')
  return {
    ...present({
      meshFile: flags.config,
      httpAddr: flags.httpAddr,
      grpcAddr: flags.grpcAddr,
      dataDir: flags.dataDir,
      localScriptChecks: flags.enableLocalScriptChecks,
      restore: flags.restore,
      acceptLoss: flags.acceptLoss,
      datacenter: flags.datacenter,
      nodeName: flags.nodeName,
      nodeAddress: flags.nodeAddress,
      encryptionKey,
      httpToken,
      grpcToken,
      sidecarMinPort: port(flags.sidecarMinPort, '--sidecar-min-port'),
      sidecarMaxPort: port(flags.sidecarMaxPort, '--sidecar-max-port'),
      grpcTls: grpcTls(flags, io),
      acl: aclOptions(flags, secret(undefined, flags.aclInitialManagementFile, 'OUTRIGGER_ACL_INITIAL_MANAGEMENT')),
      ca: caConfig(flags.caConfig, io),
      dns: dnsOptions(flags),
      caFilesByApi: flags.caFilesByApi,
    }),
    version: OUTRIGGER_VERSION,
  }
}

function present<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>
  }
}

function grpcTls(flags: ControlFlags, io: CommandIo): ControlPlaneOptions['grpcTls'] {
  const { grpcTlsCert: cert, grpcTlsKey: key, grpcTlsCa: ca, grpcTlsClientCa: clientCa } = flags
  if (cert === undefined && key === undefined) {
    if (ca !== undefined || clientCa !== undefined) throw new CliError('--grpc-tls-ca and --grpc-tls-client-ca need --grpc-tls-cert')
    return undefined
  }
  if (cert === undefined || key === undefined) throw new CliError('--grpc-tls-cert and --grpc-tls-key go together')
  return {
    certPem: io.readText(cert),
    keyPem: io.readText(key),
    ...(ca === undefined ? {} : { caPem: io.readText(ca) }),
    ...(clientCa === undefined ? {} : { clientCaPem: io.readText(clientCa) }),
  }
}

function aclOptions(flags: ControlFlags, initialManagement: string | undefined): ControlPlaneOptions['acl'] {
  const { acl = false, aclDefaultPolicy: policy } = flags
  if (!acl) {
    if (policy !== undefined || flags.aclInitialManagementFile !== undefined)
      throw new CliError('--acl-default-policy and --acl-initial-management-file need --acl')
    return undefined
  }
  if (policy !== undefined && policy !== 'allow' && policy !== 'deny')
    throw new CliError(`--acl-default-policy "${policy}": must be allow or deny`)
  return { defaultPolicy: policy ?? 'deny', ...(initialManagement === undefined ? {} : { initialManagement }) }
}

function caConfig(file: string | undefined, io: CommandIo): ControlPlaneOptions['ca'] {
  if (file === undefined) return undefined
  const [object, ...rest] = readObjects(io.readText(file), file)
  if (object === undefined || rest.length > 0) throw new CliError(`${file}: must be one object with Provider and Config`)
  const result = decodeCaConfig(object.value)
  if (!result.ok) throw new CliError(`${file}: ${result.problems.map(({ path, reason }) => `${path}: ${reason}`).join('; ')}`)
  return result.config
}

function port(text: string | undefined, flag: string): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (!/^\d{1,5}$/.test(text) || value < 1 || value > 65_535) throw new CliError(`${flag} "${text}": must be a port, 1 to 65535`)
  return value
}

function logger(level: string): pino.Logger {
  if (!LOG_LEVELS.includes(level)) throw new CliError(`--log-level "${level}": must be one of ${LOG_LEVELS.join(', ')}`)
  const name = 'outrigger-control'
  return pino({ name, level, base: { name }, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ dest: 2, sync: false }))
}

/** Resolves on the first SIGTERM or SIGINT; a second one ends the process at once. */
function stopSignal(): Promise<void> {
  return new Promise(resolve => {
    let asked = false
    const stop = (): void => {
      if (asked) process.exit(1)
      asked = true
      resolve()
    }
    process.on('SIGTERM', stop)
    process.on('SIGINT', stop)
  })
}

// The flags of `outrigger control`, with environment and files, as `ControlPlaneOptions`. Called by run-control.ts.
// Secrets come by file or environment: a command line is for everyone to read.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { parseDuration } from '../../control/config-entries/duration.js'
import { type ControlPlaneOptions, decodeCaConfig } from '../../control/control-plane.js'
import { decodeVaultOptions } from '../../control/secrets/vault-options.js'
import { OUTRIGGER_VERSION } from '../../sidecar/version.js'
import type { AgentConfig } from '../agent-config/agent-config.js'
import { localityOf } from '../agent-config/locality-setting.js'
import { portRangesOf } from '../agent-config/port-ranges.js'
import { CliError, type CommandIo } from '../command-line/command-io.js'
import { packageRoot } from '../package-root.js'
import { type DnsFlags, dnsOptions } from './dns-flags.js'
import { readObjects } from './documents.js'

export interface ControlFlags extends DnsFlags {
  readonly config?: string
  readonly configFile?: readonly string[]
  readonly configFormat?: string
  readonly httpAddr?: string
  readonly httpsAddr?: string
  readonly grpcAddr?: string
  readonly grpcTlsAddr?: string
  readonly spiffeBundleAddr?: string
  readonly allowOpen?: boolean
  readonly dataDir?: string
  readonly enableLocalScriptChecks?: boolean
  readonly enableScriptChecks?: boolean
  readonly store?: string
  readonly storePrefix?: string
  readonly storeCacert?: string
  readonly storeCert?: string
  readonly storeKey?: string
  readonly storeUserFile?: string
  readonly restore?: string
  readonly acceptLoss?: boolean
  readonly backupTo?: string
  readonly backupEvery?: string
  readonly backupKeep?: string
  readonly backupKeyFile?: string
  readonly backupS3CredentialsFile?: string
  readonly datacenter?: string
  readonly nodeName?: string
  readonly nodeAddress?: string
  readonly region?: string
  readonly zone?: string
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
  readonly vaultConfig?: string
  readonly caFilesByApi?: boolean
  readonly loadReportInterval?: string
  readonly webhookSecretFile?: string
  readonly prometheus?: string
  readonly sidecarMinPort?: string
  readonly sidecarMaxPort?: string
  /** The web console; absent: it is served. */
  readonly ui?: boolean
  readonly logLevel?: string
}

/** More often is no statistic, and seldomer would leave the windows of a minute empty. */
const MIN_REPORT_MS = 100
const MAX_REPORT_MS = 60_000

/** Throws `CliError` that names the flag or file at fault. */
export function controlOptions(flags: ControlFlags, io: CommandIo): ControlPlaneOptions {
  if (flags.dataDir === undefined && flags.acceptLoss === true) throw new CliError('--accept-loss needs --data-dir')
  if (flags.dataDir === undefined && flags.store === undefined && flags.restore !== undefined)
    throw new CliError('--restore needs --data-dir or --store')
  const secret = (text: string | undefined, file: string | undefined, variable: string): string | undefined =>
    text ?? (file === undefined ? io.env(variable) : io.readText(file).trim())
  const keyInVault = flags.caKeyFile?.startsWith('vault://') === true
  const encryptionKey = keyInVault ? flags.caKeyFile : secret(undefined, flags.caKeyFile, 'OUTRIGGER_CA_KEY')
  const httpToken = secret(flags.token, flags.tokenFile, 'OUTRIGGER_HTTP_TOKEN')
  const grpcToken = secret(flags.grpcToken, flags.grpcTokenFile, 'OUTRIGGER_GRPC_TOKEN')
  return {
    ...present({
      meshFile: flags.config,
      httpAddr: flags.httpAddr,
      httpsAddr: flags.httpsAddr,
      grpcAddr: flags.grpcAddr,
      grpcTlsAddr: flags.grpcTlsAddr,
      spiffeBundleAddr: flags.spiffeBundleAddr,
      allowOpen: flags.allowOpen,
      dataDir: flags.dataDir,
      localScriptChecks: flags.enableLocalScriptChecks,
      scriptChecksByApi: flags.enableScriptChecks,
      store: storeOptions(flags),
      restore: flags.restore,
      acceptLoss: flags.acceptLoss,
      backups: backupOptions(flags, io),
      datacenter: flags.datacenter,
      nodeName: flags.nodeName,
      nodeAddress: flags.nodeAddress,
      locality: localityOf(flags.region, flags.zone, '--region and --zone'),
      encryptionKey,
      httpToken,
      grpcToken,
      loadReportIntervalMs: intervalMs(flags.loadReportInterval),
      webhookSecretFile: flags.webhookSecretFile,
      prometheus: prometheusUrl(flags.prometheus),
      sidecarMinPort: port(flags.sidecarMinPort, '--sidecar-min-port'),
      sidecarMaxPort: port(flags.sidecarMaxPort, '--sidecar-max-port'),
      grpcTls: grpcTls(flags, io),
      acl: aclOptions(flags, secret(undefined, flags.aclInitialManagementFile, 'OUTRIGGER_ACL_INITIAL_MANAGEMENT')),
      ca: caConfig(flags.caConfig, io),
      vault: vaultOptions(flags.vaultConfig, io),
      dns: dnsOptions(flags),
      caFilesByApi: flags.caFilesByApi,
      consoleFolder: flags.ui === false ? undefined : builtConsole(),
    }),
    sidecarChecks: true,
    version: OUTRIGGER_VERSION,
  }
}

/** Undefined where it has not been built. */
function builtConsole(): string | undefined {
  const folder = join(packageRoot(), 'dist/console')
  return existsSync(folder) ? folder : undefined
}

/** What no flag says: the CA's configuration and the tokens. */
export function configuredOptions(config: AgentConfig, io: CommandIo): Partial<ControlPlaneOptions> {
  const { connect, acl, default_intention_policy: policy } = config
  // Sidecars' ports have flags, which stand over the configuration.
  const { sidecarMinPort: _min, sidecarMaxPort: _max, ...ranges } = portRangesOf(config)
  if (policy !== undefined && policy !== 'allow' && policy !== 'deny')
    throw new CliError(`default_intention_policy "${policy}": must be allow or deny`)
  const result: { -readonly [K in keyof ControlPlaneOptions]: ControlPlaneOptions[K] } = ranges
  const http = config.http_config
  if (http !== undefined)
    result.httpConfig = {
      ...(http.response_headers === undefined ? {} : { responseHeaders: http.response_headers }),
      ...(http.block_endpoints === undefined ? {} : { blockEndpoints: http.block_endpoints }),
      ...(http.allow_write_http_from === undefined ? {} : { allowWriteFrom: http.allow_write_http_from }),
    }
  if (policy !== undefined) result.defaultIntentionPolicy = policy
  // As in Consul: without a word on intentions, the default policy of the ACLs is theirs.
  else if (acl?.enabled !== true || (acl.default_policy ?? 'allow') === 'allow') result.defaultIntentionPolicy = 'allow'
  if (connect?.ca_provider !== undefined || connect?.ca_config !== undefined)
    result.ca = decodedCa({ Provider: connect.ca_provider ?? 'consul', Config: connect.ca_config ?? {} }, 'connect.ca_config')
  if (acl?.enabled === true) {
    const { tokens, default_policy: defaultPolicy = 'allow' } = acl
    if (defaultPolicy !== 'allow' && defaultPolicy !== 'deny')
      throw new CliError(`acl.default_policy "${defaultPolicy}": must be allow or deny`)
    const initialManagement = tokens?.initial_management ?? io.env('OUTRIGGER_ACL_INITIAL_MANAGEMENT')
    result.acl = {
      defaultPolicy,
      ...(initialManagement === undefined ? {} : { initialManagement }),
      ...(acl.enable_token_persistence === true ? { keepTokens: true } : {}),
      tokens: { ...(tokens?.default === undefined ? {} : { default: tokens.default }) },
    }
  }
  return result
}

function present<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>
  }
}

function storeOptions(flags: ControlFlags): ControlPlaneOptions['store'] {
  const { store, storePrefix: prefix, storeCacert: caFile, storeCert: certFile, storeKey: keyFile, storeUserFile: userFile } = flags
  const besides = present({ prefix, caFile, certFile, keyFile, userFile })
  if (store === undefined) {
    if (Object.keys(besides).length > 0)
      throw new CliError('--store-prefix, --store-cacert, --store-cert, --store-key and --store-user-file need --store')
    return undefined
  }
  if (flags.dataDir !== undefined) throw new CliError('--store and --data-dir: the state lives in one of them')
  return { store, ...besides }
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

function backupOptions(flags: ControlFlags, io: CommandIo): ControlPlaneOptions['backups'] {
  const { backupTo: to, backupEvery: every, backupKeep: keep, backupKeyFile: keyFile, backupS3CredentialsFile: file } = flags
  if (to === undefined && (every !== undefined || keep !== undefined || file !== undefined))
    throw new CliError('--backup-every, --backup-keep and --backup-s3-credentials-file need --backup-to')
  if (to === undefined && keyFile === undefined) return undefined
  return { ...present({ to, every, keep, keyFile }), sources: { env: io.env, readText: io.readText, file } }
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
  return decodedCa(object.value, file)
}

function vaultOptions(file: string | undefined, io: CommandIo): ControlPlaneOptions['vault'] {
  if (file === undefined) return undefined
  const [object, ...rest] = readObjects(io.readText(file), file)
  if (object === undefined || rest.length > 0) throw new CliError(`${file}: must be one object with Address, Token or AuthMethod, …`)
  const options = decodeVaultOptions(object.value)
  if ('settings' in options) return options
  throw new CliError(`${file}: ${options.map(({ path, reason }) => `${path}: ${reason}`).join('; ')}`)
}

function decodedCa(value: Readonly<Record<string, unknown>>, where: string): ControlPlaneOptions['ca'] {
  const result = decodeCaConfig(value)
  if (!result.ok) throw new CliError(`${where}: ${result.problems.map(({ path, reason }) => `${path}: ${reason}`).join('; ')}`)
  return result.config
}

function intervalMs(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const ms = (parseDuration(text) ?? Number.NaN) / 1e6
  if (!(ms >= MIN_REPORT_MS && ms <= MAX_REPORT_MS))
    throw new CliError(`--load-report-interval "${text}": must be a duration from 100ms to 1m, such as 10s`)
  return Math.round(ms)
}

function prometheusUrl(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !['http:', 'https:'].includes(url.protocol) || url.username !== '' || url.password !== '')
    throw new CliError(`--prometheus ${JSON.stringify(text)}: must be an http or https URL, without a user or a password`)
  return text
}

function port(text: string | undefined, flag: string): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (!/^\d{1,5}$/.test(text) || value < 1 || value > 65_535) throw new CliError(`${flag} "${text}": must be a port, 1 to 65535`)
  return value
}

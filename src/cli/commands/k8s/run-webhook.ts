// `outrigger k8s webhook` as a process: flags to policy, the server until SIGTERM. Called by k8s.ts, which loads this file only where it runs.
import { namespaceRules } from '../../../kubernetes/namespace-rules.js'
import { WebhookServer } from '../../../kubernetes/webhook/webhook-server.js'
import { CliError, type CommandIo } from '../../command-line/command-io.js'
import { listenAddress } from '../../command-line/listen-flag.js'
import { openControlLog } from '../../control-log.js'
import { LOG_LEVELS } from '../../log-levels.js'
import { parseProxyFlags } from '../../proxy-flags.js'
import { levelOf, stopSignal } from '../process-life.js'

export interface WebhookFlags {
  readonly listen?: string
  readonly tlsCert: string
  readonly tlsKey: string
  readonly image: string
  readonly sidecarHttpAddr: string
  readonly sidecarGrpcAddr: string
  readonly sidecarCaFile?: string
  readonly authMethod?: string
  readonly defaultInject?: boolean
  readonly allowNamespace?: readonly string[]
  readonly denyNamespace?: readonly string[]
  readonly transparentProxy?: boolean
  readonly keepProbes?: boolean
  readonly metrics?: boolean
  readonly metricsPort?: string
  readonly cpuRequest?: string
  readonly cpuLimit?: string
  readonly memoryRequest?: string
  readonly memoryLimit?: string
  readonly sidecarLogLevel?: string
  readonly logLevel?: string
}

const DEFAULT_LISTEN = '0.0.0.0:8443'
const DEFAULT_METRICS_PORT = '20200'

export async function runWebhook(flags: WebhookFlags, io: CommandIo): Promise<void> {
  const { host, port } = listenAddress('--listen', flags.listen ?? DEFAULT_LISTEN)
  const { logger } = openControlLog({ level: levelOf(flags.logLevel), json: false })
  const server = await WebhookServer.start({
    host,
    port,
    certFile: flags.tlsCert,
    keyFile: flags.tlsKey,
    policy: {
      byDefault: flags.defaultInject === true,
      ...namespaceRules(flags.allowNamespace, flags.denyNamespace),
      transparentProxy: flags.transparentProxy === true,
      overwriteProbes: flags.keepProbes !== true,
      metrics: flags.metrics === true,
      metricsPort: portOf('--metrics-port', flags.metricsPort ?? DEFAULT_METRICS_PORT),
      resources: {
        limits: quantities(['cpu', flags.cpuLimit], ['memory', flags.memoryLimit ?? '256Mi']),
        requests: quantities(['cpu', flags.cpuRequest ?? '50m'], ['memory', flags.memoryRequest ?? '96Mi']),
      },
      sidecar: {
        image: flags.image,
        httpAddress: flags.sidecarHttpAddr,
        grpcAddress: flags.sidecarGrpcAddr,
        caPem: flags.sidecarCaFile === undefined ? '' : io.readText(flags.sidecarCaFile),
        authMethod: flags.authMethod ?? '',
        logLevel: logLevelOf(flags.sidecarLogLevel),
      },
      checkProxyArgs: args => parseProxyFlags(args).errors,
    },
    log: (severity, message, fields) => logger[severity](fields, message),
  }).catch((error: Error) => {
    throw new CliError(error.message)
  })
  // Before it is told: whoever reads that may signal at once.
  const stopped = stopSignal()
  io.out(`Webhook: https://${host.includes(':') ? `[${host}]` : host}:${server.port}/mutate\n`)
  await stopped
  await server.close()
}

function portOf(flag: string, text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (port < 1 || port > 65_535) throw new CliError(`${flag} "${text}": must be a port`)
  return port
}

function quantities(...pairs: readonly (readonly [string, string | undefined])[]): Record<string, string> {
  return Object.fromEntries(pairs.filter((pair): pair is readonly [string, string] => pair[1] !== undefined))
}

function logLevelOf(level = ''): string {
  if (level !== '' && !LOG_LEVELS.some(known => known === level))
    throw new CliError(`--sidecar-log-level "${level}": must be one of ${LOG_LEVELS.join(', ')}`)
  return level
}

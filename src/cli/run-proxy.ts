// outrigger-proxy with its flags read: bootstrap -> Sidecar -> signals -> exit code. Everything that is the process's (env, files named by
// flags, signals) is here; the sidecar itself knows none of it. Called by proxy-main.ts.
// A host (ProxyHost) is told of beginning and end. Bad input ends here: one line per problem on stderr with its path, exit 1, and `--mode validate` says the same.

import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { type ConfigError, Sidecar, type SidecarBootstrap, type SidecarOptions } from '../sidecar/sidecar.js'
import { envoyVersionString } from '../sidecar/version.js'
import { describe, inBrief, LocatedErrors } from './located-errors.js'
import { createLogger, type ProxyLogger } from './logger.js'
import { bootstrapTexts, readTexts, sidecarOptions } from './proxy-config.js'
import type { ProxyFlags } from './proxy-flags.js'
import { HotRestart } from './restart/hot-restart.js'
import { serviceManager } from './service-manager.js'
import { spawnWorker, WORKER_VARIABLE } from './worker-channel.js'

/** The exit code of `--mode validate` for a bootstrap that is good, but for what is in it without effect. */
const WARNINGS_ONLY = 2

/** POST /quitquitquit ends the process at once; log lines that a slow disk does not take by then are lost. */
const MAX_QUIT_MS = 1000
/** The longest that a timer of Node's can be set for: some 24 days. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** Who runs the proxy as a part of more (`outrigger sidecar`). */
export interface ProxyHost extends Pick<SidecarOptions, 'managementServers'> {
  /** The proxy runs; `end` ends it, and the process. Rejected, it ends at once with that line. */
  readonly onStarted: (sidecar: Pick<Sidecar, 'isConnected'>, end: () => void) => Promise<void>
  /** The first SIGTERM or SIGINT, once it runs: in the place of its end. */
  readonly onTerm: () => void
  /** Awaited before the process ends, for whatever reason. */
  readonly onEnd: () => Promise<void>
}

export async function runProxy(flags: ProxyFlags, host?: ProxyHost): Promise<void> {
  if (flags.errors.length > 0) return fail(flags.errors)
  const logger = createLogger({
    name: 'outrigger-proxy',
    level: flags.logLevel,
    path: flags.logPath,
    format: flags.logFormat,
    escaped: flags.logFormatEscaped,
    componentLevels: flags.componentLevels,
  })
  if (process.env[WORKER_VARIABLE] !== undefined) {
    delete process.env[WORKER_VARIABLE]
    const { runWorker } = await import('./run-worker.js')
    return runWorker(flags, logger)
  }
  for (const warning of flags.warnings) logger.log('warn', warning)
  const texts = bootstrapTexts(flags)
  if (!texts.ok) return failBefore(texts.errors.map(describe), host)
  for (const warning of texts.warnings) logger.log('warn', describe(warning))
  const located = new LocatedErrors(flags, texts.value)
  const loaded = readTexts(flags, texts.value)
  if (!loaded.ok)
    return failBefore(
      loaded.errors.map(error => located.describe(error)),
      host,
    )
  if (flags.mode === 'validate') return validate(loaded.value, loaded.warnings, flags, logger, located)
  for (const line of inBrief(loaded.warnings)) logger.log('warn', `bootstrap: ${line}`)
  await serve(loaded.value, texts.value, flags, logger, located, host)
}

function fail(lines: readonly string[]): void {
  for (const line of lines) process.stderr.write(`outrigger-proxy: ${line}\n`)
  process.exitCode = 1
}

/** There is no proxy; what its host has begun would go on alone. */
async function failBefore(lines: readonly string[], host: ProxyHost | undefined): Promise<void> {
  fail(lines)
  if (host === undefined) return
  await host.onEnd()
  process.exit(1)
}

function primaryOptions(flags: ProxyFlags, logger: ProxyLogger, onQuit: () => void, located: LocatedErrors): SidecarOptions {
  return {
    ...sidecarOptions(flags, logger),
    version: envoyVersionString(),
    commandLine: flags,
    onQuit,
    onFailure: errors => exitWith(errors.map(error => located.describe(error))),
  }
}

/** Worker processes; one core is served best by one process that does all. */
function workersOf({ concurrency }: ProxyFlags): number {
  return concurrency === 0 ? availableParallelism() : concurrency
}

/** What is good but does not do all that it says has an exit code of its own. */
function validate(
  bootstrap: SidecarBootstrap,
  warnings: readonly ConfigError[],
  flags: ProxyFlags,
  logger: ProxyLogger,
  located: LocatedErrors,
): void {
  const errors = Sidecar.check(
    bootstrap,
    primaryOptions(flags, logger, () => {}, located),
  )
  if (errors.length > 0) {
    fail(errors.map(error => located.describe(error)))
    return
  }
  for (const warning of warnings) process.stderr.write(`outrigger-proxy: warning: ${located.describe(warning)}\n`)
  process.stdout.write(`configuration '${flags.configPath || '--config-yaml'}' OK\n`)
  if (warnings.length > 0) process.exitCode = WARNINGS_ONLY
}

async function serve(
  bootstrap: SidecarBootstrap,
  texts: readonly string[],
  flags: ProxyFlags,
  logger: ProxyLogger,
  located: LocatedErrors,
  host: ProxyHost | undefined,
): Promise<void> {
  let sidecar: Sidecar | null = null
  let stopping = false
  const manager = serviceManager(
    name => process.env[name],
    reason => logger.log('warn', reason),
  )
  const leave = (code: number): void => void (host?.onEnd() ?? Promise.resolve()).finally(() => process.exit(code))
  const refuse = (lines: readonly string[]): void => {
    fail(lines)
    leave(1)
  }
  const stop = (): void => {
    if (stopping) process.exit(0)
    stopping = true
    if (sidecar === null) {
      leave(0)
      return
    }
    manager.stopping()
    logger.log('info', 'shutting down')
    void sidecar.stop(flags.shutdownGraceS * 1000).then(() => leave(0))
  }
  const quit = (): void => {
    if (sidecar === null) process.exit(0)
    setTimeout(() => process.exit(0), MAX_QUIT_MS).unref()
    void sidecar.close().then(() => leave(0))
  }
  let asked = host === undefined
  const onSignal = (): void => {
    if (asked || sidecar === null) stop()
    else host?.onTerm()
    asked = true
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
  process.on('SIGUSR1', () => {
    sidecar?.reopenLogs()
    logger.reopen()
  })
  process.on('SIGHUP', () => {})
  const managementServers = host?.managementServers
  const options = {
    ...primaryOptions(flags, logger, quit, located),
    onLive: () => manager.ready(),
    ...(managementServers === undefined ? {} : { managementServers }),
  }
  const hotRestart = await HotRestart.begin(flags, logger)
  if (typeof hotRestart === 'string') return refuse([hotRestart])
  const count = workersOf(flags)
  const workers = count === 1 ? {} : { workers: { count, spawn: spawnWorker, bootstrap: texts } }
  const started = await Sidecar.start(bootstrap, { ...options, ...workers, ...restartOptions(hotRestart, flags) })
  if (!started.ok) return refuse(started.errors.map(error => located.describe(error)))
  sidecar = started.value
  if (flags.mode === 'init_only') process.exit(0)
  const serving = sidecar
  hotRestart?.offer(serving, shutdownMs => void setTimeout(stop, Math.min(shutdownMs, MAX_TIMER_MS)))
  if (flags.baseIdPath !== '') writeFileSync(flags.baseIdPath, String(hotRestart?.baseId ?? 0))
  if (flags.adminAddressPath !== '') void serving.adminListens.then(() => writeFileSync(flags.adminAddressPath, serving.adminAddress ?? ''))
  await host?.onStarted(serving, stop).catch((error: Error) => refuse([error.message]))
}

function restartOptions(hotRestart: HotRestart | null, flags: ProxyFlags): Pick<SidecarOptions, 'restart'> {
  if (hotRestart === null) return {}
  const { epoch, baseId, old } = hotRestart
  const parentShutdownMs = flags.parentShutdownTimeS * 1000
  return { restart: { epoch, baseId, old, parentShutdownMs, withStats: !flags.restart.skipParentStats } }
}

function exitWith(lines: readonly string[]): never {
  fail(lines)
  process.exit(1)
}

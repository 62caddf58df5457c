// outrigger-proxy with its flags read: bootstrap -> Sidecar -> signals -> exit code. Everything that is the process's (env, files named by
// flags, signals) is here; the sidecar itself knows none of it. Called by proxy-main.ts.
// Bad input ends here: one line per problem on stderr with its path, exit 1, and `--mode validate` says the same.

import { readFileSync, writeFileSync } from 'node:fs'
import { type Checked, type ConfigError, readBootstrap, Sidecar, type SidecarBootstrap, type SidecarOptions } from '../sidecar/sidecar.js'
import { createLogger, type ProxyLogger } from './logger.js'
import type { ProxyFlags } from './proxy-flags.js'
import { ENVOY_VERSION, envoyVersionString, USER_AGENT_NAME } from './version.js'

/** POST /quitquitquit ends the process at once; log lines that a slow disk does not take by then are lost. */
const MAX_QUIT_MS = 1000

export async function runProxy(flags: ProxyFlags): Promise<void> {
  if (flags.errors.length > 0) return fail(flags.errors)
  const logger = createLogger({
    name: 'outrigger-proxy',
    level: flags.logLevel,
    path: flags.logPath,
    format: flags.logFormat,
    escaped: flags.logFormatEscaped,
    componentLevels: flags.componentLevels,
  })
  for (const warning of flags.warnings) logger.log('warn', warning)
  const loaded = loadBootstrap(flags)
  if (!loaded.ok) return fail(loaded.errors.map(describe))
  for (const warning of loaded.warnings) logger.log('warn', `bootstrap: ${describe(warning)}`)
  const bootstrap = loaded.value
  if (flags.mode === 'validate') return validate(bootstrap, flags, logger)
  if (flags.concurrency > 1) logger.log('warn', `--concurrency ${flags.concurrency}: one thread runs`)
  await serve(bootstrap, flags, logger)
}

function describe(error: ConfigError): string {
  return error.path === '' ? error.reason : `${error.path}: ${error.reason}`
}

function fail(lines: readonly string[]): void {
  for (const line of lines) process.stderr.write(`outrigger-proxy: ${line}\n`)
  process.exitCode = 1
}

function loadBootstrap(flags: ProxyFlags): Checked<SidecarBootstrap> {
  const { configPath, configYaml, serviceNode, serviceCluster, serviceZone, allowUnknownStaticFields, statsTags } = flags
  if (configPath === '' && configYaml === '')
    return { ok: false, errors: [{ path: '', reason: 'at least one of --config-path and --config-yaml is needed' }] }
  const texts = configYaml === '' ? [] : [configYaml]
  if (configPath !== '') {
    try {
      texts.unshift(readFileSync(configPath, 'utf8'))
    } catch (error) {
      return { ok: false, errors: [{ path: configPath, reason: `cannot be read: ${(error as Error).message}` }] }
    }
  }
  return readBootstrap(texts, { serviceNode, serviceCluster, serviceZone, allowUnknownFields: allowUnknownStaticFields, statsTags })
}

function sidecarOptions(flags: ProxyFlags, logger: ProxyLogger, onQuit: () => void): SidecarOptions {
  return {
    log: logger.log,
    drainTimeMs: flags.drainTimeS * 1000,
    drainStrategy: flags.drainStrategy,
    random: Math.random,
    env: name => process.env[name],
    accessLogFlush: flags.accessLogFlush,
    userAgent: { name: USER_AGENT_NAME, version: ENVOY_VERSION },
    version: envoyVersionString(),
    commandLine: flags,
    logging: logger,
    unknownDynamicFields: flags.unknownDynamicFields,
    onQuit,
    onFailure: errors => exitWith(errors.map(describe)),
  }
}

function validate(bootstrap: SidecarBootstrap, flags: ProxyFlags, logger: ProxyLogger): void {
  const errors = Sidecar.check(
    bootstrap,
    sidecarOptions(flags, logger, () => {}),
  )
  if (errors.length > 0) {
    fail(errors.map(describe))
    return
  }
  process.stdout.write(`configuration '${flags.configPath || '--config-yaml'}' OK\n`)
}

async function serve(bootstrap: SidecarBootstrap, flags: ProxyFlags, logger: ProxyLogger): Promise<void> {
  let sidecar: Sidecar | null = null
  let stopping = false
  const stop = (): void => {
    if (stopping || sidecar === null) process.exit(0)
    stopping = true
    logger.log('info', 'shutting down')
    void sidecar.stop(flags.shutdownGraceS * 1000).then(() => process.exit(0))
  }
  const quit = (): void => {
    if (sidecar === null) process.exit(0)
    setTimeout(() => process.exit(0), MAX_QUIT_MS).unref()
    void sidecar.close().then(() => process.exit(0))
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  process.on('SIGUSR1', () => {
    sidecar?.reopenLogs()
    logger.reopen()
  })
  process.on('SIGHUP', () => {})
  const started = await Sidecar.start(bootstrap, sidecarOptions(flags, logger, quit))
  if (!started.ok) return exitWith(started.errors.map(describe))
  sidecar = started.value
  if (flags.mode === 'init_only') process.exit(0)
  const { adminAddress } = sidecar
  if (flags.baseIdPath !== '') writeFileSync(flags.baseIdPath, '0')
  if (flags.adminAddressPath !== '' && adminAddress !== null) writeFileSync(flags.adminAddressPath, adminAddress)
}

function exitWith(lines: readonly string[]): never {
  fail(lines)
  process.exit(1)
}

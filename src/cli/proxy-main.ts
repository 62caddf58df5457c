// outrigger-proxy: flags -> bootstrap -> Server -> xDS and admin -> signals -> exit code. The only place that wires these together.
// Bad input ends here: one line per problem on stderr with its path, exit 1, and `--mode validate` says the same.

import { readFileSync, writeFileSync } from 'node:fs'
import type { Message } from '@bufbuild/protobuf'
import { compileStatsConfig, StatsStore } from '../metrics/stats-store.js'
import { formatAddress } from '../model/address.js'
import type { Bootstrap } from '../model/bootstrap.js'
import type { ConfigError } from '../model/config-error.js'
import { AdminServer } from '../proxy/admin/admin-server.js'
import { Server } from '../proxy/server.js'
import { createConfigDump } from '../sidecar/config-dump.js'
import { TrackedResources } from '../sidecar/tracked-resources.js'
import { XdsBridge } from '../sidecar/xds-bridge.js'
import { parseBootstrap } from '../xds/bootstrap.js'
import { createLogger, type ProxyLogger } from './logger.js'
import { PROXY_HELP, type ProxyFlags, parseProxyFlags } from './proxy-flags.js'
import { ENVOY_VERSION, envoyVersionString, USER_AGENT_NAME } from './version.js'

export async function proxyMain(argv: readonly string[]): Promise<void> {
  const flags = parseProxyFlags(argv)
  if (flags.version) {
    process.stdout.write(`\noutrigger-proxy  version: ${envoyVersionString()}\n\n`)
    return
  }
  if (flags.help) {
    process.stdout.write(PROXY_HELP)
    return
  }
  if (flags.errors.length > 0) return fail(flags.errors)
  const logger = createLogger('outrigger-proxy', flags.logLevel, flags.logPath)
  for (const warning of flags.warnings) logger.log('warn', warning)
  const loaded = loadBootstrap(flags)
  if (!loaded.ok) return fail(loaded.errors.map(describe))
  for (const warning of loaded.warnings) logger.log('warn', `bootstrap: ${describe(warning)}`)
  const bootstrap = loaded.value
  if (flags.mode === 'validate') return validate(bootstrap, flags, logger)
  if (flags.concurrency > 1) logger.log('warn', `--concurrency ${flags.concurrency}: one thread runs`)
  await serve(bootstrap, loaded.raw, flags, logger)
}

function describe(error: ConfigError): string {
  return error.path === '' ? error.reason : `${error.path}: ${error.reason}`
}

function fail(lines: readonly string[]): void {
  for (const line of lines) process.stderr.write(`outrigger-proxy: ${line}\n`)
  process.exitCode = 1
}

type Loaded =
  | { readonly ok: true; readonly value: Bootstrap; readonly warnings: readonly ConfigError[]; readonly raw: Message }
  | { readonly ok: false; readonly errors: readonly ConfigError[] }

function loadBootstrap(flags: ProxyFlags): Loaded {
  if (flags.configPath === '' && flags.configYaml === '')
    return { ok: false, errors: [{ path: '', reason: 'at least one of --config-path and --config-yaml is needed' }] }
  let fileText: string | null = null
  if (flags.configPath !== '') {
    try {
      fileText = readFileSync(flags.configPath, 'utf8')
    } catch (error) {
      return { ok: false, errors: [{ path: flags.configPath, reason: `cannot be read: ${(error as Error).message}` }] }
    }
  }
  const texts = [...(fileText === null ? [] : [fileText]), ...(flags.configYaml === '' ? [] : [flags.configYaml])]
  const parsed = parseBootstrap(texts)
  if (!parsed.ok) return parsed
  const { node } = parsed.value
  const value: Bootstrap = {
    ...parsed.value,
    node: { ...node, id: flags.serviceNode || node.id, cluster: flags.serviceCluster || node.cluster },
  }
  if (value.ads !== null && (value.node.id === '' || value.node.cluster === ''))
    return {
      ok: false,
      errors: [
        {
          path: 'node',
          reason: 'node id and cluster are needed to ask a management server (node.id, node.cluster, or --service-node, --service-cluster)',
        },
      ],
    }
  return { ok: true, value, warnings: parsed.warnings, raw: parsed.message }
}

function newServer(
  bootstrap: Bootstrap,
  flags: ProxyFlags,
  logger: ProxyLogger,
): { server: Server; store: StatsStore } | { errors: readonly ConfigError[] } {
  const compiled = compileStatsConfig(bootstrap.stats, tag => {
    logger.log('warn', `stats tag ${tag.name}: the regex '${tag.regex}' takes too long and is not used any more`)
  })
  if (!compiled.ok) return { errors: compiled.errors.map(error => ({ path: `stats_config.${error.path}`, reason: error.reason })) }
  const store = new StatsStore(compiled.value)
  const server = new Server({
    bootstrap,
    store,
    log: logger.log,
    drainTimeMs: flags.drainTimeS * 1000,
    drainStrategy: flags.drainStrategy,
    random: Math.random,
    env: name => process.env[name],
    accessLogFlush: flags.accessLogFlush,
  })
  return { server, store }
}

function validate(bootstrap: Bootstrap, flags: ProxyFlags, logger: ProxyLogger): void {
  const made = newServer(bootstrap, flags, logger)
  const errors = 'errors' in made ? made.errors : made.server.checkBootstrap()
  if ('server' in made) void made.server.close()
  if (errors.length > 0) {
    fail(errors.map(describe))
    return
  }
  process.stdout.write(`configuration '${flags.configPath || '--config-yaml'}' OK\n`)
}

async function serve(bootstrap: Bootstrap, raw: Message, flags: ProxyFlags, logger: ProxyLogger): Promise<void> {
  const made = newServer(bootstrap, flags, logger)
  if ('errors' in made) return fail(made.errors.map(describe))
  const { server, store } = made
  const tracked = new TrackedResources()
  const bridge = new XdsBridge({
    bootstrap,
    server,
    store,
    tracked,
    userAgent: { name: USER_AGENT_NAME, version: ENVOY_VERSION },
    log: logger.log,
    random: Math.random,
  })
  let stopping = false
  const stop = (): void => {
    if (stopping) process.exit(0)
    stopping = true
    logger.log('info', 'shutting down')
    bridge.close()
    void server.shutdown().then(async () => {
      await admin?.close()
      process.exit(0)
    })
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  process.on('SIGUSR1', () => server.sinks.reopen())
  process.on('SIGHUP', () => {})

  const admin =
    bootstrap.admin === null
      ? null
      : new AdminServer({
          server,
          store,
          configDump: createConfigDump({ bootstrap: raw, tracked, server }),
          version: envoyVersionString(),
          commandLine: flags,
          logging: logger,
          adsStatus: () => bridge.adsStatus,
          stop,
        })
  if (admin !== null) {
    try {
      await admin.listen(bootstrap.admin!.address)
    } catch (error) {
      return exitWith([`admin.address: cannot bind '${formatAddress(bootstrap.admin!.address)}': ${(error as Error).message}`])
    }
    logger.log('info', `admin address: ${formatAddress(admin.address)}`)
    if (flags.adminAddressPath !== '') writeFileSync(flags.adminAddressPath, formatAddress(admin.address))
  }
  server.onStartFailure = errors => exitWith(errors.map(describe))
  const errors = await server.start()
  if (errors.length > 0) return exitWith(errors.map(describe))
  bridge.start()
}

function exitWith(lines: readonly string[]): never {
  fail(lines)
  process.exit(1)
}

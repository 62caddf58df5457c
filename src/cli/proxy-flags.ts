// Envoy's command line (the flags that its launchers use). Unknown flags warn and are skipped with their value, never fail: a
// launcher made for a newer Envoy must still start us.

export interface ProxyFlags {
  readonly configPath: string
  readonly configYaml: string
  readonly mode: 'serve' | 'validate' | 'init_only'
  readonly logLevel: string
  readonly logFormat: string
  readonly logPath: string
  readonly componentLogLevel: string
  readonly concurrency: number
  readonly drainTimeS: number
  /** How long an access log line may wait; null = our default. */
  readonly fileFlushIntervalMs: number | null
  readonly drainStrategy: 'gradual' | 'immediate'
  readonly parentShutdownTimeS: number
  readonly serviceNode: string
  readonly serviceCluster: string
  readonly serviceZone: string
  readonly adminAddressPath: string
  readonly version: boolean
  readonly help: boolean
  readonly warnings: readonly string[]
  readonly errors: readonly string[]
}

const ALIASES: Readonly<Record<string, string>> = { '-c': '--config-path', '-l': '--log-level', '-h': '--help' }

/** Flags with a value that we take without effect. */
const ACCEPTED_WITH_VALUE = new Set([
  '--base-id',
  '--base-id-path',
  '--restart-epoch',
  '--local-address-ip-version',
  '--file-flush-min-size-kb',
  '--parent-shutdown-time-s',
  '--max-stats',
  '--max-obj-name-len',
  '--stats-tag',
  '--socket-path',
  '--socket-mode',
  '--disable-extensions',
  '--hot-restart-version-suffix',
  '--log-format-prefix-with-location',
  '--bootstrap-version',
  '--config-json',
])

const SWITCHES = new Set([
  '--disable-hot-restart',
  '--enable-mutex-tracing',
  '--cpuset-threads',
  '--use-dynamic-base-id',
  '--skip-hot-restart-on-no-parent',
  '--skip-hot-restart-parent-stats',
  '--allow-unknown-static-fields',
  '--reject-unknown-dynamic-fields',
  '--ignore-unknown-dynamic-fields',
  '--allow-unknown-fields',
  '--log-format-escaped',
  '--enable-fine-grain-logging',
  '--enable-core-dump',
  '--hot-restart-version',
])

const LOG_LEVELS = ['trace', 'debug', 'info', 'warning', 'warn', 'error', 'critical', 'off']

export function parseProxyFlags(argv: readonly string[]): ProxyFlags {
  const values = new Map<string, string>()
  const warnings: string[] = []
  const errors: string[] = []
  let version = false
  let help = false
  for (let i = 0; i < argv.length; i++) {
    const raw = argv[i]!
    const equals = raw.startsWith('--') ? raw.indexOf('=') : -1
    const name = ALIASES[equals === -1 ? raw : raw.slice(0, equals)] ?? (equals === -1 ? raw : raw.slice(0, equals))
    if (name === '--version') {
      version = true
      continue
    }
    if (name === '--help') {
      help = true
      continue
    }
    if (SWITCHES.has(name)) continue
    if (!name.startsWith('-')) {
      warnings.push(`unexpected argument '${raw}' is ignored`)
      continue
    }
    const known = KNOWN.has(name) || ACCEPTED_WITH_VALUE.has(name)
    let value: string | undefined
    if (equals !== -1) value = raw.slice(equals + 1)
    else if (i + 1 < argv.length && (known || !argv[i + 1]!.startsWith('-'))) value = argv[++i]
    if (!known) {
      warnings.push(`unknown flag ${name} is ignored`)
      continue
    }
    if (value === undefined) {
      errors.push(`${name} needs a value`)
      continue
    }
    values.set(name, value)
  }
  const text = (name: string): string => values.get(name) ?? ''
  const number = (name: string, fallback: number): number => {
    const value = values.get(name)
    if (value === undefined) return fallback
    if (!/^\d{1,9}$/.test(value)) {
      errors.push(`${name}: '${value}' is not a whole number`)
      return fallback
    }
    return Number(value)
  }
  const mode = text('--mode') || 'serve'
  if (!['serve', 'validate', 'init_only'].includes(mode)) errors.push(`--mode: unknown mode '${mode}' (serve, validate, init_only)`)
  const logLevel = text('--log-level') || 'info'
  if (!LOG_LEVELS.includes(logLevel)) errors.push(`--log-level: invalid log level '${logLevel}' (${LOG_LEVELS.join(', ')})`)
  const drainStrategy = text('--drain-strategy') || 'gradual'
  if (drainStrategy !== 'gradual' && drainStrategy !== 'immediate')
    errors.push(`--drain-strategy: '${drainStrategy}' is neither gradual nor immediate`)
  return {
    configPath: text('--config-path'),
    configYaml: text('--config-yaml'),
    mode: mode as ProxyFlags['mode'],
    logLevel,
    logFormat: text('--log-format'),
    logPath: text('--log-path'),
    componentLogLevel: text('--component-log-level'),
    concurrency: number('--concurrency', 1),
    drainTimeS: number('--drain-time-s', 600),
    fileFlushIntervalMs: values.has('--file-flush-interval-msec') ? number('--file-flush-interval-msec', 0) : null,
    drainStrategy: drainStrategy === 'immediate' ? 'immediate' : 'gradual',
    parentShutdownTimeS: number('--parent-shutdown-time-s', 900),
    serviceNode: text('--service-node'),
    serviceCluster: text('--service-cluster'),
    serviceZone: text('--service-zone'),
    adminAddressPath: text('--admin-address-path'),
    version,
    help,
    warnings,
    errors,
  }
}

const KNOWN = new Set([
  '--config-path',
  '--config-yaml',
  '--mode',
  '--log-level',
  '--log-format',
  '--log-path',
  '--component-log-level',
  '--concurrency',
  '--drain-time-s',
  '--file-flush-interval-msec',
  '--drain-strategy',
  '--parent-shutdown-time-s',
  '--service-node',
  '--service-cluster',
  '--service-zone',
  '--admin-address-path',
])

export const PROXY_HELP = `outrigger-proxy: a service-mesh sidecar that takes Envoy's flags, bootstrap, xDS and admin API.

  -c, --config-path FILE      bootstrap, YAML or JSON
      --config-yaml TEXT      merged over the file
      --mode serve|validate   validate: check the bootstrap, print what is wrong, exit
  -l, --log-level LEVEL       trace, debug, info (default), warning, error, critical, off
      --drain-time-s N        how long busy connections may finish (default 600)
      --file-flush-interval-msec N
                              how long an access log line may wait (default 1000)
      --drain-strategy S      gradual (default) or immediate
      --service-node ID       node id, --service-cluster NAME node cluster (over the bootstrap's)
      --concurrency N         accepted; one thread runs
      --admin-address-path F  the bound admin address is written there
      --version               one line with version: <rev>/<version>/<status>/<build>/<ssl>
Other flags of Envoy are accepted; unknown ones warn.
`

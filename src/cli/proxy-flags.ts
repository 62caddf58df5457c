// Envoy's command line. Every flag of Envoy 1.40 is known: it does what Envoy's does, or, where that has no meaning here, is named in one
// warning. As in Envoy a malformed value, a flag given twice and a flag that is none are errors, all of them said before exit 1.

import { closestName } from './closest-name.js'
import { LOG_COMPONENTS, LOG_LEVELS } from './log-levels.js'

export interface RestartFlags {
  readonly enabled: boolean
  readonly epoch: number
  readonly baseId: number
  readonly dynamicBaseId: boolean
  /** '' = where Outrigger keeps it. */
  readonly socketPath: string
  readonly socketMode: number
  readonly skipOnNoParent: boolean
  readonly skipParentStats: boolean
}

export interface ProxyFlags {
  readonly configPath: string
  readonly configYaml: string
  readonly mode: 'serve' | 'validate' | 'init_only'
  readonly logLevel: string
  readonly logFormat: string
  readonly logFormatEscaped: boolean
  readonly logPath: string
  /** As given, and by component. */
  readonly componentLogLevel: string
  readonly componentLevels: ReadonlyMap<string, string>
  /** Processes that serve; 0 = one a core. */
  readonly concurrency: number
  readonly drainTimeS: number
  readonly drainStrategy: 'gradual' | 'immediate'
  readonly parentShutdownTimeS: number
  /** Ours: how long what runs may finish after SIGTERM. */
  readonly shutdownGraceS: number
  readonly accessLogFlush: { readonly intervalMs: number; readonly minBytes: number }
  readonly serviceNode: string
  readonly serviceCluster: string
  readonly serviceZone: string
  /** Ours: '' = what SPIFFE_ENDPOINT_SOCKET says. */
  readonly spiffeEndpointSocket: string
  readonly adminAddressPath: string
  readonly baseIdPath: string
  readonly localAddressIpVersion: string
  readonly allowUnknownStaticFields: boolean
  readonly unknownDynamicFields: 'count' | 'ignore' | 'refuse'
  readonly statsTags: readonly { readonly name: string; readonly value: string }[]
  readonly version: boolean
  readonly hotRestartVersion: boolean
  readonly restart: RestartFlags
  /** --disable-hot-restart. */
  readonly restartOff: boolean
  readonly help: boolean
  readonly warnings: readonly string[]
  readonly errors: readonly string[]
}

const ALIASES: Readonly<Record<string, string>> = {
  '-c': '--config-path',
  '-l': '--log-level',
  '-h': '--help',
  '--allow-unknown-fields': '--allow-unknown-static-fields',
}

type Kind = 'switch' | 'text' | 'number' | 'count' | 'list'

const KNOWN: Readonly<Record<string, Kind>> = {
  '--config-path': 'text',
  '--config-yaml': 'text',
  '--mode': 'text',
  '--log-level': 'text',
  '--log-format': 'text',
  '--log-format-escaped': 'switch',
  '--log-path': 'text',
  '--component-log-level': 'text',
  '--concurrency': 'count',
  '--drain-time-s': 'number',
  '--drain-strategy': 'text',
  '--file-flush-interval-msec': 'number',
  '--file-flush-min-size-kb': 'number',
  '--parent-shutdown-time-s': 'number',
  '--shutdown-grace-s': 'number',
  '--service-node': 'text',
  '--service-cluster': 'text',
  '--service-zone': 'text',
  '--spiffe-endpoint-socket': 'text',
  '--admin-address-path': 'text',
  '--base-id-path': 'text',
  '--local-address-ip-version': 'text',
  '--allow-unknown-static-fields': 'switch',
  '--reject-unknown-dynamic-fields': 'switch',
  '--ignore-unknown-dynamic-fields': 'switch',
  '--stats-tag': 'list',
  '--hot-restart-version': 'switch',
  '--disable-hot-restart': 'switch',
  '--restart-epoch': 'number',
  '--base-id': 'number',
  '--use-dynamic-base-id': 'switch',
  '--skip-hot-restart-on-no-parent': 'switch',
  '--skip-hot-restart-parent-stats': 'switch',
  '--socket-path': 'text',
  '--socket-mode': 'text',
  '--version': 'switch',
  '--help': 'switch',
}

/** Of Envoy, and nothing that this program has: they are named in a warning, but for those that ask for what is so anyway. */
const WITHOUT_MEANING: Readonly<Record<string, Kind>> = {
  '--disable-extensions': 'text',
  '--enable-mutex-tracing': 'switch',
  '--enable-fine-grain-logging': 'switch',
  '--enable-core-dump': 'switch',
  '--cpuset-threads': 'switch',
  '--log-stacktrace-single-entry': 'switch',
  '--skip-deprecated-logs': 'switch',
}
/** A stack is logged as one entry, and no deprecated field is warned of. */
const SO_ANYWAY: ReadonlySet<string> = new Set(['--log-stacktrace-single-entry', '--skip-deprecated-logs'])
/** A process started without any of them is found by no other. */
const RESTART_FLAGS = ['--restart-epoch', '--base-id', '--use-dynamic-base-id', '--base-id-path', '--socket-path']

const MAX_UINT32 = 2 ** 32 - 1
/** Each is a process with a heap of its own. */
const MAX_WORKERS = 256

export function parseProxyFlags(argv: readonly string[]): ProxyFlags {
  const errors: string[] = []
  const given = readArguments(argv, errors)
  const text = (name: string): string => given.get(name)?.[0] ?? ''
  const isSet = (name: string): boolean => given.has(name)
  const number = (name: string, fallback: number): number => (isSet(name) ? Number(text(name)) : fallback)
  const oneOf = <T extends string>(name: string, choices: readonly T[], fallback: T): T => {
    const value = text(name)
    if (value === '') return fallback
    const chosen = choices.find(choice => choice === value)
    if (chosen === undefined) errors.push(`${name}: '${value}' is none of ${choices.join(', ')}`)
    return chosen ?? fallback
  }
  const idle = Object.keys(WITHOUT_MEANING).filter(name => isSet(name) && !SO_ANYWAY.has(name))
  const epoch = number('--restart-epoch', 0)
  const restartOff = isSet('--disable-hot-restart')
  const dynamicBaseId = isSet('--use-dynamic-base-id')
  if (epoch > 0 && dynamicBaseId) errors.push(`cannot use --restart-epoch=${epoch} with --use-dynamic-base-id`)
  const logLevel = oneOf('--log-level', [...LOG_LEVELS, 'warn'], 'info')
  return {
    configPath: text('--config-path'),
    configYaml: text('--config-yaml'),
    mode: oneOf('--mode', ['serve', 'validate', 'init_only'], 'serve'),
    logLevel: logLevel === 'warn' ? 'warning' : logLevel,
    logFormat: text('--log-format'),
    logFormatEscaped: isSet('--log-format-escaped'),
    logPath: text('--log-path'),
    componentLogLevel: text('--component-log-level'),
    componentLevels: componentLevels(text('--component-log-level'), errors),
    concurrency: workers(text('--concurrency'), errors),
    drainTimeS: number('--drain-time-s', 600),
    drainStrategy: oneOf('--drain-strategy', ['gradual', 'immediate'], 'gradual'),
    parentShutdownTimeS: number('--parent-shutdown-time-s', 900),
    shutdownGraceS: number('--shutdown-grace-s', 5),
    accessLogFlush: { intervalMs: number('--file-flush-interval-msec', 1000), minBytes: number('--file-flush-min-size-kb', 64) * 1024 },
    serviceNode: text('--service-node'),
    serviceCluster: text('--service-cluster'),
    serviceZone: text('--service-zone'),
    spiffeEndpointSocket: text('--spiffe-endpoint-socket'),
    adminAddressPath: text('--admin-address-path'),
    baseIdPath: text('--base-id-path'),
    localAddressIpVersion: oneOf('--local-address-ip-version', ['v4', 'v6'], 'v4'),
    allowUnknownStaticFields: isSet('--allow-unknown-static-fields'),
    unknownDynamicFields: isSet('--reject-unknown-dynamic-fields')
      ? 'refuse'
      : isSet('--ignore-unknown-dynamic-fields')
        ? 'ignore'
        : 'count',
    statsTags: statsTags(given.get('--stats-tag') ?? [], errors),
    version: isSet('--version'),
    hotRestartVersion: isSet('--hot-restart-version'),
    restartOff,
    restart: {
      enabled: !restartOff && RESTART_FLAGS.some(isSet),
      epoch,
      baseId: number('--base-id', 0),
      dynamicBaseId,
      socketPath: text('--socket-path'),
      socketMode: socketMode(text('--socket-mode'), errors),
      skipOnNoParent: isSet('--skip-hot-restart-on-no-parent'),
      skipParentStats: isSet('--skip-hot-restart-parent-stats'),
    },
    help: isSet('--help'),
    warnings: idle.length === 0 ? [] : [`flags without a meaning here: ${idle.join(', ')}`],
    errors,
  }
}

/**
 * Flag -> its values, in order; a switch has none. A value may stand in the flag's own argument, after `=` or after the first space: Envoy's
 * reader of flags takes the second form, and consul-dataplane writes it.
 */
function readArguments(argv: readonly string[], errors: string[]): Map<string, string[]> {
  const given = new Map<string, string[]>()
  for (let i = 0; i < argv.length; i++) {
    const raw = argv[i]!
    if (raw === '--') break
    const delimiter = raw.startsWith('-') ? raw.search(raw.startsWith('--') ? /[= ]/ : ' ') : -1
    const written = delimiter === -1 ? raw : raw.slice(0, delimiter)
    const name = ALIASES[written] ?? written
    const kind = KNOWN[name] ?? WITHOUT_MEANING[name]
    if (kind === undefined || (kind === 'switch' && raw[delimiter] === ' ')) {
      errors.push(raw.startsWith('-') ? `${written}: there is no such flag${suggestion(name)}` : `unexpected argument '${raw}'`)
      // Its value, most likely: one error is enough.
      if (raw.startsWith('-') && delimiter === -1 && argv[i + 1]?.startsWith('-') === false) i++
      continue
    }
    if (kind !== 'list' && given.has(name)) errors.push(`${name} is given twice`)
    const values = given.get(name) ?? []
    given.set(name, values)
    if (kind === 'switch') continue
    const value = delimiter !== -1 ? raw.slice(delimiter + 1) : argv[++i]
    if (value === undefined) errors.push(`${name} needs a value`)
    else if (kind === 'count' && value === 'auto') values.push('0')
    else if ((kind === 'number' || kind === 'count') && !(/^\d{1,10}$/.test(value) && Number(value) <= MAX_UINT32))
      errors.push(`${name}: '${value}' is not a whole number below 2^32`)
    else values.push(value)
  }
  return given
}

const DEFAULT_SOCKET_MODE = 0o600

function socketMode(value: string, errors: string[]): number {
  if (value === '') return DEFAULT_SOCKET_MODE
  if (!/^[0-7]{1,4}$/.test(value)) errors.push(`--socket-mode: '${value}' is no mode in octal digits`)
  return Number.parseInt(value, 8)
}

function suggestion(written: string): string {
  const name = closestName(written, [...Object.keys(KNOWN), ...Object.keys(WITHOUT_MEANING)])
  // A switch that was given a value is spelled right.
  return name === undefined || name === written ? '' : ` (did you mean ${name}?)`
}

function workers(value: string, errors: string[]): number {
  if (Number(value) > MAX_WORKERS) errors.push(`--concurrency: at most ${MAX_WORKERS} processes serve`)
  return value === '' ? 1 : Number(value)
}

function componentLevels(text: string, errors: string[]): Map<string, string> {
  const levels = new Map<string, string>()
  for (const entry of text === '' ? [] : text.split(',')) {
    const [component, level, more] = entry.split(':')
    if (level === undefined || more !== undefined) errors.push(`--component-log-level: '${entry}' is not component:level`)
    else if (!LOG_COMPONENTS.has(component!)) errors.push(`--component-log-level: there is no component '${component}'`)
    else if (!LOG_LEVELS.some(known => known === level))
      errors.push(`--component-log-level: '${level}' is none of ${LOG_LEVELS.join(', ')}`)
    else levels.set(component!, level)
  }
  return levels
}

function statsTags(entries: readonly string[], errors: string[]): { name: string; value: string }[] {
  return entries.flatMap(entry => {
    const at = entry.indexOf(':')
    const name = entry.slice(0, at)
    const value = entry.slice(at + 1)
    if (at === -1) errors.push(`--stats-tag: '${entry}' is not tag:value`)
    else if (!/^[A-Za-z0-9]+$/.test(name)) errors.push(`--stats-tag: '${name}' is no name of a tag (letters and digits)`)
    else if (value.includes('.')) errors.push(`--stats-tag: the value '${value}' has a dot`)
    else return [{ name, value }]
    return []
  })
}

export const PROXY_HELP = `outrigger-proxy: a service-mesh sidecar that takes Envoy's flags, bootstrap, xDS and admin API.

  -c, --config-path FILE      bootstrap, YAML or JSON
      --config-yaml TEXT      merged over the file
      --mode serve|validate   validate: check the bootstrap, print what is wrong, exit
  -l, --log-level LEVEL       trace, debug, info (default), warning, error, critical, off
      --component-log-level C:L,...  levels of single components (POST /logging lists them)
      --log-format PATTERN    lines by spdlog's pattern (else JSON; readable on a terminal); --log-path FILE in place of stderr
      --drain-time-s N        how long connections of a removed listener may last (default 600)
      --drain-strategy S      gradual (default) or immediate
      --shutdown-grace-s N    ours: how long running requests may finish after SIGTERM (default 5); a second SIGTERM exits at once
      --service-node ID       node id, --service-cluster NAME node cluster, --service-zone ZONE (over the bootstrap's)
      --spiffe-endpoint-socket URI  ours: where the SPIFFE Workload API is (default: $SPIFFE_ENDPOINT_SOCKET)
      --stats-tag TAG:VALUE   a tag of every metric; may be given several times
      --allow-unknown-static-fields, --reject-unknown-dynamic-fields, --ignore-unknown-dynamic-fields
      --file-flush-interval-msec N  access log lines are written at most so often (default 1000)
      --file-flush-min-size-kb N    or when so much is waiting (default 64)
      --concurrency N         N processes serve (default 1; 0 or auto: one a core), with one admin and one xDS stream
      --admin-address-path F  the bound admin address is written there; --base-id-path F: the base id
      --restart-epoch N       take the listening sockets of the process of epoch N - 1 with the same --base-id; 0 for the first
      --base-id N, --use-dynamic-base-id, --socket-path P, --socket-mode M  which processes belong together
      --parent-shutdown-time-s N  the process before this one ends after so long (default 900); --disable-hot-restart
      --skip-hot-restart-on-no-parent, --skip-hot-restart-parent-stats
      --version               one line with version: <rev>/<version>/<status>/<build>/<ssl>

Examples:
  outrigger-proxy -c bootstrap.yaml --mode validate              what is wrong with a bootstrap, by path
  outrigger-proxy -c bootstrap.yaml -l debug                     serve it, and say much
  outrigger-proxy -c bootstrap.yaml --config-yaml 'node: { id: web-1, cluster: web }'
  outrigger-proxy -c bootstrap.yaml --service-node web-1 --service-cluster web

Envoy's other flags are accepted; those without a meaning here are named in a warning.
`

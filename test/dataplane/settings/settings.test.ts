// consul-dataplane's flags, variables and configuration file: each is taken, or refused by name; what is said on one side goes over the other; what
// does not fit together is one line.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { DATAPLANE_FLAGS, type DataplaneFlag } from '../../../src/dataplane/settings/flag-table.js'
import { type DataplaneSettings, readSettings } from '../../../src/dataplane/settings/settings.js'
import { dataplaneBin } from '../../support/dataplane.js'

const TABLE = Object.entries<DataplaneFlag>(DATAPLANE_FLAGS)
/** Those that are no settings: `outrigger sidecar` has them itself. */
const COMMAND_FLAGS = ['check-proxy-health', 'config-file', 'version']
/** Of consul-dataplane 1.9, in the order of its help. */
const THEIRS =
  `addresses ca-certs check-proxy-health config-file consul-dns-bind-addr consul-dns-bind-port credential-type dump-envoy-config-on-exit
  envoy-admin-bind-address envoy-admin-bind-port envoy-concurrency envoy-drain-strategy envoy-drain-time-seconds envoy-executable-path
  envoy-ready-bind-address envoy-ready-bind-port graceful-addr graceful-port graceful-shutdown-path graceful-startup-path grpc-port log-json
  log-level login-auth-method login-bearer-token login-bearer-token-path login-datacenter login-meta login-namespace login-partition mode
  proxy-id proxy-id-path proxy-namespace proxy-node-id proxy-node-name proxy-partition proxy-service-id proxy-service-id-path
  server-watch-disabled service-namespace service-node-id service-node-name service-partition shutdown-drain-listeners
  shutdown-grace-period-seconds startup-grace-period-seconds static-token telemetry-prom-ca-certs-path telemetry-prom-cert-file
  telemetry-prom-key-file telemetry-prom-merge-port telemetry-prom-retention-time telemetry-prom-scrape-path
  telemetry-prom-service-metrics-url telemetry-use-central-config tls-cert tls-disabled tls-insecure-skip-verify tls-key tls-server-name
  version xds-bind-addr xds-bind-port`.split(/\s+/)

const BASE = { addresses: 'consul.internal', 'proxy-id': 'web-proxy' }

interface Said {
  readonly flags?: Readonly<Record<string, string | readonly string[]>>
  readonly env?: Readonly<Record<string, string>>
  readonly file?: object | string
}

/** Files hold their names. */
function read({ flags = {}, env = {}, file }: Said): DataplaneSettings {
  return readSettings({
    flags: new Map(Object.entries(flags)),
    env: name => env[name],
    readText: path => path,
    ...(file === undefined ? {} : { file: { path: 'dp.json', text: typeof file === 'string' ? file : JSON.stringify(file) } }),
  })
}

const settings = ({ flags = {}, ...said }: Said = {}): DataplaneSettings => read({ flags: { ...BASE, ...flags }, ...said })

/** A value that says something else than the table does. */
const OTHER: Readonly<Record<string, string>> = {
  mode: 'dns-proxy',
  'credential-type': 'static',
  'log-level': 'debug',
  'telemetry-use-central-config': 'false',
  'envoy-drain-strategy': 'gradual',
  'consul-dns-bind-addr': '127.0.0.2',
  'envoy-admin-bind-address': '127.0.0.2',
}
const BY_KIND = {
  text: ['/a/path', '/b/path'],
  integer: ['4711', '4712'],
  flag: ['true', 'false'],
  duration: ['5m', '6m'],
  map: ['key=value', 'key=other'],
} as const
/** What a flag needs beside itself to be read. */
const WITH: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'consul-dns-bind-addr': { 'consul-dns-bind-port': '0' },
  'static-token': { 'credential-type': 'static' },
  'static-token-path': { 'credential-type': 'static' },
  'tls-cert': { 'tls-key': 'k' },
  'tls-key': { 'tls-cert': 'c' },
  'telemetry-prom-ca-certs-path': { 'telemetry-prom-cert-file': 'c', 'telemetry-prom-key-file': 'k' },
  'telemetry-prom-cert-file': { 'telemetry-prom-ca-certs-path': 'c', 'telemetry-prom-key-file': 'k' },
  'telemetry-prom-key-file': { 'telemetry-prom-ca-certs-path': 'c', 'telemetry-prom-cert-file': 'k' },
  'envoy-ready-bind-address': { 'envoy-ready-bind-port': '1' },
  'envoy-ready-bind-port': { 'envoy-ready-bind-address': '127.0.0.1' },
}
const LOGIN = { 'credential-type': 'login', 'login-bearer-token-path': '/bearer' }

/** All that is needed but for the flag itself. The older names count where none of the newer ones is said. */
function beside(name: string): Readonly<Record<string, string>> {
  type Flags = Readonly<Record<string, string>>
  const newer: Flags = /^proxy-(service-)?id/.test(name) ? {} : { 'proxy-id': 'web-proxy' }
  const id: Flags = name.startsWith('service-') ? { 'proxy-service-id': 'web-proxy' } : newer
  const servers: Flags = name === 'addresses' ? {} : { addresses: 'consul.internal' }
  return { ...servers, ...id, ...(name.startsWith('login-') ? LOGIN : WITH[name]) }
}

describe("consul-dataplane's flags", () => {
  it('are all in the table, and no others but our own', () => {
    const ours = TABLE.filter(([, { ours }]) => ours !== true).map(([name]) => name)
    expect([...ours, ...COMMAND_FLAGS].sort()).toEqual([...THEIRS].sort())
  })

  it.skipIf(dataplaneBin === undefined)('are those of the real one (needs DATAPLANE_BIN), with their variables', () => {
    const { stderr } = spawnSync(dataplaneBin!, ['-help'], { encoding: 'utf8' })
    const real = [...stderr.matchAll(/^ {2}-([a-z-]+)/gm)].map(([, name]) => name)
    expect(real.sort()).toEqual([...THEIRS].sort())
    const variables = [...stderr.matchAll(/Environment variable: ([A-Z_]+)/g)].map(([, name]) => name)
    expect(variables.sort()).toEqual(
      TABLE.filter(([, { ours }]) => ours !== true)
        .map(([, { env }]) => env)
        .sort(),
    )
  })

  it.each(TABLE.filter(([, { refused }]) => refused !== undefined))('-%s is refused by name', (name, { kind, env }) => {
    expect(() => settings({ flags: { [name]: BY_KIND[kind][0] } })).toThrow(new RegExp(`^-${name}: the proxy is a part of this process`))
    expect(() => settings({ env: { [env]: BY_KIND[kind][0] } })).toThrow(`-${name}: `)
  })

  it.each(TABLE.filter(([, { refused }]) => refused === undefined))(
    '-%s has an effect: by the command line, its variable and the file alike',
    (name, { kind, env, key, initial }) => {
      const [value, other] = name in OTHER ? [OTHER[name]!, initial ?? ''] : BY_KIND[kind]
      const { [name]: _own, ...rest } = beside(name)
      const byFlag = read({ flags: { ...rest, [name]: value } })
      expect(byFlag).not.toEqual(read({ flags: { ...rest, [name]: other } }))
      expect(read({ flags: rest, env: { [kind === 'map' ? `${env}1` : env]: value } })).toEqual(byFlag)
      const inFile = kind === 'integer' ? Number(value) : kind === 'flag' ? value === 'true' : kind === 'map' ? { key: 'value' } : value
      const file = key.split('.').reduceRight<unknown>((below, part) => ({ [part]: below }), inFile) as object
      expect(read({ flags: rest, file })).toEqual(byFlag)
    },
  )
})

describe('settings', () => {
  it('are the command line over the environment over the file over what is said nowhere', () => {
    const file = { consul: { grpcPort: 1 }, logging: { logLevel: 'warn', name: 'any' }, envoy: { AdminBindPort: 3 } }
    const env = { DP_LOG_LEVEL: 'error', DP_CONSUL_GRPC_PORT: '2' }
    const { servers, log, envoy, telemetry } = settings({ flags: { 'grpc-port': '4' }, env, file })
    expect([servers.grpcPort, log.level, envoy.adminPort, telemetry.mergePort]).toEqual([4, 'error', 3, 20_100])
  })

  it('name the server by -addresses where nothing else does', () => {
    expect(settings().servers.tls).toMatchObject({ serverName: 'consul.internal', verify: true })
    expect(settings({ flags: { 'tls-disabled': 'true' } }).servers.tls).toBeNull()
  })

  it.each<[string, Said, string]>([
    ['no servers', { flags: { addresses: '' } }, '-addresses: the servers are needed (or --consul HOST:PORT)'],
    ['no proxy', { flags: { 'proxy-id': '' } }, '-proxy-id: the ID of the proxy is needed'],
    ['a mode', { flags: { mode: 'both' } }, '-mode "both": must be sidecar, dns-proxy'],
    ['a level', { flags: { 'log-level': 'loud' } }, '-log-level "loud": must be trace, debug, info, warn, error'],
    ['a port', { flags: { 'grpc-port': '70000' } }, '-grpc-port 70000: must be from 1 to 65535'],
    ['a number', { env: { DP_CONSUL_GRPC_PORT: 'x' } }, 'DP_CONSUL_GRPC_PORT: "x" is no whole number'],
    ['a flag', { env: { DP_TLS_DISABLED: 'maybe' } }, 'DP_TLS_DISABLED: "maybe" is neither true nor false'],
    [
      'a duration',
      { flags: { 'telemetry-prom-retention-time': '1 day' } },
      '-telemetry-prom-retention-time: "1 day" is no duration such as 60s',
    ],
    ['a pair', { flags: { 'login-meta': ['pod'] } }, '-login-meta: "pod" is not KEY=VALUE'],
    ['half a client certificate', { flags: { 'tls-cert': 'c' } }, '-tls-cert and -tls-key go together'],
    [
      'a login without a token',
      { flags: { 'credential-type': 'login' } },
      '-credential-type login: -login-bearer-token or -login-bearer-token-path is needed',
    ],
    [
      'a name that nobody says',
      { flags: { addresses: 'exec=servers' } },
      "-tls-server-name: the name in the servers' certificates is needed, since -addresses is none",
    ],
    [
      'DNS for others beside a sidecar',
      { flags: { 'consul-dns-bind-port': '53', 'consul-dns-bind-addr': '0.0.0.0' } },
      '-consul-dns-bind-addr 0.0.0.0: must be of the loopback interface in mode sidecar',
    ],
    [
      'a namespace in mode dns-proxy',
      { flags: { mode: 'dns-proxy', 'proxy-namespace': 'team' } },
      '-proxy-namespace: must be empty or default in mode dns-proxy',
    ],
    ['a key of the file', { file: { consul: { grpcPorts: 1 } } }, 'dp.json: consul.grpcPorts: there is no such key'],
    ['a value in the file', { file: { consul: { grpcPort: '1' } } }, 'dp.json: consul.grpcPort must be a whole number'],
    ['a group that is none', { file: { consul: 1 } }, 'dp.json: consul must be an object'],
  ])('refuse %s', (_what, said, reason) => {
    expect(() => settings(said)).toThrow(reason)
  })

  it('refuse a file that is no JSON', () => {
    expect(() => settings({ file: '{' })).toThrow(/^dp\.json: is no JSON: /)
    expect(() => settings({ file: '{"consul":{"credentials":{"static":{"token":s3cr3t-token}}}}' })).toThrow(
      /^dp\.json: is no JSON: Unexpected token 's'$/,
    )
  })
})

describe('docs/under-consul.md', () => {
  it('has a row for each flag, as the table has it', () => {
    const text = readFileSync(new URL('../../../docs/under-consul.md', import.meta.url), 'utf8')
    const rows = TABLE.map(([name, { kind, env, key, initial, help, refused, ours }]) => {
      const variable = `\`${env}${kind === 'map' ? '1` to `9' : ''}\``
      const what = refused === undefined ? `${help}${ours === true ? ' (ours)' : ''}` : `refused: ${refused}`
      return `| \`-${name}\` | ${variable} | \`${key}\` | ${initial === undefined ? '' : `\`${initial}\``} | ${what} |`
    })
    const [, table = ''] = /<!-- flags -->\n([\s\S]*)<!-- \/flags -->/.exec(text) ?? []
    expect(table.trimEnd().split('\n').slice(2)).toEqual(rows)
  })

  it("takes the example's file", () => {
    const text = readFileSync(new URL('../../../examples/under-consul/dataplane.json', import.meta.url), 'utf8')
    const { servers, proxy, lifecycle, dns } = readSettings({
      flags: new Map(),
      env: () => undefined,
      readText: () => 'web-sidecar-proxy\n',
      file: { path: 'dataplane.json', text },
    })
    expect([servers.credentials.kind, proxy.id, lifecycle.shutdownGraceMs, dns?.port]).toEqual(['login', 'web-sidecar-proxy', 20_000, 8600])
  })
})

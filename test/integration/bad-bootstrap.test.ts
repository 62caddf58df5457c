// Bad bootstraps and flags: exit 1 with the path and the reason, and --mode validate says the same without binding anything.
import net, { type AddressInfo } from 'node:net'
import { afterAll, describe, expect, it } from 'vitest'
import { freePort, hcm, listener, ProxyProcess, routesTo, socketAddress, staticCluster, stopAll, typed } from '../support/proxy-process.js'

afterAll(stopAll)

/** The parts of a bootstrap that the cases spoil. */
interface Spoilable {
  admin?: object
  static_resources: {
    listeners: [{ address?: object; filter_chains: [{ filters: object[]; transport_socket?: object }] }]
    clusters: [
      { type?: string; connect_timeuot?: string; load_assignment: { endpoints: [{ lb_endpoints: [{ endpoint: { address: object } }] }] } },
    ]
  }
}

const good = async (): Promise<Spoilable> =>
  ({
    static_resources: {
      listeners: [listener('front', await freePort(), [hcm({ route_config: routesTo('app') })])],
      clusters: [staticCluster('app', 1)],
    },
  }) as object as Spoilable

interface Case {
  readonly name: string
  readonly make: () => Promise<object | string>
  readonly path: RegExp
  readonly reason: RegExp
}

const cases: Case[] = [
  { name: 'not YAML', make: async () => 'static_resources: [unclosed\n  : {', path: /./, reason: /YAML|yaml|parse/i },
  {
    name: 'a listener without an address',
    make: async () => {
      const config = await good()
      delete config.static_resources.listeners[0].address
      return config
    },
    path: /static_resources\.listeners\[0\]/,
    reason: /address/,
  },
  {
    name: 'an unknown network filter',
    make: async () => {
      const config = await good()
      config.static_resources.listeners[0].filter_chains[0].filters = [typed('x', 'filters.network.nonsense.v3.Nonsense')]
      return config
    },
    path: /static_resources\.listeners\[0\].*filters\[0\]/,
    reason: /nonsense/i,
  },
  {
    name: 'an unknown HTTP filter',
    make: async () => {
      const config = await good()
      const filters = [typed('bogus', 'filters.http.bogus.v3.Bogus')]
      config.static_resources.listeners[0].filter_chains[0].filters = [hcm({ route_config: routesTo('app') }, filters)]
      return config
    },
    path: /http_filters\[0\]/,
    reason: /bogus/i,
  },
  {
    name: 'an access log that cannot be written',
    make: async () => {
      const config = await good()
      const log = typed('file', 'access_loggers.file.v3.FileAccessLog', { path: '/no/such/folder/a.log' })
      config.static_resources.listeners[0].filter_chains[0].filters = [hcm({ route_config: routesTo('app'), access_log: [log] })]
      return config
    },
    path: /static_resources\.listeners\[0\]\.filter_chains\[0\]\.filters\[0\]\.typed_config\.access_log\[0\]\.typed_config\.path/,
    reason: /unable to open file '\/no\/such\/folder\/a\.log'/,
  },
  {
    name: 'an unknown field',
    make: async () => {
      const config = await good()
      config.static_resources.clusters[0].connect_timeuot = '1s'
      return config
    },
    path: /static_resources\.clusters\[0\]/,
    reason: /connect_timeuot/,
  },
  {
    name: 'a private key that is none',
    make: async () => {
      const config = await good()
      config.static_resources.listeners[0].filter_chains[0].transport_socket = {
        name: 'tls',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
          common_tls_context: { tls_certificates: [{ certificate_chain: { inline_string: 'x' }, private_key: { inline_string: 'y' } }] },
        },
      }
      return config
    },
    path: /static_resources\.listeners\[0\]\.filter_chains\[0\]\.transport_socket/,
    reason: /certificate/i,
  },
]

describe('a bad bootstrap', () => {
  it.each(cases)('$name: exit 1 with path and reason, from serve and validate alike', async ({ make, path, reason }) => {
    const bootstrap = await make()
    const [served, validated] = await Promise.all([
      ProxyProcess.run({ bootstrap }),
      ProxyProcess.run({ bootstrap, flags: ['--mode', 'validate'] }),
    ])
    expect(served.code).toBe(1)
    expect(served.stderr).toMatch(path)
    expect(served.stderr).toMatch(reason)
    expect(served.stderr).not.toMatch(/\n\s+at /)
    expect(validated.code).toBe(1)
    const lines = (text: string) => text.split('\n').filter(line => line.startsWith('outrigger-proxy:'))
    const withoutFile = (text: string) => lines(text).map(line => line.replace(/\S*outrigger-test-\S+/g, 'FILE'))
    expect(withoutFile(validated.stderr)).toEqual(withoutFile(served.stderr))
  })

  it('is told with the line and column of the field', async () => {
    const yaml = `
static_resources:
  clusters:
    - name: a
      type: STATIC
      connectTimeout: soon
    - { name: b, type: STATIC, lb_policy: SOMEHOW }
`
    const { code, stderr } = await ProxyProcess.run({ bootstrap: yaml, flags: ['--mode', 'validate'] })
    expect(code).toBe(1)
    expect(stderr).toMatch(/bootstrap\.yaml:6:7: static_resources\.clusters\[0\]\.connect_timeout: /)
    expect(stderr).toMatch(/bootstrap\.yaml:7:32: static_resources\.clusters\[1\]\.lb_policy: /)
  })

  it('a file that is not there', async () => {
    const run = await ProxyProcess.run({ bootstrap: {}, flags: ['-c', '/no/such/file.yaml'] })
    expect(run.code).toBe(1)
    expect(run.stderr).toContain('/no/such/file.yaml')
  })

  it('validate accepts a good one with exit 0 and Envoy’s words', async () => {
    const run = await ProxyProcess.run({ bootstrap: await good(), flags: ['--mode', 'validate'] })
    expect(run.stderr).toBe('')
    expect(run.code).toBe(0)
    expect(run.stdout).toMatch(/^configuration '.+' OK$/m)
  })

  it.each(['listener', 'admin'])('a port in use for the %s is named', async who => {
    const taken = net.createServer().listen(0, '127.0.0.1')
    await new Promise(resolve => taken.once('listening', resolve))
    const { port } = taken.address() as AddressInfo
    const config = await good()
    if (who === 'listener') config.static_resources.listeners[0].address = socketAddress(port)
    else config.admin = { address: socketAddress(port) }
    const run = await ProxyProcess.run({ bootstrap: config })
    taken.close()
    expect(run.code).toBe(1)
    expect(run.stderr).toContain(`127.0.0.1:${port}`)
    expect(run.stderr).toMatch(/in use/)
  })

  it('a port in use is named also when the listener had to wait for a cluster', async () => {
    const taken = net.createServer().listen(0, '127.0.0.1')
    await new Promise(resolve => taken.once('listening', resolve))
    const { port } = taken.address() as AddressInfo
    const config = await good()
    config.static_resources.listeners[0].address = socketAddress(port)
    config.static_resources.clusters[0].type = 'STRICT_DNS'
    config.static_resources.clusters[0].load_assignment.endpoints[0].lb_endpoints[0].endpoint.address = socketAddress(1, 'localhost')
    const run = await ProxyProcess.run({ bootstrap: config })
    taken.close()
    expect(run.code).toBe(1)
    expect(run.stderr).toContain(`127.0.0.1:${port}`)
  })
})

describe('flags', () => {
  it('those of Envoy without a meaning here warn, what is configured without effect is said in one line, and it serves', async () => {
    const bootstrap = { ...(await good()), watchdogs: { main_thread_watchdog: {} }, header_prefix: 'x-mine', bootstrap_extensions: [] }
    const proxy = await ProxyProcess.start({
      bootstrap,
      flags: ['--component-log-level', 'upstream:debug', '--base-id', '7', '--cpuset-threads', '--log-format', '<%l|%n> %v'],
    })
    await proxy.untilLog('<warning|main> flags without a meaning here: --cpuset-threads')
    await proxy.untilLog('<warning|main> bootstrap: accepted without effect: watchdogs, header_prefix')
    expect((await proxy.json('/config_unsupported')).bootstrap).toEqual(expect.arrayContaining(['header_prefix', 'watchdogs']))
    expect((await proxy.post('/logging')).body).toContain('  upstream: debug\n')
    const validated = await ProxyProcess.run({ bootstrap, flags: ['--mode', 'validate'] })
    expect(validated.code).toBe(2)
    expect(validated.stdout).toMatch(/^configuration '.+' OK$/m)
    expect(validated.stderr).toMatch(/^outrigger-proxy: warning: \S+bootstrap\.json:1:\d+: watchdogs: accepted without effect$/m)
    expect(validated.stderr).toMatch(/:1:\d+: header_prefix: accepted without effect$/m)
    expect((await proxy.stop()).code).toBe(0)
  })

  it('application_log_config changes no line of the log, and that is said at start, by --mode validate and by /config_unsupported', async () => {
    const bootstrap = { ...(await good()), application_log_config: { log_format: { text_format: 'mine %v' } } }
    const proxy = await ProxyProcess.start({ bootstrap })
    await proxy.untilLog('bootstrap: accepted without effect: application_log_config')
    expect(proxy.log).not.toMatch(/^mine /m)
    expect((await proxy.json('/config_unsupported')).bootstrap).toEqual(['application_log_config'])
    expect((await proxy.stop()).code).toBe(0)
    const validated = await ProxyProcess.run({ bootstrap, flags: ['--mode', 'validate'] })
    expect(validated.code).toBe(2)
    expect(validated.stderr).toMatch(/: application_log_config: accepted without effect/)
  })

  it('--mode init_only starts and exits 0; --service-zone, --stats-tag and --allow-unknown-static-fields are taken', async () => {
    const bootstrap = { ...(await good()), nonsense: true }
    expect((await ProxyProcess.run({ bootstrap, flags: ['--mode', 'init_only'] })).code).toBe(1)
    const proxy = await ProxyProcess.start({
      bootstrap,
      flags: ['--allow-unknown-static-fields', '--service-zone', 'z9', '--stats-tag', 'fleet:blue'],
    })
    expect((await proxy.json('/server_info')).node.locality.zone).toBe('z9')
    expect((await proxy.get('/stats/prometheus?filter=^server.live')).body).toContain('fleet="blue"')
    expect(await proxy.stat('server.static_unknown_fields')).toBe(1)
    expect((await proxy.stop()).code).toBe(0)
    expect((await ProxyProcess.run({ bootstrap, flags: ['--mode', 'init_only', '--allow-unknown-static-fields'] })).code).toBe(0)
  })

  it('--hot-restart-version says with which processes one can change places, and exits 0', async () => {
    const said = async (flags: string[]) => (await ProxyProcess.run({ bootstrap: {}, flags, argv: flags })).stdout
    expect(await said(['--hot-restart-version'])).toMatch(/^\S+\n$/)
    expect(await said(['--hot-restart-version', '--disable-hot-restart'])).toBe('disabled\n')
  })

  it('bad values are errors', async () => {
    const run = await ProxyProcess.run({ bootstrap: await good(), flags: ['--drain-time-s', 'soon', '--log-level', 'loud'] })
    expect(run.code).toBe(1)
    expect(run.stderr).toContain('--drain-time-s')
    expect(run.stderr).toContain('--log-level')
  })

  it('--version prints the five parts', async () => {
    const run = await ProxyProcess.run({ bootstrap: {}, flags: ['--version'] })
    expect(run.code).toBe(0)
    expect(run.stdout).toMatch(/version: [^/\s]+\/1\.40\.0\/Clean\/RELEASE\/\S+/)
  })
})

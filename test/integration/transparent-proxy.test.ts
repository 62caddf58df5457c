// Transparent proxying as an application sees it: curl, run by a user that is redirected, knows nothing of the mesh. The file runs itself
// again in network and mount namespaces of its own, where the rules are made; an outside world is in one more, behind a veth pair.
// Needs root, nft (or iptables), curl and the tools of iproute2 and util-linux; skipped by name elsewhere.
import { execFile, execFileSync, spawn, spawnSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MeshFixture } from '../support/mesh-fixture.js'
import { HttpOrigin, http, TcpOrigin } from '../support/origins.js'
import { freePort, ProxyProcess, until } from '../support/proxy-process.js'

const execute = promisify(execFile)
const INSIDE = process.env['OUTRIGGER_TEST_NAMESPACE'] === '1'
const TOOLS = ['unshare', 'nsenter', 'ip', 'curl', 'mount']
const NOBODY = 65_534
const HERE = '10.213.0.1'
const OUTSIDE = '10.213.0.2'
const [HERE_6, OUTSIDE_6] = ['fd00:213::1', 'fd00:213::2']
const HAS_IPV6 = existsSync('/proc/net/if_inet6')

function missing(): string {
  if (process.getuid?.() !== 0) return 'root'
  const tool = TOOLS.find(each => spawnSync(each, ['--version']).error !== undefined)
  if (tool !== undefined) return tool
  if (['nft', 'iptables'].every(each => spawnSync(each, ['--version']).error !== undefined)) return 'nft or iptables'
  const rules = 'table ip t { chain c { type nat hook output priority -100; meta l4proto tcp redirect to :1; }; }'
  const tried = spawnSync('unshare', ['--net', '--mount', 'nft', rules], { encoding: 'utf8' })
  return tried.status === 0 || tried.error !== undefined ? '' : 'namespaces with NAT'
}

const lacking = INSIDE ? '' : missing()

it.skipIf(INSIDE || lacking !== '')(
  `a client that knows nothing of the mesh${lacking === '' ? '' : ` (skipped: needs ${lacking})`}`,
  { timeout: 240_000 },
  async () => {
    const vitest = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url))
    const argv = ['--net', '--mount', process.execPath, vitest, 'run', fileURLToPath(import.meta.url), '--reporter=verbose']
    const env = { ...process.env, OUTRIGGER_TEST_NAMESPACE: '1' }
    const { stdout, stderr, code } = await execute('unshare', argv, { env }).then(
      ran => ({ ...ran, code: 0 }),
      (error: { stdout: string; stderr: string; code: number }) => error,
    )
    expect(code, `${stdout}\n${stderr}`).toBe(0)
  },
)

const ENVOY = process.env['ENVOY_BIN']
const PROXIES: readonly (readonly [name: string, bin: string | undefined])[] = [
  ['Outrigger', undefined],
  ...(ENVOY === undefined ? [] : [['Envoy', ENVOY] as const]),
]

const OWN_RULES = ['-proxy-uid=0', '-proxy-inbound-port=16002', '-proxy-outbound-port=16001']
const DIRECT_RESPONSE = 'type.googleapis.com/envoy.extensions.filters.network.direct_response.v3.Config'
const says = (inline_string: string) => ({
  filters: [{ name: 'd', typed_config: { '@type': DIRECT_RESPONSE, response: { inline_string } } }],
})
const at = (address: string, port_value: number) => ({ socket_address: { address, port_value } })
const forwarding = {
  filters: [
    {
      name: 'http',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
        stat_prefix: 'forwarding',
        route_config: {
          virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'original' } }] }],
        },
        http_filters: [{ name: 'router', typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' } }],
      },
    },
  ],
}
const ORIGINAL_DST = {
  name: 'od',
  typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst' },
}
/** Listeners of addresses that nobody binds, and one that the kernel hands everything to. */
const STATIC = {
  static_resources: {
    listeners: [
      {
        name: 'all',
        address: at('127.0.0.1', 16_001),
        use_original_dst: true,
        filter_chains: [
          { filter_chain_match: { destination_port: 7999 }, ...forwarding },
          { filter_chain_match: { prefix_ranges: [{ address_prefix: '10.214.0.0', prefix_len: 16 }] }, ...says('a range') },
        ],
        default_filter_chain: says('nobody else'),
      },
      { name: 'every', address: at('0.0.0.0', 8081), bind_to_port: false, filter_chains: [says('every address, 8081')] },
      { name: 'exact', address: at('10.213.0.77', 8081), bind_to_port: false, filter_chains: [says('77, 8081')] },
      { name: 'unredirected', address: at('127.0.0.1', 16_007), listener_filters: [ORIGINAL_DST], filter_chains: [forwarding] },
    ],
    clusters: [
      {
        name: 'original',
        type: 'ORIGINAL_DST',
        lb_policy: 'CLUSTER_PROVIDED',
        connect_timeout: '5s',
        original_dst_lb_config: { upstream_port_override: 8000 },
      },
    ],
  },
}

interface Answer {
  readonly text: string
  /** curl's: 0 is an answer, 52 none at all. */
  readonly code: number
}

/** By a user whose connections are redirected. */
async function curl(...argv: readonly string[]): Promise<Answer> {
  const options = { uid: NOBODY, gid: NOBODY, env: { PATH: process.env['PATH'] } }
  const run = execute('curl', ['-s', '--max-time', '20', ...argv], options)
  run.child.stdin?.end()
  return answer(run)
}

function answer(run: Promise<{ readonly stdout: string }>): Promise<Answer> {
  return run.then(
    ({ stdout }) => ({ text: stdout, code: 0 }),
    (error: { stdout: string; code: number }) => ({ text: error.stdout, code: error.code }),
  )
}

describe.runIf(INSIDE)('in a network namespace', () => {
  const mesh = new MeshFixture(['--dns-addr', '127.0.0.1:10053'])
  const api = new HttpOrigin((request, socket) => socket.end(http(`api ${request.path}`)))
  const greeter = new TcpOrigin(socket => void socket.end('hello\n'))
  let outside: ReturnType<typeof spawn>
  let apiPort = 0
  let directPort = 0

  beforeAll(async () => {
    await api.listen()
    await greeter.listen()
    outside = spawn('unshare', ['--net', process.execPath, '-e', OUTSIDE_SERVER], { stdio: ['ignore', 'pipe', 'inherit'] })
    await until('the outside world is there', () => String(outside.stdout!.read() ?? '').includes('ready'))
    const pid = String(outside.pid)
    const network = [
      'link set lo up',
      `link add inner type veth peer name outer netns ${pid}`,
      `addr add ${HERE}/24 dev inner`,
      ...(HAS_IPV6 ? [`addr add ${HERE_6}/64 dev inner nodad`] : []),
      'link set inner up',
    ]
    for (const command of network) execFileSync('ip', command.split(' '))
    const beyond = [`addr add ${OUTSIDE}/24 dev outer`, ...(HAS_IPV6 ? [`addr add ${OUTSIDE_6}/64 dev outer nodad`] : [])]
    for (const command of ['link set lo up', ...beyond, 'link set outer up']) within('ip', ...command.split(' '))
    execFileSync('ip', ['route', 'add', 'default', 'via', OUTSIDE])
    await mesh.start()
    writeFileSync(join(mesh.dir, 'resolv.conf'), `nameserver ${OUTSIDE}\n`)
    execFileSync('mount', ['--bind', join(mesh.dir, 'resolv.conf'), '/etc/resolv.conf'])

    await mesh.write('/v1/config', { Kind: 'mesh', Name: 'mesh', AllowEnablingPermissiveMutualTLS: true })
    await mesh.write('/v1/config', { Kind: 'service-defaults', Name: 'api', Protocol: 'http', TransparentProxy: { DialedDirectly: true } })
    for (const Name of ['api', 'greeter'])
      await mesh.write('/v1/config', { Kind: 'service-intentions', Name, Sources: [{ Name: 'web', Action: 'allow' }] })
    apiPort = await register('api', api.port, { Config: { bind_address: '0.0.0.0' } })
    directPort = apiPort
    await register('greeter', greeter.port)
    await register('secret', greeter.port)
    await register('web', 1, { Mode: 'transparent', Config: { outrigger_transparent_ipv6: HAS_IPV6 } })
    await mesh.write('/v1/config', { Kind: 'service-intentions', Name: '*', Sources: [{ Name: '*', Action: 'deny' }] })
    await mesh.sidecar('api')
    await mesh.sidecar('greeter')
    await mesh.outrigger('connect', 'redirect-traffic', ...rules())
  })
  afterAll(async () => {
    spawnSync('umount', ['/etc/resolv.conf'])
    outside.kill()
    await mesh.stop()
    await api.close()
    await greeter.close()
  })

  async function register(name: string, port: number, proxy: object = {}): Promise<number> {
    const publicPort = await freePort()
    const SidecarService = { Address: HERE, Port: publicPort, Proxy: proxy }
    await mesh.write('/v1/agent/service/register', { ID: name, Name: name, Port: port, Connect: { SidecarService } })
    return publicPort
  }

  function within(...argv: readonly string[]): string {
    return execFileSync('nsenter', [`--net=/proc/${outside.pid}/ns/net`, ...argv], { encoding: 'utf8' })
  }

  function rules(): string[] {
    return [
      '-proxy-uid=0',
      `-proxy-inbound-port=${apiPort}`,
      '-consul-dns-ip=127.0.0.1',
      '-consul-dns-port=10053',
      ...(HAS_IPV6 ? ['-ipv6'] : []),
    ]
  }

  describe.each(PROXIES)('the sidecar is %s', (_name, bin) => {
    let web: ProxyProcess
    beforeAll(async () => {
      web = await mesh.sidecar('web', bin)
    })
    afterAll(async () => {
      await web.kill()
      await until('the control plane saw it go', async () => !(await mesh.state('web')).Connected)
    })

    it('reaches a service by the name that DNS gives a virtual address, and by that address', async () => {
      expect(await curl('http://api.virtual.consul/by-name')).toEqual({ text: 'api /by-name', code: 0 })
      const [entry] = await mesh.read('/v1/health/connect/api')
      const { Address } = entry.Service.TaggedAddresses['consul-virtual']
      expect(await curl(`http://${Address}:8765/any-port`)).toEqual({ text: 'api /any-port', code: 0 })
      expect(await web.stat('http.upstream.api.default.default.dc1.downstream_rq_2xx')).toBe(2)
    })

    it('reaches a TCP service whose server speaks first', async () => {
      expect((await curl('telnet://greeter.virtual.consul:99')).text).toBe('hello\n')
    })

    it('reaches an instance by its own address, over mesh TLS', async () => {
      expect(await curl(`http://${HERE}:${directPort}/direct`)).toEqual({ text: 'api /direct', code: 0 })
      expect(await web.stat('tcp.upstream.api.default.default.dc1.downstream_cx_total')).toBe(1)
    })

    it('lets through what is not of the mesh, until the mesh says otherwise', async () => {
      expect(await curl(`http://${OUTSIDE}:8000/plain`)).toEqual({ text: `outside ${HERE} /plain`, code: 0 })
      expect(await web.stat('tcp.upstream.original-destination.downstream_cx_total')).toBe(1)
      const only = (MeshDestinationsOnly: boolean) =>
        mesh.write('/v1/config', {
          Kind: 'mesh',
          Name: 'mesh',
          AllowEnablingPermissiveMutualTLS: true,
          TransparentProxy: { MeshDestinationsOnly },
        })
      await mesh.acknowledged('web', await only(true))
      for (const host of HAS_IPV6 ? [OUTSIDE, `[${OUTSIDE_6}]`] : [OUTSIDE])
        expect([52, 56]).toContain((await curl(`http://${host}:8000/plain`)).code)
      expect([52, 56]).toContain((await curl('http://secret.virtual.consul/')).code)
      expect(await curl('http://api.virtual.consul/still')).toEqual({ text: 'api /still', code: 0 })
      await mesh.acknowledged('web', await only(false))
      expect((await curl(`http://${OUTSIDE}:8000/again`)).text).toBe(`outside ${HERE} /again`)
    })

    it.runIf(HAS_IPV6)('takes what is dialled by an IPv6 address as well', async () => {
      const before = await web.stat('tcp.upstream.original-destination.downstream_cx_total')
      expect(await curl(`http://[${OUTSIDE_6}]:8000/six`)).toEqual({ text: `outside ${HERE_6} /six`, code: 0 })
      expect(await web.stat('tcp.upstream.original-destination.downstream_cx_total')).toBe(before + 1)
    })

    it('has a chain for a service that comes later, and none once it may not be called', async () => {
      const late = new HttpOrigin((request, socket) => socket.end(http(`late ${request.path}`)))
      await late.listen()
      await register('late', late.port)
      const index = await mesh.write('/v1/config', {
        Kind: 'service-intentions',
        Name: 'late',
        Sources: [{ Name: 'web', Action: 'allow' }],
      })
      await mesh.acknowledged('web', index)
      const sidecar = await mesh.sidecar('late')
      expect(await curl('http://late.virtual.consul/')).toEqual({ text: 'late /', code: 0 })
      const denied = { Kind: 'service-intentions', Name: 'late', Sources: [{ Name: 'web', Action: 'deny' }] }
      await mesh.acknowledged('web', await mesh.write('/v1/config', denied))
      const { configs } = await web.json('/config_dump')
      expect(JSON.stringify(configs)).not.toContain('late.default.dc1')
      await mesh.deregister('late')
      await sidecar.kill()
      await late.close()
    })
  })

  describe.each(PROXIES)('%s by itself', (_name, bin) => {
    let proxy: ProxyProcess
    beforeAll(async () => {
      const flags = ['--base-id', String((process.pid % 50_000) + 3)]
      proxy = await ProxyProcess.start({ bootstrap: STATIC, ...(bin === undefined ? {} : { bin, flags }) })
      await mesh.outrigger('connect', 'redirect-traffic', ...OWN_RULES)
    })
    afterAll(async () => {
      await mesh.outrigger('connect', 'redirect-traffic', ...rules())
      await proxy.kill()
    })
    const greeting = async (host: string, port: number): Promise<string> => (await curl(`telnet://${host}:${port}`)).text

    it('hands a connection to the listener of the address it was made to: exactly, or of every address', async () => {
      expect(await greeting(OUTSIDE, 8081)).toBe('every address, 8081')
      expect(await greeting('10.213.0.77', 8081)).toBe('77, 8081')
    })

    it('serves itself what no listener is for, by the range that it was made to', async () => {
      expect(await greeting('10.213.0.77', 8082)).toBe('nobody else')
      expect(await greeting('10.214.3.4', 8083)).toBe('a range')
    })

    it('forwards requests to where their connection was made, with the port overridden', async () => {
      expect((await curl(`http://${OUTSIDE}:7999/overridden`)).text).toBe(`outside ${HERE} /overridden`)
    })

    it('knows no destination for a connection that nobody redirected', async () => {
      expect((await execute('curl', ['-s', '-o', '/dev/null', '-w', '%{http_code}', 'http://127.0.0.1:16007/'])).stdout).toBe('503')
    })
  })

  it('takes clients without TLS from outside where mTLS is permissive, at the port of the application alone', async () => {
    const fromOutside = (): Promise<Answer> =>
      answer(execute('nsenter', [`--net=/proc/${outside.pid}/ns/net`, 'curl', '-s', '--max-time', '20', `http://${HERE}:${api.port}/in`]))
    expect([52, 56]).toContain((await fromOutside()).code)
    const defaults = { Kind: 'service-defaults', Name: 'api', Protocol: 'http', TransparentProxy: { DialedDirectly: true } }
    await mesh.acknowledged('api', await mesh.write('/v1/config', { ...defaults, MutualTLSMode: 'permissive' }))
    expect(await fromOutside()).toEqual({ text: 'api /in', code: 0 })
    await mesh.acknowledged('api', await mesh.write('/v1/config', defaults))
    expect([52, 56]).toContain((await fromOutside()).code)
  })

  it('undoes what it did, and does it once however often', async () => {
    const inForce = () => spawnSync('nft', ['list', 'ruleset'], { encoding: 'utf8' }).stdout
    const before = inForce()
    await mesh.outrigger('connect', 'redirect-traffic', ...rules())
    expect(inForce()).toBe(before)
    expect(await mesh.outrigger('connect', 'redirect-traffic', '-undo')).toContain('no longer')
    expect(await mesh.outrigger('connect', 'redirect-traffic', '-undo')).toContain('no longer')
    expect((await curl(`http://${OUTSIDE}:8000/free`)).text).toBe(`outside ${HERE} /free`)
    expect(inForce()).not.toContain('outrigger')
  })
})

/** Prints `ready` once it is in its namespace, and answers with who asked. */
const OUTSIDE_SERVER = `
require('node:http').createServer((request, response) =>
  response.end('outside ' + request.socket.remoteAddress.replace('::ffff:', '') + ' ' + request.url)
).listen(8000, '${HAS_IPV6 ? '::' : '0.0.0.0'}', () => console.log('ready'))`

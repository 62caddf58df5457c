// The rules that `connect redirect-traffic` makes where there is no nftables, in a real kernel: with both kinds of iptables, each in namespaces of
// its own in which this file runs itself again. A client that is redirected, one user that is not, an outside world behind a veth pair.
// Needs root, iptables, and the tools of iproute2 and util-linux; skipped by name elsewhere.
import { execFile, execFileSync, spawn, spawnSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TcpOrigin } from '../support/origins.js'
import { ProxyProcess, stopAll, until } from '../support/proxy-process.js'

const execute = promisify(execFile)
const BIN = fileURLToPath(new URL('../../bin/outrigger', import.meta.url))
/** Within: the folder of the iptables that is meant, without nft. */
const TOOLS = process.env['OUTRIGGER_TEST_IPTABLES']
const KINDS = ['nft', 'legacy'] as const
const [NOBODY, EXEMPT] = [65_534, 65_533]
const HERE = '10.215.0.1'
const OUTSIDE = '10.215.0.2'
const [HERE_6, OUTSIDE_6] = ['fd00:215::1', 'fd00:215::2']
const HAS_IPV6 = existsSync('/proc/net/if_inet6')

const pathOf = (tool: string): string | undefined =>
  (process.env['PATH'] ?? '')
    .split(delimiter)
    .map(dir => join(dir, tool))
    .find(existsSync)

function missing(kind: string): string {
  if (process.getuid?.() !== 0) return 'root'
  const tool = ['unshare', 'nsenter', 'ip', `iptables-${kind}-restore`, `ip6tables-${kind}-restore`].find(
    each => pathOf(each) === undefined,
  )
  if (tool !== undefined) return tool
  const rule = ['-w', '-t', 'nat', '-A', 'OUTPUT', '-p', 'tcp', '-m', 'owner', '--uid-owner', '0', '-j', 'REDIRECT', '--to-ports', '1']
  return spawnSync('unshare', ['--net', `iptables-${kind}`, ...rule]).status === 0 ? '' : `namespaces with NAT by iptables-${kind}`
}

for (const kind of TOOLS === undefined ? KINDS : []) {
  const lacking = missing(kind)
  it.skipIf(lacking !== '')(`iptables-${kind}${lacking === '' ? '' : ` (skipped: needs ${lacking})`}`, { timeout: 120_000 }, async () => {
    const dir = mkdtempSync(join(tmpdir(), 'outrigger-iptables-'))
    for (const [name, tool] of [
      ['iptables', `iptables-${kind}`],
      ['ip6tables', `ip6tables-${kind}`],
      ['iptables-restore', `iptables-${kind}-restore`],
      ['ip6tables-restore', `ip6tables-${kind}-restore`],
      ['nsenter', 'nsenter'],
    ] as const)
      symlinkSync(pathOf(tool)!, join(dir, name))
    const vitest = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url))
    const argv = ['--net', process.execPath, vitest, 'run', fileURLToPath(import.meta.url), '--reporter=verbose']
    const { stdout, stderr, code } = await execute('unshare', argv, { env: { ...process.env, OUTRIGGER_TEST_IPTABLES: dir } }).then(
      ran => ({ ...ran, code: 0 }),
      (error: { stdout: string; stderr: string; code: number }) => error,
    )
    rmSync(dir, { recursive: true })
    expect(code, `${stdout}\n${stderr}`).toBe(0)
  })
}

const says = (inline_string: string) => ({
  filters: [
    {
      name: 'd',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.filters.network.direct_response.v3.Config',
        response: { inline_string },
      },
    },
  ],
})
const at = (address: string, port_value: number) => ({ address: { socket_address: { address, port_value } } })
const BOOTSTRAP = {
  static_resources: {
    listeners: [
      {
        name: 'outbound',
        ...at('127.0.0.1', 16_001),
        ...(HAS_IPV6 ? { additional_addresses: [at('::1', 16_001)] } : {}),
        listener_filters: [
          {
            name: 'od',
            typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst' },
          },
        ],
        filter_chains: [
          { filter_chain_match: { prefix_ranges: [{ address_prefix: '10.216.0.0', prefix_len: 16 }] }, ...says('a virtual address') },
          { filter_chain_match: { prefix_ranges: [{ address_prefix: 'fd00:216::', prefix_len: 64 }] }, ...says('a virtual address') },
        ],
        default_filter_chain: says('redirected'),
      },
      { name: 'inbound', ...at('0.0.0.0', 16_002), filter_chains: [says('to the sidecar')] },
    ],
  },
}

/** Prints what a server says first, or why there is none. */
const ASK = `
const [host, port] = process.argv.slice(1)
require('node:net').connect(Number(port), host).on('data', data => process.stdout.write(data)).on('error', error => process.stdout.write(error.code))`
/** Prints the answer of a name server. */
const ASK_NAME = `
const socket = require('node:dgram').createSocket('udp4')
socket.on('message', (data, { address }) => { process.stdout.write(address + ' ' + data); socket.close() })
socket.send('who?', 53, process.argv[1])
setTimeout(() => socket.close(), 2_000).unref()`
const OUTSIDE_SERVER = `
const greet = socket => socket.on('error', () => {}).end('outside')
for (const port of [8000, 8001, 8002]) require('node:net').createServer(greet).listen(port, '${HAS_IPV6 ? '::' : '0.0.0.0'}', () => console.log('ready'))`

async function run(code: string, argv: readonly (string | number)[], options: object = {}): Promise<string> {
  return (await execute(process.execPath, ['-e', code, ...argv.map(String)], { timeout: 20_000, ...options })).stdout
}
const as = (uid: number) => ({ uid, gid: uid, env: { PATH: process.env['PATH'] } })
const ask = (host: string, port: number, uid = NOBODY): Promise<string> => run(ASK, [host, port], as(uid))

async function redirect(...flags: readonly string[]): Promise<string> {
  const argv = [BIN, 'connect', 'redirect-traffic', ...flags]
  return (await execute(process.execPath, argv, { env: { ...process.env, PATH: TOOLS } })).stdout
}

const RULES = ['-proxy-uid=0', '-proxy-inbound-port=16002', '-proxy-outbound-port=16001']
const FULL = [
  ...RULES,
  `-exclude-uid=${EXEMPT}`,
  '-exclude-outbound-port=8001',
  '-exclude-inbound-port=9001',
  '-consul-dns-ip=127.0.0.1',
  '-consul-dns-port=10053',
  ...(HAS_IPV6 ? ['-ipv6'] : []),
]

describe.runIf(TOOLS !== undefined)('rules of iptables', () => {
  const app = new TcpOrigin(socket => void socket.end('the application'))
  const names = createSocket('udp4')
  let outside: ReturnType<typeof spawn>

  const inForce = (): string =>
    ['iptables', 'ip6tables'].map(tool => execFileSync(join(TOOLS!, tool), ['-t', 'nat', '-S'], { encoding: 'utf8' })).join('')
  const fromOutside = (port: number): Promise<string> =>
    execute('nsenter', [`--net=/proc/${outside.pid}/ns/net`, process.execPath, '-e', ASK, HERE, String(port)]).then(({ stdout }) => stdout)

  beforeAll(async () => {
    outside = spawn('unshare', ['--net', process.execPath, '-e', OUTSIDE_SERVER], { stdio: ['ignore', 'pipe', 'inherit'] })
    await until('the outside world is there', () => String(outside.stdout!.read() ?? '').includes('ready'))
    const six = (address: string, dev: string): string[] => (HAS_IPV6 ? [`addr add ${address}/64 dev ${dev} nodad`] : [])
    const here = [`addr add ${HERE}/24 dev inner`, ...six(HERE_6, 'inner'), 'link set inner up', `route add default via ${OUTSIDE}`]
    for (const command of ['link set lo up', `link add inner type veth peer name outer netns ${outside.pid}`, ...here])
      execFileSync('ip', command.split(' '))
    for (const command of ['link set lo up', `addr add ${OUTSIDE}/24 dev outer`, ...six(OUTSIDE_6, 'outer'), 'link set outer up'])
      execFileSync('nsenter', [`--net=/proc/${outside.pid}/ns/net`, 'ip', ...command.split(' ')])
    if (HAS_IPV6) execFileSync('ip', ['-6', 'route', 'add', 'default', 'via', OUTSIDE_6])
    await app.listen()
    names.on('message', (_data, { port, address }) => names.send('the mesh', port, address))
    await new Promise<void>(resolve => names.bind(10_053, '127.0.0.1', resolve))
    await ProxyProcess.start({ bootstrap: BOOTSTRAP })
    await redirect(...FULL)
  })
  afterAll(async () => {
    await stopAll()
    outside.kill()
    names.close()
    await app.close()
  })

  it('hand what goes out to the proxy, which knows where it was made to', async () => {
    expect(await ask(OUTSIDE, 8000)).toBe('redirected')
    expect(await ask('10.216.3.4', 99)).toBe('a virtual address')
  })

  it.runIf(HAS_IPV6)('do so with IPv6', async () => {
    expect(await ask(OUTSIDE_6, 8000)).toBe('redirected')
    expect(await ask('fd00:216::9', 99)).toBe('a virtual address')
    expect(await ask(OUTSIDE_6, 8001)).toBe('outside')
  })

  it('leave alone the proxy, a user, a port, and what stays on the machine', async () => {
    expect(await ask(OUTSIDE, 8000, 0)).toBe('outside')
    expect(await ask(OUTSIDE, 8000, EXEMPT)).toBe('outside')
    expect(await ask(OUTSIDE, 8001)).toBe('outside')
    expect(await ask('127.0.0.1', app.port)).toBe('the application')
  })

  it('ask names of the mesh, whichever server is asked, but for the users that are left alone', async () => {
    for (const server of [OUTSIDE, '127.0.0.53']) expect(await run(ASK_NAME, [server], as(NOBODY))).toBe(`${server} the mesh`)
    expect(await run(ASK_NAME, [OUTSIDE], as(EXEMPT))).toBe('')
  })

  it('hand what comes in to the proxy, but for a port', async () => {
    expect(await fromOutside(app.port)).toBe('to the sidecar')
    expect(await fromOutside(9001)).toBe('ECONNREFUSED')
  })

  it('are others when they are said again, and are made once', async () => {
    await redirect(...RULES, `-exclude-outbound-cidr=${OUTSIDE}/32`, '-exclude-outbound-cidr=fd00::/16')
    const once = inForce()
    expect(await ask(OUTSIDE, 8000)).toBe('outside')
    expect(await ask('10.216.3.4', 99)).toBe('a virtual address')
    expect(await ask(HAS_IPV6 ? OUTSIDE_6 : OUTSIDE, 8000)).toBe('outside')
    await redirect(...RULES, `-exclude-outbound-cidr=${OUTSIDE}/32`, '-exclude-outbound-cidr=fd00::/16')
    expect(inForce()).toBe(once)
  })

  it('are undone, as often as one likes', async () => {
    expect(await redirect('-undo')).toContain('no longer')
    expect(await redirect('-undo')).toContain('no longer')
    expect(await ask(OUTSIDE, 8000)).toBe('outside')
    expect(inForce()).not.toContain('OUTRIGGER')
  })
})

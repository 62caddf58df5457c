// What redirection adds to a new connection: `node bench/transparent.mjs` as root on Linux, after `npm run build`; ENVOY_BIN measures Envoy too.
// In a network namespace one client makes connections in turns: to a TCP listener of the proxy itself, and to a virtual address that the
// kernel redirects to a second listener with `original_dst`, of one proxy and one cluster. The difference of a pair is what it costs: rules,
// connection tracking, the question to the kernel, and the chain that is looked for among a thousand.
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const PAIRS = 4_000
const WARM_UP = 500
const SERVICES = 1_000
const NOBODY = 65_534
const [ORIGIN, DIRECT, REDIRECTED, ADMIN] = [29_000, 29_001, 15_001, 29_002]
const VIRTUAL = '240.0.0.7'
const INSIDE = 'OUTRIGGER_BENCH_NAMESPACE'

const tcpProxy = cluster => ({
  name: 'tcp',
  typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy', stat_prefix: 's', cluster },
})
const address = (port, host = '127.0.0.1') => ({ socket_address: { address: host, port_value: port } })
const chain = i => ({
  name: `service-${i}`,
  filter_chain_match: { prefix_ranges: [{ address_prefix: `240.0.${i >> 8}.${i & 255}`, prefix_len: 32 }] },
  filters: [tcpProxy('origin')],
})
const BOOTSTRAP = {
  admin: { address: address(ADMIN) },
  static_resources: {
    listeners: [
      { name: 'direct', address: address(DIRECT), filter_chains: [{ filters: [tcpProxy('origin')] }] },
      {
        name: 'redirected',
        address: address(REDIRECTED),
        listener_filters: [
          {
            name: 'original_dst',
            typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst' },
          },
        ],
        filter_chains: Array.from({ length: SERVICES }, (_, i) => chain(i)),
      },
    ],
    clusters: [
      {
        name: 'origin',
        type: 'STATIC',
        connect_timeout: '5s',
        load_assignment: { cluster_name: 'origin', endpoints: [{ lb_endpoints: [{ endpoint: { address: address(ORIGIN) } }] }] },
      },
    ],
  },
}

/** Milliseconds from the call to the first byte of the server, which speaks first. */
function connection(host, port) {
  return new Promise((resolve, reject) => {
    const started = performance.now()
    const socket = net.connect({ host, port })
    socket.once('data', () => {
      const took = performance.now() - started
      socket.destroy()
      resolve(took)
    })
    socket.once('error', reject)
  })
}

const quantile = (values, share) => values.toSorted((a, b) => a - b)[Math.floor(values.length * share)]

async function measure() {
  process.setgid(NOBODY)
  process.setuid(NOBODY)
  const [direct, redirected] = [[], []]
  for (let i = 0; i < WARM_UP + PAIRS; i++) {
    // Which is first changes from pair to pair.
    const order = [() => connection('127.0.0.1', DIRECT), () => connection(VIRTUAL, 80)]
    const times = []
    for (const which of i % 2 === 0 ? [0, 1] : [1, 0]) times[which] = await order[which]()
    if (i < WARM_UP) continue
    direct.push(times[0])
    redirected.push(times[1])
  }
  const ms = value => value.toFixed(3)
  const difference = redirected.map((took, i) => took - direct[i])
  console.log(
    `direct p50 ${ms(quantile(direct, 0.5))} ms, redirected p50 ${ms(quantile(redirected, 0.5))} ms, added p50 ${ms(quantile(difference, 0.5))} ms`,
  )
}

async function run() {
  for (const command of ['link set lo up', 'addr add 10.9.9.9/32 dev lo', 'route add default dev lo src 10.9.9.9'])
    spawnSync('ip', command.split(' '))
  const rules = spawnSync(process.execPath, [
    join(import.meta.dirname, '../bin/outrigger'),
    ...['connect', 'redirect-traffic', '-proxy-uid', '0', '-proxy-inbound-port', '29003'],
  ])
  if (rules.status !== 0) throw new Error(String(rules.stderr))
  net.createServer(socket => socket.end('x')).listen(ORIGIN, '127.0.0.1')
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-bench-'))
  const file = join(folder, 'bootstrap.json')
  writeFileSync(file, JSON.stringify(BOOTSTRAP))
  const proxies = [['Outrigger', join(import.meta.dirname, '../bin/outrigger-proxy'), ['--disable-hot-restart']]]
  if (process.env.ENVOY_BIN) proxies.push(['Envoy', process.env.ENVOY_BIN, ['--concurrency', '1', '--use-dynamic-base-id']])
  for (const [name, bin, flags] of proxies) {
    const proxy = spawn(bin, ['-c', file, '-l', 'error', ...flags], { stdio: 'inherit' })
    try {
      for (;;) {
        const ready = await fetch(`http://127.0.0.1:${ADMIN}/ready`).catch(() => null)
        if (ready?.status === 200) break
        await new Promise(resolve => setTimeout(resolve, 50))
      }
      process.stdout.write(`${name}: `)
      const client = spawn(process.execPath, [import.meta.filename ?? process.argv[1], 'client'], { stdio: 'inherit' })
      await new Promise(resolve => client.once('exit', resolve))
    } finally {
      proxy.kill()
      await new Promise(resolve => proxy.once('exit', resolve))
    }
  }
  rmSync(folder, { recursive: true })
  process.exit(0)
}

if (process.argv[2] === 'client') await measure()
else if (process.env[INSIDE] === '1') await run()
else {
  const argv = ['--net', process.execPath, ...process.argv.slice(1)]
  process.exit(spawnSync('unshare', argv, { stdio: 'inherit', env: { ...process.env, [INSIDE]: '1' } }).status ?? 1)
}

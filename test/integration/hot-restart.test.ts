// Hot restart as Envoy's command line asks for it: the next epoch takes the listening sockets, under load, with one process and with workers;
// the old one drains, tells what it counted and ends; a new one that fails, or that is killed, changes nothing.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { fetchOnce, Http1Client } from '../support/http1-client.js'
import { HttpOrigin, http } from '../support/origins.js'
import {
  freePort,
  hcm,
  listener,
  ProxyProcess,
  proxyBin,
  routesTo,
  socketAddress,
  staticCluster,
  stopAll,
  until,
} from '../support/proxy-process.js'
import { SteadyTraffic } from '../support/steady-traffic.js'

const RESTARTS = Number(process.env['RESTARTS'] ?? 2)
const DRAIN_S = 1
const PARENT_SHUTDOWN_S = 2
/** Where something is looked at meanwhile. */
const LATER_S = 10

const origin = new HttpOrigin((_, socket) => void socket.write(http('ok')))
let folder = ''
let port = 0
let adminPort = 0
let baseId = 0

beforeAll(() => origin.listen())
afterAll(() => origin.close())
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'outrigger-restart-'))
  port = await freePort()
  adminPort = await freePort()
  baseId = Math.floor(Math.random() * 2 ** 30)
})
afterEach(async () => {
  await stopAll()
  rmSync(folder, { recursive: true, force: true })
})

function config(name: string, more: object = {}, listeners: readonly object[] = []): string {
  const path = join(folder, name)
  const bootstrap = {
    admin: { address: socketAddress(adminPort) },
    // What the sinks were told is not told again: here nothing was.
    stats_flush_interval: '60s',
    static_resources: {
      listeners: [
        listener('front', port, [hcm({ route_config: routesTo('app') })]),
        {
          name: 'pipe',
          address: { pipe: { path: join(folder, 'pipe') } },
          filter_chains: [{ filters: [hcm({ route_config: routesTo('app'), stat_prefix: 'pipe' })] }],
        },
        ...listeners,
      ],
      clusters: [staticCluster('app', origin.port)],
    },
    ...more,
  }
  writeFileSync(path, JSON.stringify(bootstrap))
  return path
}

function start(epoch: number, path: string, flags: readonly string[] = [], shutdownS = PARENT_SHUTDOWN_S): Promise<ProxyProcess> {
  const own = ['--restart-epoch', String(epoch), '--base-id', String(baseId), '--socket-path', join(folder, 'hot')]
  const times = ['--drain-time-s', String(DRAIN_S), '--parent-shutdown-time-s', String(shutdownS)]
  return ProxyProcess.start({ bootstrap: {}, adminPort, untilReady: false, argv: ['-c', path, ...own, ...times, ...flags] })
}

const epochServing = (proxy: ProxyProcess, epoch: number) =>
  until(`epoch ${epoch} answers the admin`, async () => (await proxy.json('/server_info')).command_line_options.restart_epoch === epoch)

async function first(flags: readonly string[] = []): Promise<ProxyProcess> {
  const proxy = await start(0, config('a.json'), flags)
  await proxy.ready()
  return proxy
}

describe('hot restart', () => {
  it.each([
    ['one process', []],
    ['two workers', ['--concurrency', '2']],
  ])('loses no connection under load, with %s', { timeout: 180_000 }, async (_name, flags) => {
    let proxy = await first(flags)
    const kept = new SteadyTraffic(port, 4)
    const fresh = new SteadyTraffic(port, 4, false)
    for (let epoch = 1; epoch <= RESTARTS; epoch++) {
      await fresh.more(20)
      const next = await start(epoch, config('a.json'), flags)
      await epochServing(next, epoch)
      await Promise.all([fresh.more(50), kept.more(50)])
      expect([...kept.failures, ...fresh.failures]).toEqual([])
      expect((await proxy.exit).code).toBe(0)
      proxy = next
    }
    await Promise.all([fresh.stop(), kept.stop()])
    expect([...kept.failures, ...fresh.failures]).toEqual([])
    expect(await proxy.stat('server.hot_restart_epoch')).toBe(RESTARTS)
    expect(await proxy.stat('server.hot_restart_generation')).toBe(RESTARTS + 1)
    expect((await proxy.stop()).code).toBe(0)
  })

  it('goes on counting what the old process has in hand, until it ends', async () => {
    const old = await first()
    const client = await Http1Client.connect(port)
    expect((await client.get('/')).status).toBe(200)
    const next = await start(1, config('a.json'), [], LATER_S)
    await epochServing(next, 1)
    await next.untilStat('server.parent_connections', value => value === 1)
    expect(await next.stat('http.ingress.downstream_cx_active')).toBe(1)
    expect(await next.stat('http.ingress.downstream_rq_total')).toBe(1)
    const info = await next.json('/server_info')
    expect(info.hot_restart_version).toBe('outrigger.1')
    expect((await next.get('/hot_restart_version')).body).toBe('outrigger.1\n')
    expect(Number.parseInt(info.uptime_all_epochs, 10)).toBeGreaterThanOrEqual(Number.parseInt(info.uptime_current_epoch, 10))
    client.destroy()
    await old.exit
    await next.untilStat('server.parent_connections', value => value === 0)
    expect(await next.stat('http.ingress.downstream_cx_active')).toBe(0)
    expect(await next.stat('http.ingress.downstream_rq_total')).toBe(1)
    // The socket of the file system is the new one's.
    const socket = connect(join(folder, 'pipe'))
    await once(socket, 'connect')
    socket.destroy()
  })

  it('asks the clients of the old process to leave, and takes its time with the others', async () => {
    const old = await first()
    const client = await Http1Client.connect(port)
    expect((await client.get('/')).headers.has('connection')).toBe(false)
    const next = await start(1, config('a.json'), [], LATER_S)
    await epochServing(next, 1)
    await until('an answer that closes', async () => (await client.get('/')).headers.get('connection') === 'close')
    expect((await old.exit).code).toBe(0)
  })

  it('changes nothing where the new process cannot start', async () => {
    const old = await first()
    const traffic = new SteadyTraffic(port, 2, false)
    const taken = origin.port
    const cases: [string, number, RegExp][] = [
      [config('bad.json', { static_resources: { clusters: [{ name: '' }] } }), 1, /static_resources\.clusters\[0\]/],
      [config('bound.json', {}, [listener('taken', taken, [hcm({ route_config: routesTo('app') })])]), 1, /already in use/],
      [config('a.json'), 2, /there is no process of epoch 1/],
    ]
    for (const [path, epoch, reason] of cases) {
      const run = await (await start(epoch, path)).exit
      expect([run.code, run.stderr]).toEqual([1, expect.stringMatching(reason)])
      await traffic.more(20)
      expect(await old.stat('server.hot_restart_epoch')).toBe(0)
      expect(await old.stat('server.live')).toBe(1)
    }
    // One that is killed while it starts: it waits for a control plane that never answers, and has the sockets already.
    const dynamic = {
      node: { id: 'n', cluster: 'c' },
      dynamic_resources: { lds_config: { ads: {}, initial_fetch_timeout: '0s' }, ads_config: ads() },
    }
    const waiting = await start(1, config('waits.json', dynamic))
    await old.untilLog('epoch 1 starts and takes the listening sockets')
    await waiting.kill()
    await old.untilLog('ended before it served')
    await traffic.stop()
    expect(traffic.failures.length).toBeLessThanOrEqual(2)
    // And then one that can.
    const next = await start(1, config('a.json'))
    await epochServing(next, 1)
    expect((await fetchOnce(port, '/')).status).toBe(200)
  })

  it('starts without the old process where the command line says so', async () => {
    const proxy = await start(1, config('a.json'), ['--skip-hot-restart-on-no-parent'])
    await proxy.ready()
    await proxy.untilLog(`there is no process of epoch 0 with base id ${baseId}`)
    expect(await proxy.stat('server.hot_restart_epoch')).toBe(1)
  })

  it('serves on when the old process is killed in the middle of its drain', async () => {
    const old = await first()
    const next = await start(1, config('a.json'))
    await epochServing(next, 1)
    await old.kill()
    expect((await fetchOnce(port, '/')).status).toBe(200)
    await next.untilStat('server.parent_connections', value => value === 0)
    const third = await start(2, config('a.json'))
    await epochServing(third, 2)
    expect((await next.exit).code).toBe(0)
  })

  it('picks a base id of its own and writes it down', async () => {
    const path = join(folder, 'base-id')
    const proxy = await ProxyProcess.start({
      bootstrap: {},
      adminPort,
      argv: ['-c', config('a.json'), '--use-dynamic-base-id', '--base-id-path', path, '--socket-path', join(folder, 'hot')],
    })
    const written = Number(readFileSync(path, 'utf8'))
    const { base_id, use_dynamic_base_id } = (await proxy.json('/server_info')).command_line_options
    expect([base_id, use_dynamic_base_id]).toEqual([String(written), true])
    baseId = written
    const next = await start(1, config('a.json'))
    await epochServing(next, 1)
  })

  it('works through the launcher of the examples, signal by signal', async () => {
    const script = join(folder, 'start.sh')
    const times = `--drain-time-s ${DRAIN_S} --parent-shutdown-time-s ${PARENT_SHUTDOWN_S}`
    const flags = `--base-id ${baseId} --socket-path ${join(folder, 'hot')} ${times}`
    const path = config('a.json')
    writeFileSync(script, `#!/bin/sh\nexec ${proxyBin} -c ${path} --restart-epoch $RESTART_EPOCH ${flags}\n`, { mode: 0o755 })
    const launcher = spawnLauncher(script)
    const exit = new Promise<number | null>(resolve => launcher.once('exit', resolve))
    await until('epoch 0', async () => (await epochOf()) === 0)
    launcher.kill('SIGHUP')
    await until('epoch 1', async () => (await epochOf()) === 1)
    writeFileSync(path, '{')
    launcher.kill('SIGHUP')
    await until('the one that failed', () => launcher.text.includes('epoch 2 ended: exit code 1'))
    expect((await fetchOnce(port, '/')).status).toBe(200)
    launcher.kill('SIGTERM')
    expect(await exit).toBe(0)
    await expect(fetchOnce(port, '/')).rejects.toThrow()
  })
})

function ads(): object {
  return { api_type: 'GRPC', transport_api_version: 'V3', grpc_services: [{ envoy_grpc: { cluster_name: 'app' } }] }
}

async function epochOf(): Promise<number> {
  const answer = await fetchOnce(adminPort, '/server_info')
  return JSON.parse(answer.body).command_line_options.restart_epoch
}

function spawnLauncher(script: string): ChildProcess & { text: string } {
  const launcher = fileURLToPath(new URL('../../examples/hot-restart/hot-restarter.mjs', import.meta.url))
  const child = Object.assign(spawn(process.execPath, [launcher, script], { stdio: ['ignore', 'ignore', 'pipe'] }), { text: '' })
  child.stderr!.on('data', chunk => (child.text += chunk))
  return child
}

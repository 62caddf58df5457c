// The overload manager of a real process, whose pressure a file says: what each action does to connections and requests, and its stats.
// Where ENVOY_BIN is set the real Envoy goes through the same, and the observations must be equal; what has no equal in it (clients that
// wait while nobody is accepted: the kernel's queue there) is looked at on our side alone.
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Http1Client } from '../support/http1-client.js'
import { freePort, hcm, listener, ProxyProcess, stopAll, until } from '../support/proxy-process.js'

const envoyBin = process.env['ENVOY_BIN']
const TYPES = 'type.googleapis.com/envoy'
const INJECTED = 'envoy.resource_monitors.injected_resource'
const CONNECTIONS = 'envoy.resource_monitors.global_downstream_max_connections'
const MAX_CONNECTIONS = 8

const action = (name: string, trigger: object, more: object = {}) => ({
  name: `envoy.overload_actions.${name}`,
  triggers: [{ name: INJECTED, ...trigger }],
  ...more,
})
const from = (value: number) => ({ threshold: { value } })

class World {
  readonly folder = mkdtempSync(join(tmpdir(), 'overload-'))
  port = 0
  proxy!: ProxyProcess
  readonly clients: Http1Client[] = []

  async start(bin: string | null, flags: readonly string[] = []): Promise<void> {
    writeFileSync(join(this.folder, 'pressure'), '0.0')
    this.port = await freePort()
    const answers = {
      virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, direct_response: { status: 200 } }] }],
    }
    this.proxy = await ProxyProcess.start({
      ...(bin === null ? { flags } : { bin, flags: ['--concurrency', '1', '-l', 'error'] }),
      bootstrap: {
        static_resources: { listeners: [listener('in', this.port, [hcm({ route_config: answers, append_local_overload: true })])] },
        overload_manager: {
          refresh_interval: '0.02s',
          resource_monitors: [
            {
              name: INJECTED,
              typed_config: {
                '@type': `${TYPES}.extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig`,
                filename: join(this.folder, 'pressure'),
              },
            },
            {
              name: CONNECTIONS,
              typed_config: {
                '@type': `${TYPES}.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig`,
                max_active_downstream_connections: MAX_CONNECTIONS,
              },
            },
          ],
          actions: [
            action(
              'reduce_timeouts',
              { scaled: { scaling_threshold: 0.1, saturation_threshold: 0.4 } },
              {
                typed_config: {
                  '@type': `${TYPES}.config.overload.v3.ScaleTimersOverloadActionConfig`,
                  timer_scale_factors: [{ timer: 'HTTP_DOWNSTREAM_CONNECTION_IDLE', min_timeout: '0.1s' }],
                },
              },
            ),
            action('disable_http_keepalive', from(0.5)),
            action('stop_accepting_requests', from(0.7)),
            action('stop_accepting_connections', from(0.8)),
            action('reject_incoming_connections', from(0.75)),
          ],
        },
      },
    })
  }

  async press(pressure: number): Promise<void> {
    const next = join(this.folder, 'next')
    writeFileSync(next, String(pressure))
    renameSync(next, join(this.folder, 'pressure'))
    await this.proxy.untilStat(`overload.${INJECTED}.pressure`, value => value === Math.trunc(pressure * 100))
  }

  async connect(): Promise<Http1Client> {
    const client = await Http1Client.connect(this.port)
    this.clients.push(client)
    return client
  }

  async leave(): Promise<void> {
    for (const client of this.clients.splice(0)) client.destroy()
    await this.proxy.untilStat('http.ingress.downstream_cx_active', value => value === 0)
  }

  stat(name: string): Promise<number> {
    return this.proxy.stat(name)
  }
}

const OURS = 'Outrigger'
const worlds = new Map<string, World>()

beforeAll(async () => {
  for (const [name, bin] of [[OURS, null], ...(envoyBin === undefined ? [] : [['Envoy', envoyBin] as const])] as const) {
    const world = new World()
    worlds.set(name, world)
    await world.start(bin)
  }
})

afterAll(async () => {
  await stopAll()
  for (const { folder } of worlds.values()) rmSync(folder, { recursive: true, force: true })
})

/** The same in both, and as it should be. */
async function both(expected: unknown, observe: (world: World) => Promise<unknown>): Promise<void> {
  for (const [name, world] of worlds) {
    const seen = await observe(world)
    await world.leave()
    expect(seen, name).toEqual(expected)
  }
}

describe('the overload manager', () => {
  it('does nothing without pressure', async () => {
    await both([200, undefined, 0, 0], async world => {
      const answer = await (await world.connect()).get('/')
      const stats = await Promise.all(
        ['envoy.overload_actions.stop_accepting_requests.active', 'envoy.overload_actions.stop_accepting_requests.scale_percent'].map(
          name => world.stat(`overload.${name}`),
        ),
      )
      return [answer.status, answer.headers.get('connection'), ...stats]
    })
  })

  it('closes a client over the most connections of the whole proxy', async () => {
    await both([200, 0, true], async world => {
      const statuses: number[] = []
      for (let i = 0; i <= MAX_CONNECTIONS; i++) {
        const client = await world.connect()
        statuses.push(
          await client.get('/').then(
            answer => answer.status,
            () => 0,
          ),
        )
      }
      // Envoy counts the clients of its admin too.
      const overflow = await world.stat(`listener.127.0.0.1_${world.port}.downstream_global_cx_overflow`)
      return [statuses[0], statuses[MAX_CONNECTIONS], overflow > 0]
    })
  })

  it('shortens the idle timeout of a connection that is idle already', async () => {
    await both([1, 100], async world => {
      const client = await world.connect()
      await client.get('/')
      await world.press(0.4)
      await client.untilClosed()
      const percent = await world.stat('overload.envoy.overload_actions.reduce_timeouts.scale_percent')
      return [await world.stat('http.ingress.downstream_cx_idle_timeout'), percent]
    })
  })

  it('ends HTTP/1 connections with their next answer', async () => {
    await both([200, 'close', 1], async world => {
      await world.press(0.5)
      const client = await world.connect()
      const answer = await client.get('/')
      await client.untilClosed()
      return [answer.status, answer.headers.get('connection'), await world.stat('http.ingress.downstream_cx_overload_disable_keepalive')]
    })
  })

  it('answers requests with 503', async () => {
    const fields = ['connection', 'content-length', 'content-type', 'server', 'x-envoy-local-overloaded']
    await both([503, 'envoy overloaded', fields, 1, 1], async world => {
      await world.press(0.7)
      const answer = await (await world.connect()).get('/')
      return [
        answer.status,
        answer.body,
        [...answer.headers.keys()].filter(name => name !== 'date').sort(),
        await world.stat('http.ingress.downstream_rq_overload_close'),
        await world.stat('overload.envoy.overload_actions.stop_accepting_requests.active'),
      ]
    })
  })

  it('closes new connections unread', async () => {
    await both([0, 1], async world => {
      await world.press(0.75)
      const client = await world.connect()
      await client.untilClosed()
      return [client.bytes, await world.stat(`listener.127.0.0.1_${world.port}.downstream_cx_overload_reject`)]
    })
  })

  it('lets clients wait while nobody is accepted, and serves them afterwards', async () => {
    const world = worlds.get(OURS)!
    await world.press(0.8)
    const client = await world.connect()
    const answer = client.get('/')
    const before = await world.stat('http.ingress.downstream_cx_total')
    await world.press(0)
    expect((await answer).status).toBe(200)
    expect(await world.stat('http.ingress.downstream_cx_total')).toBe(before + 1)
    await world.leave()
  })

  it('serves as ever when the pressure is gone', async () => {
    await both([200, undefined], async world => {
      await world.press(0)
      const answer = await (await world.connect()).get('/')
      return [answer.status, answer.headers.get('connection')]
    })
  })

  it('is measured by one process for all workers', async () => {
    const world = new World()
    worlds.set('workers', world)
    await world.start(null, ['--concurrency', '2'])
    const statuses = async (): Promise<number[]> => {
      const clients = await Promise.all(Array.from({ length: 4 }, () => world.connect()))
      return (await Promise.all(clients.map(client => client.get('/')))).map(({ status }) => status)
    }
    expect(await statuses()).toEqual([200, 200, 200, 200])
    await world.leave()
    await world.press(0.7)
    await until('both workers refuse', async () => (await statuses()).every(status => status === 503))
    await until('what they refused is counted', async () => (await world.stat('http.ingress.downstream_rq_overload_close')) >= 4)
    await world.press(0)
    await until('both serve', async () => (await statuses()).every(status => status === 200))
  })

  it('shows the same stats as Envoy', async () => {
    const names = async (world: World): Promise<string[]> =>
      [...(await world.proxy.stats()).keys()].filter(name => name.startsWith('overload.')).sort()
    const ours = await names(worlds.get(OURS)!)
    expect(ours).toContain(`overload.${INJECTED}.failed_updates`)
    const envoy = worlds.get('Envoy')
    if (envoy !== undefined) expect(ours).toEqual(await names(envoy))
  })
})

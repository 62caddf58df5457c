// Outlier detection through the real proxy: each detector ejects what it should, only that, and says which one it was; enforcement,
// the ejection limit, and the ways back.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { endpoint, Front, Lettered, localities, panicOff, to } from '../support/front-proxy.js'
import { http } from '../support/origins.js'
import { assignment, freePort, stopAll, until } from '../support/proxy-process.js'

const apps = new Lettered(3)
let front: Front

/** Everything that is not under test is far away; no sweep but where a detector needs one. */
const quiet = {
  interval: '1000s',
  base_ejection_time: '1000s',
  max_ejection_time: '1000s',
  max_ejection_percent: 100,
  consecutive_5xx: 1000,
  consecutive_gateway_failure: 1000,
  enforcing_success_rate: 0,
  enforcing_failure_percentage: 0,
}
const ring = { lb_policy: 'RING_HASH' }
const by = { hash_policy: [{ header: { header_name: 'x-to' } }] }
/** x-to -> the letter it lands on, on a ring of all three. */
const keys = new Map<string, string>()

const detected = (name: string, detection: object, more: object = {}): object =>
  localities(name, [{ lb_endpoints: apps.ports.map(port => endpoint(port)) }], {
    outlier_detection: { ...quiet, ...detection },
    ...panicOff,
    ...ring,
    ...more,
  })

beforeAll(async () => {
  await apps.listen()
  const down = await freePort()
  const split = { split_external_local_origin_errors: true, consecutive_local_origin_failure: 3 }
  const clusters = [
    detected('five', { consecutive_5xx: 3 }),
    detected('gateway', { consecutive_gateway_failure: 3, enforcing_consecutive_gateway_failure: 100 }),
    detected('split', { consecutive_5xx: 5, enforcing_consecutive_5xx: 0, ...split }),
    detected('local', { consecutive_5xx: 3, ...split }, { load_assignment: assignment('local', [down]) }),
    detected('joined', { consecutive_5xx: 3 }),
    detected('rate', {
      interval: '0.05s',
      enforcing_success_rate: 100,
      success_rate_minimum_hosts: 3,
      success_rate_request_volume: 5,
      success_rate_stdev_factor: 1000,
    }),
    detected('share', {
      interval: '0.05s',
      enforcing_failure_percentage: 100,
      failure_percentage_threshold: 50,
      failure_percentage_minimum_hosts: 3,
      failure_percentage_request_volume: 5,
    }),
    detected('lenient', { consecutive_5xx: 3, enforcing_consecutive_5xx: 0 }),
    detected('capped', { consecutive_5xx: 2, max_ejection_percent: 34 }),
    detected('brief', { consecutive_5xx: 2, interval: '0.05s', base_ejection_time: '0.3s' }),
    detected(
      'checked',
      { consecutive_5xx: 2 },
      {
        health_checks: [
          {
            timeout: '5s',
            interval: '0.05s',
            no_traffic_interval: '0.05s',
            unhealthy_threshold: 1000,
            healthy_threshold: 1,
            tcp_health_check: {},
          },
        ],
      },
    ),
  ]
  front = await Front.start({
    routes: clusters.map(cluster => to(`/${(cluster as { name: string }).name}`, (cluster as { name: string }).name, by)),
    clusters,
  })
  for (let i = 0; keys.size < 3; i++) {
    const { body } = await front.ask('/five', { headers: { 'x-to': `k${i}` } })
    if (![...keys.values()].includes(body)) keys.set(`k${i}`, body)
  }
})

afterAll(async () => {
  await stopAll()
  await apps.close()
})

beforeEach(() => apps.reset())

const keyOf = (letter: string): string => [...keys].find(([, found]) => found === letter)![0]
const at = (cluster: string, letter: string) => front.ask(`/${cluster}`, { headers: { 'x-to': keyOf(letter) } })
const fails = (letter: string, status: string): void => {
  apps.origins[letter.charCodeAt(0) - 97]!.respond = (_, socket) => void socket.write(http('', status))
}
const resets = (letter: string): void => {
  apps.origins[letter.charCodeAt(0) - 97]!.respond = (_, socket) => void socket.destroy()
}
const stat = (cluster: string, name: string): Promise<number> => front.proxy.stat(`cluster.${cluster}.outlier_detection.${name}`)
/** Sends to `letter` until one endpoint is out. */
const untilEjected = (cluster: string, letter: string): Promise<unknown> =>
  until(`${cluster}: an ejection`, async () => {
    await at(cluster, letter)
    return (await stat(cluster, 'ejections_active')) === 1
  })

describe('consecutive failures', () => {
  it.each([
    ['five', '500 Oops', 'consecutive_5xx'],
    ['gateway', '503 Busy', 'consecutive_gateway_failure'],
  ])('%s: the third in a row ejects; a success in between starts again', async (cluster, status, kind) => {
    fails('a', status)
    for (let i = 0; i < 2; i++) await at(cluster, 'a')
    apps.reset()
    await at(cluster, 'a')
    fails('a', status)
    for (let i = 0; i < 2; i++) await at(cluster, 'a')
    expect(await stat(cluster, 'ejections_active')).toBe(0)
    await at(cluster, 'a')
    expect(await stat(cluster, 'ejections_active')).toBe(1)
    expect(await stat(cluster, `ejections_enforced_${kind}`)).toBe(1)
    // Its keys go elsewhere; those of the others mostly stay (a smaller ring has more points for each of them).
    for (const letter of ['a', 'b', 'c']) expect((await at(cluster, letter)).body).toMatch(/^[bc]$/)
    expect((await front.proxy.get('/clusters')).body).toContain(
      `${cluster}::127.0.0.1:${apps.ports[0]}::health_flags::/failed_outlier_check`,
    )
  })

  it('gateway: a 500 is no gateway failure', async () => {
    fails('b', '500 Oops')
    for (let i = 0; i < 5; i++) await at('gateway', 'b')
    expect(await stat('gateway', 'ejections_detected_consecutive_gateway_failure')).toBe(1)
  })

  it('local: connections that are refused, told apart from what a server says or does later', async () => {
    for (let i = 0; i < 3; i++) expect((await front.ask('/local')).body).toMatch(/remote connection failure/)
    expect((await front.ask('/local')).body).toBe('no healthy upstream')
    expect(await stat('local', 'ejections_enforced_consecutive_local_origin_failure')).toBe(1)
    expect(await stat('local', 'ejections_enforced_consecutive_5xx')).toBe(0)
    fails('a', '500 Oops')
    resets('b')
    for (let i = 0; i < 5; i++) await Promise.all([at('split', 'a'), at('split', 'b')])
    expect(await stat('split', 'ejections_detected_consecutive_local_origin_failure')).toBe(0)
    expect(await stat('split', 'ejections_detected_consecutive_5xx')).toBe(1)
  })

  it('joined: without the split a reset counts as a 5xx', async () => {
    resets('c')
    for (let i = 0; i < 3; i++) await at('joined', 'c')
    expect(await stat('joined', 'ejections_enforced_consecutive_5xx')).toBe(1)
  })
})

describe('compared with the others, at the end of an interval', () => {
  it.each([
    ['rate', 'success_rate'],
    ['share', 'failure_percentage'],
  ])('%s', async (cluster, kind) => {
    fails('c', '500 Oops')
    await until('an ejection', async () => {
      // An interval needs its volume on every host, whenever it ends.
      await Promise.all(Array.from({ length: 36 }, (_unused, i) => at(cluster, 'abc'[i % 3]!)))
      return (await stat(cluster, `ejections_enforced_${kind}`)) > 0
    })
    expect(await stat(cluster, 'ejections_active')).toBe(1)
    expect((await at(cluster, 'c')).body).toMatch(/^[ab]$/)
  })
})

describe('enforcement and limit', () => {
  it('lenient: enforcing 0 detects and ejects nobody', async () => {
    fails('a', '500 Oops')
    for (let i = 0; i < 4; i++) await at('lenient', 'a')
    expect(await stat('lenient', 'ejections_detected_consecutive_5xx')).toBe(1)
    expect(await stat('lenient', 'ejections_active')).toBe(0)
  })

  it('capped: max_ejection_percent keeps the second one in', async () => {
    fails('a', '500 Oops')
    fails('b', '500 Oops')
    for (let i = 0; i < 3; i++) await at('capped', 'a')
    expect(await stat('capped', 'ejections_active')).toBe(1)
    // Keys of every kind: those of `b` may have moved with the smaller ring.
    for (let i = 0; i < 40; i++) await front.ask('/capped', { headers: { 'x-to': `any${i}` } })
    expect(await stat('capped', 'ejections_active')).toBe(1)
    expect(await stat('capped', 'ejections_overflow')).toBeGreaterThan(0)
  })
})

describe('the way back', () => {
  it('brief: after base_ejection_time', async () => {
    fails('a', '500 Oops')
    await untilEjected('brief', 'a')
    apps.reset()
    await front.proxy.untilStat('cluster.brief.outlier_detection.ejections_active', value => value === 0)
    await until('a serves its keys again', async () => (await at('brief', 'a')).body === 'a')
  })

  it('checked: after a passed health check, long before its time', async () => {
    fails('b', '500 Oops')
    await until('an ejection', async () => {
      await at('checked', 'b')
      return (await stat('checked', 'ejections_enforced_total')) > 0
    })
    apps.reset()
    await front.proxy.untilStat('cluster.checked.outlier_detection.ejections_active', value => value === 0)
    await until('b serves its keys again', async () => (await at('checked', 'b')).body === 'b')
  })
})

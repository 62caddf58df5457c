// Machines whose clocks are set: a control plane that shares etcd with another jumps by hours and back, under libfaketime. What is measured is
// measured on the monotonic clock, so nothing ends early, hangs or gets lost. Skipped by name where libfaketime or etcd is not installed.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ControlPlaneProcess } from '../support/control-plane-process.js'
import { EtcdCluster, etcdBin } from '../support/etcd-cluster.js'
import { until } from '../support/proxy-process.js'

const faketime = ['x86_64', 'aarch64']
  .map(machine => `/usr/lib/${machine}-linux-gnu/faketime/libfaketimeMT.so.1`)
  .find(library => existsSync(library))
const outrigger = fileURLToPath(new URL('../../bin/outrigger', import.meta.url))

class Replica extends ControlPlaneProcess {
  private readonly clockFile = join(this.dir, 'clock')

  /** As `date` understands it: `+3h`. */
  setClock(offset: string): void {
    writeFileSync(this.clockFile, `${offset}\n`)
  }

  async start(store: string): Promise<this> {
    await this.choosePorts()
    this.setClock('+0')
    const clock = [
      `LD_PRELOAD=${faketime}`,
      `FAKETIME_TIMESTAMP_FILE=${this.clockFile}`,
      'FAKETIME_NO_CACHE=1',
      'FAKETIME_DONT_FAKE_MONOTONIC=1',
    ]
    const addresses = ['--http-addr', `127.0.0.1:${this.httpPort}`, '--grpc-addr', `127.0.0.1:${this.grpcPort}`, '--dns-addr', 'off']
    const argv = [...clock, process.execPath, outrigger, 'control', '--store', store, '--log-level', 'warn', ...addresses]
    await this.run('/usr/bin/env', argv, '/v1/status/leader', 90_000)
    return this
  }

  async ask<T>(method: string, path: string, body?: object): Promise<T> {
    return JSON.parse((await this.request(method, path, body)).text) as T
  }

  /** What it says the time is. */
  async hour(): Promise<number> {
    return Date.parse((await fetch(`${this.url}/v1/status/leader`)).headers.get('date')!) / 3_600_000
  }
}

describe.skipIf(etcdBin === undefined || faketime === undefined)('clocks that jump (etcd or libfaketime is not installed here)', () => {
  let etcd: EtcdCluster
  let jumping: Replica
  let steady: Replica

  beforeAll(async () => {
    etcd = await EtcdCluster.start()
    jumping = await new Replica('outrigger-jumping-').start(etcd.url)
    steady = await new Replica('outrigger-steady-').start(etcd.url)
  }, 120_000)
  afterAll(async () => {
    await Promise.all([jumping.stop(), steady.stop()])
    await etcd.stop()
  })

  it('lose no write, no lock and no session, whichever of the two is asked', async () => {
    const { ID } = await jumping.ask<{ ID: string }>('PUT', '/v1/session/create', { TTL: '15s' })
    expect(await steady.ask('PUT', `/v1/kv/lock?acquire=${ID}`, {})).toBe(true)
    const began = await steady.hour()
    for (const [i, [offset, hours]] of (
      [
        ['+3h', 3],
        ['-30h', -30],
        ['+400h', 400],
        ['+0', 0],
      ] as const
    ).entries()) {
      jumping.setClock(offset)
      await until(`the clock is at ${offset}`, async () => Math.round((await jumping.hour()) - began) === hours)
      for (const [writer, reader] of [
        [jumping, steady],
        [steady, jumping],
      ] as const) {
        expect(await writer.ask('PUT', `/v1/kv/jump/${i}`, { i })).toBe(true)
        const [{ Value }] = await reader.ask<[{ Value: string }]>('GET', `/v1/kv/jump/${i}?consistent`)
        expect(JSON.parse(Buffer.from(Value, 'base64').toString())).toEqual({ i })
        await writer.ask('PUT', `/v1/session/renew/${ID}`)
        expect(await reader.ask('GET', '/v1/kv/lock?consistent')).toMatchObject([{ Session: ID }])
      }
      // A blocking read that is waiting wakes by a change, and not by a clock.
      const index = (await fetch(`${jumping.url}/v1/kv/wake`)).headers.get('x-consul-index')
      const woken = fetch(`${jumping.url}/v1/kv/wake?index=${index}&wait=60s`)
      jumping.setClock(`+${i}h`)
      await steady.ask('PUT', '/v1/kv/wake', { i })
      expect((await woken).status).toBe(200)
    }
    // A machine with much to do may be late at etcd, whatever its clock says.
    const lines = jumping.log.split('\n').filter(line => !line.includes('etcd has not prolonged it in time'))
    expect(lines.join('\n')).not.toMatch(/warn|error/i)
  })
})

// A mesh that outgrows its machine: what a data directory or a state file holds becomes the beginning of a mesh in etcd.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ControlPlane } from '../../src/control/control-plane.js'
import type { ControlPlaneOptions } from '../../src/control/control-plane-options.js'
import { EtcdCluster, etcdBin } from '../support/etcd-cluster.js'

const folder = mkdtempSync(join(tmpdir(), 'outrigger-move-'))
const dataDir = join(folder, 'data')
const stateFile = join(folder, 'state.snap')
let etcd: EtcdCluster
/** Of the mesh as it was in the data directory. */
let root: string
let index: number

async function serve<T>(options: Partial<ControlPlaneOptions>, ask: (url: string) => Promise<T>): Promise<T> {
  const plane = new ControlPlane({ httpAddr: '127.0.0.1:0', grpcAddr: 'off', nodeName: 'n', ...options })
  await plane.start()
  try {
    return await ask(`http://${plane.httpAddress}/v1`)
  } finally {
    await plane.stop()
  }
}

const rootOf = async (url: string): Promise<string> =>
  ((await (await fetch(`${url}/connect/ca/roots`)).json()) as { ActiveRootID: string }).ActiveRootID
const inEtcd = (prefix: string, restore?: string): Partial<ControlPlaneOptions> => ({
  store: { store: etcd.url, prefix },
  ...(restore === undefined ? {} : { restore }),
})

describe.skipIf(etcdBin === undefined)('--restore beside --store (no etcd is installed here)', () => {
  beforeAll(async () => {
    etcd = await EtcdCluster.start()
    await serve({ dataDir }, async url => {
      for (const key of ['one', 'two']) await fetch(`${url}/kv/${key}`, { method: 'PUT', body: key })
      await fetch(`${url}/agent/service/register`, { method: 'PUT', body: JSON.stringify({ Name: 'api', Port: 1 }) })
      root = await rootOf(url)
      index = Number((await fetch(`${url}/kv/two`)).headers.get('x-consul-index'))
      writeFileSync(stateFile, Buffer.from(await (await fetch(`${url}/snapshot`)).arrayBuffer()))
    })
  })
  afterAll(async () => {
    await etcd.stop()
    rmSync(folder, { recursive: true })
  })

  it.each([
    ['a data directory', () => dataDir],
    ['a state file', () => stateFile],
  ])('begins with %s: authority, services and keys are there, and the index goes on', async (what, path) => {
    const prefix = `/from-${what.replaceAll(' ', '-')}`
    await serve(inEtcd(prefix, path()), async url => {
      expect(await rootOf(url)).toBe(root)
      const asked = await fetch(`${url}/kv/two?raw&consistent`)
      expect([await asked.text(), Number(asked.headers.get('x-consul-index')) > index]).toEqual(['two', true])
      expect(await (await fetch(`${url}/catalog/service/api`)).json()).toMatchObject([{ ServicePort: 1 }])
      await fetch(`${url}/kv/two`, { method: 'PUT', body: 'later' })
    })
    // The flag stands in a unit file: the next start goes on with what is there.
    await serve(inEtcd(prefix, path()), async url => expect(await (await fetch(`${url}/kv/two?raw`)).text()).toBe('later'))
    // So does a replica without it.
    await serve(inEtcd(prefix), async url => expect(await rootOf(url)).toBe(root))
  })

  it('takes the place of no mesh that is there, and of nothing by what holds none', async () => {
    await serve(inEtcd('/own'), async url => expect(await rootOf(url)).not.toBe(root))
    await expect(serve(inEtcd('/own', dataDir), async () => {})).rejects.toThrow(/^--restore .*data: there is a mesh already/)
    const empty = mkdtempSync(join(folder, 'empty-'))
    await expect(serve(inEtcd('/none', empty), async () => {})).rejects.toThrow('the folder holds no state')
    expect(readdirSync(empty)).toEqual([])
    await expect(serve(inEtcd('/none', join(folder, 'nothing')), async () => {})).rejects.toThrow(/^--restore .*ENOENT/)
    expect(await etcd.ctl('get', '--prefix', '/none')).toBe('')
  })
})

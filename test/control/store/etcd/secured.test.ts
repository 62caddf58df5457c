// An etcd that asks who one is: TLS, users with passwords, users by client certificates, and rights to the prefix alone.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { EtcdStoreOptions } from '../../../../src/control/store/etcd/etcd-options.js'
import { EtcdStore } from '../../../../src/control/store/etcd/etcd-store.js'
import { EtcdCluster, etcdBin } from '../../../support/etcd-cluster.js'
import { AnyCa, type Leaf } from '../../../support/mesh-certificates.js'
import { until } from '../../../support/proxy-process.js'

const folder = mkdtempSync(join(tmpdir(), 'outrigger-secured-'))
const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}

describe.skipIf(etcdBin === undefined)('an etcd with TLS and users (no etcd is installed here)', () => {
  const ca = new AnyCa('etcd')
  const caFile = file('ca.pem', ca.pem)
  const identity = (name: string, { cert, key }: Leaf) => ({ certFile: file(`${name}.pem`, cert), keyFile: file(`${name}.key`, key) })
  const server = identity('server', ca.leaf({ ips: [[127, 0, 0, 1]], usages: ['serverAuth', 'clientAuth'] }))
  const byCertificate = identity('mesh', ca.leaf({ commonName: 'mesh' }))
  const stranger = identity('stranger', new AnyCa('other').leaf({ commonName: 'mesh' }))
  let etcd: EtcdCluster

  const options = (more: Partial<EtcdStoreOptions>): EtcdStoreOptions => ({ store: etcd.url, caFile, ...more })
  const problems: string[] = []
  const open = (more: Partial<EtcdStoreOptions>): Promise<EtcdStore> => EtcdStore.open(options(more), reason => problems.push(reason))
  const withPassword = (password: string): Partial<EtcdStoreOptions> => ({
    userFile: file(`user-${password}`, `mesh:${password}\n`),
    ...identity('nobody', ca.leaf({})),
  })

  beforeAll(async () => {
    etcd = await EtcdCluster.start({
      tls: { caFile, ...server },
      // Tokens that end while the store is open.
      args: ['--client-cert-auth', '--auth-token-ttl', '1'],
    })
    const root = ['--user', 'root:secret']
    await etcd.ctl('user', 'add', 'root:secret')
    await etcd.ctl('user', 'grant-role', 'root', 'root')
    await etcd.ctl('auth', 'enable')
    await etcd.ctl(...root, 'role', 'add', 'mesh')
    await etcd.ctl(...root, 'role', 'grant-permission', 'mesh', 'readwrite', '--prefix=true', '/outrigger/')
    await etcd.ctl(...root, 'user', 'add', 'mesh:word')
    await etcd.ctl(...root, 'user', 'grant-role', 'mesh', 'mesh')
  })
  afterAll(async () => {
    await etcd.stop()
    rmSync(folder, { recursive: true })
  })

  it('is used by a user of the prefix alone, also once his token has ended, and by another replica with a certificate', async () => {
    const one = await open(withPassword('word'))
    const two = await open(byCertificate)
    const seen: string[] = []
    two.subscribe(['kv'], ({ changes }) => seen.push(...changes.map(({ key }) => key)))
    for (let i = 0; i < 12; i++) {
      await one.put('kv', `one-${i}`, i)
      await two.put('kv', `two-${i}`, i)
      await new Promise(resolve => setTimeout(resolve, 200))
    }
    await Promise.all([one.catchUp(), two.catchUp()])
    expect([one.index, two.index, seen.length]).toEqual([24, 24, 24])
    let held = 0
    const release = one.leases.contend('task', () => held++)
    await until('a lease is held', () => held === 1)
    await release()
    await Promise.all([one.close(), two.close()])
  })

  it('refuses a wrong password, another prefix and a stranger in one line that says so', async () => {
    const cannotBeUsed = (more: Partial<EtcdStoreOptions>, reason: RegExp): Promise<void> => expect(open(more)).rejects.toThrow(reason)
    // Side by side: those that find nobody to talk to try for ten seconds.
    await Promise.all([
      cannotBeUsed(withPassword('wrong'), /^--store etcds:\S+: .*authentication failed, invalid user ID or password/),
      cannotBeUsed({ ...byCertificate, prefix: '/other' }, /^--store etcds:\S+: .*permission denied/),
      cannotBeUsed(stranger, /^--store etcds:\S+: .+/),
      cannotBeUsed({}, /^--store etcds:\S+: .+/),
    ])
  })
})

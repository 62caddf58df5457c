// Control planes that share one etcd, in this process: what a client of one writes, clients of the others read; who dies is missed by nobody.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ControlPlane } from '../../../src/control/control-plane.js'
import { EtcdCluster, etcdBin } from '../../support/etcd-cluster.js'
import { until } from '../../support/proxy-process.js'
import { TcpRelay } from '../../support/tcp-relay.js'

let etcd: EtcdCluster
let relay: TcpRelay
const planes: ControlPlane[] = []

async function startReplica(name: string, zone: string, store = etcd.url): Promise<ControlPlane> {
  const plane = new ControlPlane({
    httpAddr: '127.0.0.1:0',
    grpcAddr: '127.0.0.1:0',
    grpcTlsAddr: '127.0.0.1:0',
    nodeName: name,
    locality: { Region: 'eu', Zone: zone },
    store: { store, prefix: '/replicas' },
  })
  await plane.start()
  planes.push(plane)
  return plane
}

async function ask(plane: ControlPlane, path: string, init?: RequestInit): Promise<{ status: number; body: unknown; headers: Headers }> {
  const response = await fetch(`http://${plane.httpAddress}/v1/${path}`, init)
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.startsWith('application/json') === true
  return { status: response.status, body: isJson ? JSON.parse(text) : text, headers: response.headers }
}

const write = (plane: ControlPlane, path: string, body: unknown) => ask(plane, path, { method: 'PUT', body: JSON.stringify(body) })

describe.skipIf(etcdBin === undefined)('three replicas on a real etcd (none is installed here)', () => {
  let one: ControlPlane
  let two: ControlPlane
  let cutOff: ControlPlane

  beforeAll(async () => {
    etcd = await EtcdCluster.start()
    relay = await TcpRelay.start(etcd.members[0]!.clientPort)
    // At the same time: they begin one mesh, not three.
    ;[one, two, cutOff] = await Promise.all([
      startReplica('one', 'eu-1'),
      startReplica('two', 'eu-2'),
      startReplica('cut', 'eu-2', `etcd://127.0.0.1:${relay.port}`),
    ])
  })
  afterAll(async () => {
    relay.heal()
    await Promise.all(planes.map(plane => plane.stop()))
    await relay.stop()
    await etcd.stop()
  })

  it('have one certificate authority, however they begin', async () => {
    const roots = await Promise.all(
      planes.map(async plane => (await ask(plane, 'connect/ca/roots')).body as { ActiveRootID: string; TrustDomain: string }),
    )
    expect(new Set(roots.map(({ ActiveRootID, TrustDomain }) => `${ActiveRootID} ${TrustDomain}`)).size).toBe(1)
  })

  it('serve what any of them was told, at once where it is asked for consistently, with one index', async () => {
    expect((await write(one, 'agent/service/register', { Name: 'web', Port: 9_000, Connect: { SidecarService: {} } })).status).toBe(200)
    const [here, there] = await Promise.all([one, two].map(plane => ask(plane, 'health/service/web?consistent')))
    expect(there!.body).toEqual(here!.body)
    expect(there!.body).toHaveLength(1)
    expect(there!.headers.get('x-consul-index')).toBe(here!.headers.get('x-consul-index'))
    expect(there!.headers.get('x-consul-knownleader')).toBe('true')
    // Another one gives the next port and address, not the same.
    expect((await write(two, 'agent/service/register', { Name: 'api', Port: 9_001, Connect: { SidecarService: {} } })).status).toBe(200)
    const services = (await ask(one, 'agent/services?consistent')).body as Record<string, { Port: number }>
    await until('the sidecars are known', async () => Object.keys((await ask(one, 'agent/services')).body as object).length === 4)
    const { 'web-sidecar-proxy': web, 'api-sidecar-proxy': api } = (await ask(one, 'agent/services')).body as Record<
      string,
      { Port: number }
    >
    expect(services).toBeDefined()
    expect(web!.Port).not.toBe(api!.Port)
  })

  it('wake a blocking read for what another one was told', async () => {
    const before = await ask(two, 'kv/waited?consistent')
    const index = before.headers.get('x-consul-index')
    const waiting = ask(two, `kv/waited?index=${index}&wait=20s&raw`)
    await write(one, 'kv/waited', 'now')
    expect((await waiting).body).toBe('"now"')
  })

  it('let one of many win a check-and-set, whoever is asked', async () => {
    const answers = await Promise.all(Array.from({ length: 12 }, (_, i) => write(planes[i % 3]!, 'kv/once?cas=0', i)))
    expect(answers.filter(({ body }) => body === true)).toHaveLength(1)
  })

  it('name each other, and one leader', async () => {
    const names = async (plane: ControlPlane) => ((await ask(plane, 'agent/members')).body as { Name: string }[]).map(({ Name }) => Name)
    for (const plane of planes) await until('all members are known', async () => (await names(plane)).join() === 'cut,one,two')
    const leaders = async () => {
      const configurations = await Promise.all(planes.map(async plane => (await ask(plane, 'operator/raft/configuration')).body))
      return (configurations as { Servers: { Node: string; Leader: boolean }[] }[]).map(({ Servers }) =>
        Servers.filter(({ Leader }) => Leader).map(({ Node }) => Node),
      )
    }
    await until(
      'they agree on a leader',
      async () => new Set((await leaders()).map(nodes => nodes.join())).size === 1 && (await leaders())[0]!.length === 1,
    )
  })

  it('name their zones as redundancy zones, and say how many of them may be lost', async () => {
    const { body } = await ask(two, 'operator/autopilot/state')
    const { Servers, RedundancyZones, ...state } = body as {
      Servers: Record<string, { Name: string; Status: string; RedundancyZone: string }>
      RedundancyZones: Record<string, { Servers: string[]; FailureTolerance: number }>
    }
    const named = Object.values(Servers).map(({ Name, RedundancyZone }) => `${Name} ${RedundancyZone}`)
    expect(named.sort()).toEqual(['cut eu-2', 'one eu-1', 'two eu-2'])
    expect(Object.values(Servers).filter(({ Status }) => Status === 'leader')).toHaveLength(1)
    expect(Object.entries(RedundancyZones).map(([zone, { FailureTolerance }]) => [zone, FailureTolerance])).toEqual([
      ['eu-1', 0],
      ['eu-2', 1],
    ])
    expect(state).toMatchObject({ FailureTolerance: 2, Healthy: true })
  })

  it('keep a session alive that is renewed anywhere, and give no lock of it twice', async () => {
    const { body } = await write(one, 'session/create', { Name: 'lock', TTL: '10s' })
    const { ID } = body as { ID: string }
    await until('the session is known', async () => ((await ask(two, `session/info/${ID}`)).body as unknown[]).length === 1)
    expect((await write(two, `kv/lock?acquire=${ID}`, 'mine')).body).toBe(true)
    expect(((await ask(cutOff, `session/renew/${ID}`, { method: 'PUT' })).body as { ID: string }[])[0]!.ID).toBe(ID)
    expect((await ask(one, `session/destroy/${ID}`, { method: 'PUT' })).status).toBe(200)
    const other = (await write(two, 'session/create', { Name: 'other', LockDelay: '0s' })).body as { ID: string }
    await until('the lock is free', async () => ((await ask(cutOff, 'kv/lock')).body as { Session?: string }[])[0]!.Session === undefined)
    // The lock delay of the first one holds at every replica.
    expect((await write(cutOff, `kv/lock?acquire=${other.ID}`, 'theirs')).body).toBe(false)
  })

  it('make one peering where two of them are asked for it at the same time', async () => {
    const made = await Promise.all(
      [one, two].map(plane => ask(plane, 'peering/token', { method: 'POST', body: JSON.stringify({ PeerName: 'far' }) })),
    )
    expect(made.map(({ status }) => status)).toEqual([200, 200])
    const tokens = made.map(({ body }) => JSON.parse(Buffer.from((body as { PeeringToken: string }).PeeringToken, 'base64').toString()))
    expect(tokens[1].PeerID).toBe(tokens[0].PeerID)
  })

  it('refuse reads, writes and renewals while they are cut off, say so, and still give what they know to who takes it stale', async () => {
    const session = (await write(cutOff, 'session/create', { TTL: '3600s' })).body as { ID: string }
    relay.cut()
    await until('it is noticed', async () => (await ask(cutOff, 'kv/once')).status === 500)
    expect((await ask(cutOff, 'kv/once')).body).toBe('No cluster leader')
    expect((await ask(cutOff, 'kv/once?consistent')).body).toBe('No cluster leader')
    const stale = await ask(cutOff, 'kv/once?stale')
    expect([stale.status, stale.headers.get('x-consul-knownleader')]).toEqual([200, 'false'])
    expect(Number(stale.headers.get('x-consul-lastcontact'))).toBeGreaterThan(4_000)
    expect((await ask(cutOff, 'status/leader')).body).toBe('')
    const refused = await write(cutOff, 'kv/refused', 1)
    expect(refused.status).toBe(500)
    expect(refused.body).toMatch(/^etcd 127\.0\.0\.1:\d+: no contact for \d+ s; nothing was written/)
    const renewal = await ask(cutOff, `session/renew/${session.ID}`, { method: 'PUT' })
    expect([renewal.status, renewal.body]).toEqual([500, 'No cluster leader'])
    expect((await write(one, 'kv/meanwhile', 1)).body).toBe(true)
    relay.breakConnections()
    relay.heal()
    await until('it is back', async () => (await ask(cutOff, 'kv/meanwhile')).status === 200)
    expect((await ask(cutOff, 'kv/meanwhile?consistent')).headers.get('x-consul-knownleader')).toBe('true')
  })
})

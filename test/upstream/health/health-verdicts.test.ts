import { describe, expect, it } from 'vitest'
import { type ClusterVerdict, HealthBoard, type JudgedClusters, RemoteHealth } from '../../../src/upstream/health/health-verdicts.js'
import { HealthFlag, type Host } from '../../../src/upstream/host/host.js'

interface FakeCluster {
  name: string
  warm: boolean
  isJudged: boolean
  hosts: Host[]
}

const host = (key: string, flags = 0): Host => ({ key, flags }) as Host

/** Clusters by hand, and a worker that is told all that the board says. */
function world() {
  const active = new Map<string, FakeCluster>()
  const listeners: { health?: (cluster: FakeCluster) => void; warm?: (cluster: FakeCluster) => void; removed?: (name: string) => void } = {}
  const clusters: JudgedClusters = {
    get: name => active.get(name),
    warming: () => undefined,
    onHealthChange: listener => {
      listeners.health = listener
      return () => {}
    },
    onWarm: listener => {
      listeners.warm = listener
      return () => {}
    },
    onRemoved: listener => {
      listeners.removed = listener
      return () => {}
    },
  }
  let changes = 0
  const board = new HealthBoard(clusters, () => changes++)
  return { active, listeners, board, changes: () => changes }
}

describe('what is told of hosts', () => {
  it('only what changed, and of hosts that are gone that they are', () => {
    const { active, listeners, board, changes } = world()
    const cluster = { name: 'a', warm: false, isJudged: true, hosts: [host('1', HealthFlag.FAILED_ACTIVE_HC), host('2')] }
    active.set('a', cluster)
    listeners.health!(cluster)
    expect(changes()).toBe(1)
    expect(board.take()).toEqual([
      {
        cluster: 'a',
        checked: false,
        hosts: [
          ['1', HealthFlag.FAILED_ACTIVE_HC],
          ['2', 0],
        ],
      },
    ])
    expect(board.take()).toEqual([])
    cluster.hosts[0]!.flags = HealthFlag.FAILED_EDS_HEALTH
    cluster.warm = true
    listeners.warm!(cluster)
    expect(board.take()).toEqual([{ cluster: 'a', checked: true, hosts: [['1', 0]] }])
    cluster.hosts = [cluster.hosts[1]!]
    listeners.health!(cluster)
    expect(board.take()).toEqual([{ cluster: 'a', checked: true, hosts: [['1', null]] }])
    expect(board.everything()).toEqual([{ cluster: 'a', checked: true, hosts: [['2', 0]] }])
    active.delete('a')
    listeners.removed!('a')
    expect(board.take()).toEqual([{ cluster: 'a', checked: false, hosts: [['2', null]] }])
    expect(board.everything()).toEqual([])
  })

  it('nothing of a cluster that nobody judges', () => {
    const { listeners, board, changes } = world()
    listeners.health!({ name: 'plain', warm: true, isJudged: false, hosts: [host('1')] })
    expect(changes()).toBe(0)
    expect(board.take()).toEqual([])
  })
})

describe('what a worker knows', () => {
  const verdict = (hosts: ClusterVerdict['hosts'], checked = false): ClusterVerdict => ({ cluster: 'a', checked, hosts })

  it('holds for a host that comes after its verdict, and ends with the host', () => {
    const remote = new RemoteHealth(() => {})
    remote.take(verdict([['1', HealthFlag.FAILED_OUTLIER_CHECK]]))
    expect(remote.flagsOf('a', '1')).toBe(HealthFlag.FAILED_OUTLIER_CHECK)
    remote.take(verdict([['1', null]]))
    expect(remote.flagsOf('a', '1')).toBeUndefined()
  })

  it('reaches every version of the cluster that has joined, and none that has left', () => {
    const remote = new RemoteHealth(() => {})
    const heard: string[] = []
    const version = (name: string) => ({
      onVerdict: (key: string, flags: number | null) => heard.push(`${name} ${key} ${flags}`),
      onChecked: () => heard.push(`${name} checked`),
    })
    const leave = remote.join('a', version('old'))
    remote.join('a', version('new'))
    remote.take(verdict([['1', 8]], true))
    leave()
    remote.take(verdict([['1', 0]]))
    expect(heard).toEqual(['old 1 8', 'old checked', 'new 1 8', 'new checked', 'new 1 0'])
    expect(remote.isChecked('a')).toBe(false)
  })
})

import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Catalog } from '../../src/control/catalog/catalog.js'
import type { IntentionAction } from '../../src/control/config-entries/types.js'
import { ConfigEntryTable } from '../../src/control/config-entry-table.js'
import { ControlPlane } from '../../src/control/control-plane.js'
import type { ApplyReport } from '../../src/control/declared-items.js'
import { applyMeshFile, MeshFile, type MeshFileTargets } from '../../src/control/mesh-file.js'
import { JournalStore } from '../../src/control/store/journal/journal-store.js'
import type { Store } from '../../src/control/store/store.js'
import { OWN } from '../support/own-node.js'

let dir: string
let targets: MeshFileTargets
let policy: IntentionAction | undefined
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'outrigger-mesh-'))
  targets = await open(await JournalStore.open(dir))
})
afterEach(async () => {
  await targets.store.close()
  rmSync(dir, { recursive: true, force: true })
})

async function open(store: Store): Promise<MeshFileTargets> {
  policy = undefined
  return {
    store,
    catalog: await Catalog.open(store, { node: OWN, sidecarMinPort: 21_000, sidecarMaxPort: 21_255 }),
    entries: await ConfigEntryTable.open(store, { datacenter: 'dc1', trustDomain: 'td.consul' }),
    setDefaultPolicy: value => {
      policy = value
    },
  }
}

const BASE = `
default_intention_policy: allow
config_entries:
  - kind: service-splitter      # before the protocol that it needs
    name: api
    splits: [{ weight: 90, service_subset: v1 }, { weight: 10, service_subset: v2 }]
  - { Kind: service-resolver, Name: api, Subsets: { v1: { Filter: 'Service.Meta.version == v1' }, v2: {} } }
  - { Kind: service-defaults, Name: api, Protocol: http }
services:
  - name: api
    port: 9002
    connect: { sidecar_service: {} }
`

describe('applyMeshFile', () => {
  it('applies entries in whatever order they stand, in either spelling', async () => {
    expect(await applyMeshFile(BASE, targets)).toEqual({ applied: 4, unchanged: 0, removed: 0, errors: [], warnings: [] })
    expect(targets.entries.get('service-splitter', 'api')!.Splits[0]!.Weight).toBe(90)
    expect(targets.catalog.instance('api-sidecar-proxy')!.Port).toBe(21_000)
    expect(policy).toBe('allow')
  })

  it('denies when the policy is absent', async () => {
    expect((await applyMeshFile('services: []', targets)).errors).toEqual([])
    expect(policy).toBe('deny')
  })

  it('lets the store win over entries whose text did not change, also after a restart', async () => {
    await applyMeshFile(BASE, targets)
    const moved = {
      Kind: 'service-splitter',
      Name: 'api',
      Splits: [
        { Weight: 50, ServiceSubset: 'v1' },
        { Weight: 50, ServiceSubset: 'v2' },
      ],
    }
    expect(await targets.entries.put(moved)).toMatchObject({ ok: true })
    await targets.store.close()
    targets = await open(await JournalStore.open(dir))
    const reformatted = BASE.replace('kind: service-splitter ', '# a comment\n    kind: service-splitter ')
    expect(await applyMeshFile(reformatted, targets)).toEqual({ applied: 0, unchanged: 4, removed: 0, errors: [], warnings: [] })
    expect(targets.entries.get('service-splitter', 'api')!.Splits[0]!.Weight).toBe(50)
    expect(await applyMeshFile(BASE.replace('weight: 90', 'weight: 80').replace('weight: 10', 'weight: 20'), targets)).toMatchObject({
      applied: 1,
      unchanged: 3,
    })
    expect(targets.entries.get('service-splitter', 'api')!.Splits[0]!.Weight).toBe(80)
  })

  it('removes what has left the file, and only what the file had brought', async () => {
    await applyMeshFile(BASE, targets)
    await targets.entries.put({ Kind: 'service-intentions', Name: 'api', Sources: [{ Name: 'web', Action: 'allow' }] })
    expect(await applyMeshFile('{}', targets)).toEqual({ applied: 0, unchanged: 0, removed: 4, errors: [], warnings: [] })
    expect([...targets.catalog.instances()]).toEqual([])
    expect(targets.entries.all().map(({ Kind }) => Kind)).toEqual(['service-intentions'])
  })

  it('is one change: with one bad entry nothing is applied, and each is named', async () => {
    const text = `
default_intention_policy: allow
config_entries:
  - { Kind: service-defaults, Name: api, Protocol: http }
  - { Kind: service-splitter, Name: api, Splits: [{ Weight: 60 }] }
  - { Kind: service-defaults, Name: web, Protokol: http }
services: [{ name: api, port: 1 }]
`
    const report = await applyMeshFile(text, targets)
    expect(report.applied).toBe(0)
    expect(report.errors.map(({ path }) => path)).toEqual(['config_entries[1].Splits', 'config_entries[2].Protokol'])
    expect(targets.entries.size).toBe(0)
    expect(targets.catalog.size).toBe(0)
    expect(policy).toBeUndefined()
  })

  it('names the entry that breaks what others make of it', async () => {
    const text = `
config_entries:
  - { Kind: service-defaults, Name: other, Protocol: http }
  - { Kind: service-splitter, Name: api, Splits: [{ Weight: 100 }] }
`
    const { errors } = await applyMeshFile(text, targets)
    expect(errors).toEqual([
      { path: 'config_entries[1]', reason: expect.stringContaining('does not permit advanced routing or splitting') },
    ])
    expect(targets.entries.size).toBe(0)
  })

  it('judges by the end state: two services of one chain change their protocol at once', async () => {
    const chained = (protocol: string): string => `
config_entries:
  - { Kind: service-defaults, Name: a, Protocol: ${protocol} }
  - { Kind: service-defaults, Name: b, Protocol: ${protocol} }
  - { Kind: service-splitter, Name: a, Splits: [{ Weight: 50 }, { Weight: 50, Service: b }] }
`
    expect((await applyMeshFile(chained('http'), targets)).errors).toEqual([])
    expect(await applyMeshFile(chained('grpc'), targets)).toMatchObject({ applied: 2, errors: [] })
    expect(targets.entries.get('service-defaults', 'a')!.Protocol).toBe('grpc')
    // Taken out together, too, which no order of single steps could do the other way round.
    expect(await applyMeshFile('config_entries: []', targets)).toMatchObject({ removed: 3, errors: [] })
  })

  it('an unnamed proxy-defaults is global, also when it is taken out', async () => {
    await applyMeshFile('config_entries: [{ Kind: proxy-defaults, Config: { protocol: http } }]', targets)
    expect(targets.entries.get('proxy-defaults', 'global')).toBeDefined()
    // The record of a version that kept the name as it was written.
    const { value } = (await targets.store.get('mesh-file', 'entry/proxy-defaults/global'))!
    await targets.store.delete('mesh-file', 'entry/proxy-defaults/global')
    await targets.store.put('mesh-file', 'entry/proxy-defaults/', value)
    await applyMeshFile('config_entries: [{ Kind: proxy-defaults, Config: { protocol: http } }]', targets)
    expect(targets.entries.get('proxy-defaults', 'global')).toBeDefined()
    expect(await applyMeshFile('{}', targets)).toMatchObject({ removed: 1, errors: [] })
    expect(targets.entries.get('proxy-defaults', 'global')).toBeUndefined()
  })

  it('gives automatic ports without two of a kind, and warns of what has no effect', async () => {
    const text = `
services:
  - { name: a, port: 21000, connect: { sidecar_service: { proxy: { config: { handshake_timeout_ms: 1 } } } } }
  - { name: b, port: 2, connect: { sidecar_service: {} } }
  - { name: c, port: 3, connect: { sidecar_service: { port: 21001 } } }
`
    const { errors, warnings } = await applyMeshFile(text, targets)
    expect(errors).toEqual([])
    expect(['a', 'b', 'c'].map(name => targets.catalog.instance(`${name}-sidecar-proxy`)!.Port)).toEqual([21_002, 21_003, 21_001])
    const addresses = ['a', 'b', 'c'].map(name => targets.catalog.virtualIps.of(name))
    expect(new Set(addresses).size).toBe(3)
    expect(warnings.map(({ path }) => path)).toEqual(['services[0].Connect.SidecarService.Proxy.Config.handshake_timeout_ms'])
  })

  it.each([
    ['{', '', /^not YAML/],
    ['- 1', '', /must be a map/],
    ['sevices: []', 'sevices', /unknown field/],
    ['services: {}', 'services', /must be a list/],
    ['default_intention_policy: maybe', 'default_intention_policy', /allow or deny/],
    ['services: [{ Name: a }, { name: a }]', 'services[1]', /is service\/a, as is services\[0\]/],
    ['services: [{ Name: a, Prot: 1 }]', 'services[0].Prot', /unknown field/],
    [
      `a: &a [x, x]\n${Array.from({ length: 9 }, (_, i) => `b${i}: &b${i} [*${i === 0 ? 'a' : `b${i - 1}`}, *${i === 0 ? 'a' : `b${i - 1}`}]`).join('\n')}`,
      '',
      /alias/i,
    ],
  ])('refuses the whole of %j and changes nothing', async (text, path, reason) => {
    await applyMeshFile(BASE, targets)
    const { index } = targets.store
    policy = undefined
    const report = await applyMeshFile(text, targets)
    expect(report.errors[0]!.path).toBe(path)
    expect(report.errors[0]!.reason).toMatch(reason)
    expect([targets.store.index, policy]).toEqual([index, undefined])
  })
})

describe('MeshFile', () => {
  it('reads the file again when it is written or replaced, and keeps the last state when it is broken', async () => {
    const path = join(dir, 'mesh.yaml')
    const reports: ApplyReport[] = []
    let wake = (): void => {}
    const next = async (): Promise<ApplyReport> => {
      if (reports.length === 0) await new Promise<void>(resolve => (wake = resolve))
      return reports.shift()!
    }
    writeFileSync(path, BASE)
    const file = new MeshFile(path, targets, report => {
      reports.push(report)
      wake()
    })
    expect((await file.load()).applied).toBe(4)
    file.watch()
    try {
      writeFileSync(path, BASE.replace('port: 9002', 'port: 9003'))
      expect((await next()).applied).toBe(1)
      expect(targets.catalog.instance('api')!.Port).toBe(9003)
      writeFileSync(join(dir, 'new.yaml'), 'nonsense: 1')
      renameSync(join(dir, 'new.yaml'), path)
      expect((await next()).errors).toEqual([{ path: 'nonsense', reason: 'unknown field' }])
      expect(targets.catalog.instance('api')!.Port).toBe(9003)
    } finally {
      file.close()
    }
  })
})

describe('a control plane whose file is not good', () => {
  const start = async (text: string | undefined): Promise<{ control: ControlPlane; lines: string[] }> => {
    const meshFile = join(dir, 'mesh.yaml')
    rmSync(meshFile, { force: true })
    if (text !== undefined) writeFileSync(meshFile, text)
    const lines: string[] = []
    const log = (_fields: object, line: string): void => void lines.push(line)
    const control = new ControlPlane({
      meshFile,
      dataDir: join(dir, 'state'),
      httpAddr: '127.0.0.1:0',
      grpcAddr: '127.0.0.1:0',
      log: { debug: () => {}, info: log, warn: log, error: log },
    })
    await control.start()
    return { control, lines }
  }

  it('does not begin', async () => {
    await expect(start('services: 1')).rejects.toThrow(/mesh.yaml: services: must be a list/)
  })

  it.each([
    ['is gone', undefined, /no such file/],
    ['is broken', 'services: 1', /services: must be a list/],
    ['breaks a chain', 'config_entries: [{ Kind: service-splitter, Name: api, Splits: [{ Weight: 100 }] }]', /does not permit/],
  ])('serves what it knows, with the policy of before, when its file %s', async (_what, text, reason) => {
    const first = await start('default_intention_policy: allow\nservices: [{ name: api, port: 1 }]')
    await first.control.stop()
    const { control, lines } = await start(text)
    try {
      const get = async (path: string): Promise<unknown> => (await fetch(`http://${control.httpAddress}${path}`)).json()
      expect(await get('/v1/agent/services')).toHaveProperty('api')
      expect(await get('/v1/connect/intentions/check?source=a&destination=api')).toEqual({ Allowed: true })
      expect(lines).toContainEqual(expect.stringMatching(/^mesh file not applied, the state of before serves: /))
      expect(lines).toContainEqual(expect.stringMatching(reason))
    } finally {
      await control.stop()
    }
  })
})

import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Catalog } from '../../src/control/catalog/catalog.js'
import type { IntentionAction } from '../../src/control/config-entries/types.js'
import { ConfigEntryTable } from '../../src/control/config-entry-table.js'
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
    expect(await applyMeshFile(BASE, targets)).toEqual({ applied: 4, unchanged: 0, removed: 0, errors: [] })
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
    expect(await applyMeshFile(reformatted, targets)).toEqual({ applied: 0, unchanged: 4, removed: 0, errors: [] })
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
    expect(await applyMeshFile('{}', targets)).toEqual({ applied: 0, unchanged: 0, removed: 4, errors: [] })
    expect([...targets.catalog.instances()]).toEqual([])
    expect(targets.entries.all().map(({ Kind }) => Kind)).toEqual(['service-intentions'])
  })

  it('applies the good entries and names the bad ones', async () => {
    const text = `
config_entries:
  - { Kind: service-defaults, Name: api, Protocol: http }
  - { Kind: service-splitter, Name: api, Splits: [{ Weight: 60 }] }
  - { Kind: service-defaults, Name: web, Protokol: http }
`
    const report = await applyMeshFile(text, targets)
    expect(report.applied).toBe(1)
    const paths = report.errors.map(({ path }) => path)
    expect(paths).toContain('config_entries[2].Protokol')
    expect(paths.some(path => path.startsWith('config_entries[1]'))).toBe(true)
    expect(targets.entries.get('service-defaults', 'api')).toBeDefined()
    expect(targets.entries.get('service-splitter', 'api')).toBeUndefined()
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

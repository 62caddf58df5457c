import { mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { create, toBinary } from '@bufbuild/protobuf'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { XdsUpdate } from '../../../src/xds/client/decode-response.js'
import { FileSubscription, type FileSubscriptionOptions } from '../../../src/xds/client/file-subscription.js'
import { DiscoveryResponseSchema } from '../../../src/xds/gen/envoy/service/discovery/v3/discovery_pb.js'
import { discoveryResponseFromJson } from '../../../src/xds/resources/discovery-response.js'
import { CLUSTER_TYPE, ENDPOINT_TYPE } from '../../../src/xds/type-urls.js'
import { cluster, endpoints, Inbox } from '../xds-peers.js'

let folder = ''
const open: FileSubscription[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'outrigger-file-'))
})

afterEach(async () => {
  for (const subscription of open.splice(0)) subscription.close()
  await rm(folder, { recursive: true, force: true })
})

function subscribe(path: string, options: Partial<FileSubscriptionOptions> = {}) {
  const updates = new Inbox<XdsUpdate>()
  const subscription = new FileSubscription({
    path,
    typeUrl: CLUSTER_TYPE,
    readJson: discoveryResponseFromJson,
    ...options,
    onUpdate: update => {
      updates.put(update)
      return options.onUpdate?.(update)
    },
  })
  open.push(subscription)
  return { subscription, updates }
}

const yaml = (version: string, ...names: string[]) =>
  `version_info: "${version}"\nresources:\n${names.map(name => `- {"@type": "${CLUSTER_TYPE}", name: ${name}, no_such_field: 1}\n`).join('')}`

async function moveIn(path: string, text: string | Uint8Array) {
  await writeFile(`${path}.tmp`, text)
  await rename(`${path}.tmp`, path)
}

const names = (update: XdsUpdate) => update.resources.map(resource => resource.name)

describe('FileSubscription', () => {
  it.each([
    ['cds.yaml', yaml('v1', 'a', 'b')],
    ['cds.json', JSON.stringify({ version_info: 'v1', resources: ['a', 'b'].map(name => ({ '@type': CLUSTER_TYPE, name })) })],
    [
      'cds.pb',
      toBinary(
        DiscoveryResponseSchema,
        create(DiscoveryResponseSchema, { versionInfo: 'v1', resources: ['a', 'b'].map(name => cluster(name).any as never) }),
      ),
    ],
  ])('reads %s', async (file, content) => {
    const path = join(folder, file)
    await writeFile(path, content)
    const { subscription, updates } = subscribe(path)
    expect(await subscription.start()).toEqual({ ok: true, error: '', rejected: [] })
    const update = await updates.next()
    expect([names(update), update.systemVersion]).toEqual([['a', 'b'], 'v1'])
  })

  it('follows moves onto the file; absent clusters are removed', async () => {
    const path = join(folder, 'cds.yaml')
    await moveIn(path, yaml('1', 'a', 'b'))
    const { subscription, updates } = subscribe(path)
    await subscription.start()
    await updates.next()
    await moveIn(path, yaml('2', 'b', 'c'))
    let update = await updates.next()
    while (update.systemVersion !== '2') update = await updates.next() // the first move may still be reported
    expect([names(update), update.removed]).toEqual([['b', 'c'], ['a']])
  })

  it('follows moves in the watched directory, as of Kubernetes config maps', async () => {
    await writeFile(join(folder, 'one.yaml'), yaml('1', 'a'))
    await writeFile(join(folder, 'two.yaml'), yaml('2', 'b'))
    const path = join(folder, 'cds.yaml')
    await symlink('data.yaml', path)
    await symlink('one.yaml', join(folder, 'data.yaml'))
    const { subscription, updates } = subscribe(path, { watchedDirectory: folder })
    await subscription.start()
    expect(names(await updates.next())).toEqual(['a'])
    await symlink('two.yaml', join(folder, 'next'))
    await rename(join(folder, 'next'), join(folder, 'data.yaml'))
    let update = await updates.next()
    while (update.systemVersion !== '2') update = await updates.next()
    expect([names(update), update.removed]).toEqual([['b'], ['a']])
  })

  it('keeps the last good state when the file is broken, and says why', async () => {
    const path = join(folder, 'cds.yaml')
    await writeFile(path, yaml('1', 'a'))
    const { subscription, updates } = subscribe(path)
    await subscription.start()
    await writeFile(path, 'resources: {')
    expect(await subscription.load()).toMatchObject({ ok: false, error: expect.stringContaining(path) })
    await writeFile(path, 'resources: [{"@type": "type.googleapis.com/no.Such"}]')
    expect(await subscription.load()).toMatchObject({ ok: false, error: expect.stringContaining('no.Such') })
    await writeFile(path, yaml('2', 'b'))
    await subscription.load()
    let update = await updates.next()
    while (update.systemVersion !== '2') {
      expect(update.removed).toEqual([])
      update = await updates.next()
    }
    expect(update.removed).toEqual(['a'])
  })

  it('takes resources whose extensions it does not know: who reads them judges', async () => {
    const path = join(folder, 'cds.json')
    const metadata = { typed_filter_metadata: { x: { '@type': 'type.googleapis.com/no.Such', value: 1 } } }
    await writeFile(path, JSON.stringify({ version_info: '1', resources: [{ '@type': CLUSTER_TYPE, name: 'a', metadata }] }))
    const { subscription, updates } = subscribe(path)
    expect(await subscription.start()).toMatchObject({ ok: true })
    expect(names(await updates.next())).toEqual(['a'])
  })

  it('takes the good of a file with something refused', async () => {
    const path = join(folder, 'cds.yaml')
    await writeFile(path, yaml('1', 'a', 'b', 'b', 'c'))
    const verdict = { rejected: [{ name: 'c', errors: [{ path: 'type', reason: 'is unknown' }] }] }
    const removed: string[] = []
    const onUpdate = (update: XdsUpdate) => {
      removed.push(...update.removed)
      return verdict
    }
    const { subscription } = subscribe(path, { onUpdate })
    const { ok, error } = await subscription.start()
    expect([ok, error]).toEqual([false, 'b: name: occurs more than once in one response\nc: type: is unknown'])
    await writeFile(path, yaml('2'))
    await subscription.load()
    expect(removed).toEqual(['a'])
  })

  it('does not take an endpoint that a file lacks as removed', async () => {
    const path = join(folder, 'eds.pb')
    const write = (name: string) => {
      const response = create(DiscoveryResponseSchema, { resources: [endpoints(name).any as never] })
      return writeFile(path, toBinary(DiscoveryResponseSchema, response))
    }
    await write('a')
    const { subscription, updates } = subscribe(path, { typeUrl: ENDPOINT_TYPE })
    await subscription.start()
    await updates.next()
    await write('b')
    await subscription.load()
    expect(await updates.next()).toMatchObject({ removed: [] })
  })

  it.each([
    ['a missing file', 'none.yaml', undefined, 'ENOENT'],
    ['an unknown extension', 'cds.txt', 'x', 'extension'],
  ])('reports %s', async (_, file, content, message) => {
    const path = join(folder, file)
    if (content) await writeFile(path, content)
    const { subscription } = subscribe(path)
    expect(await subscription.start()).toMatchObject({ ok: false, error: expect.stringContaining(message) })
  })

  it('reports a directory that is not there', async () => {
    const { subscription } = subscribe(join(folder, 'no', 'cds.yaml'))
    expect(await subscription.start()).toMatchObject({ ok: false, error: expect.stringContaining('cannot be watched') })
  })
})

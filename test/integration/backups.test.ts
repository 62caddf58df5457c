// Backups of a control plane that is a process of its own: made by its schedule, and kill -9 in the middle of one.
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, watch, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { runCommand } from '../support/cli-fixture.js'
import { MeshFixture } from '../support/mesh-fixture.js'
import { until } from '../support/proxy-process.js'
import { ACCESS_KEY, S3Fake, SECRET_KEY } from '../support/s3-fake.js'

const folder = mkdtempSync(join(tmpdir(), 'outrigger-backups-'))
const keyFile = join(folder, 'backup.key')
const credentialsFile = join(folder, 'credentials')
let s3: S3Fake
let mesh: MeshFixture
beforeAll(async () => {
  writeFileSync(keyFile, randomBytes(32).toString('base64'))
  writeFileSync(credentialsFile, `[default]\naws_access_key_id=${ACCESS_KEY}\naws_secret_access_key=${SECRET_KEY}\n`)
  s3 = await S3Fake.start()
  mesh = new MeshFixture([
    ...['--backup-to', s3.place('mesh'), '--backup-every', '1h', '--backup-key-file', keyFile],
    ...['--backup-s3-credentials-file', credentialsFile],
  ])
  await mesh.start()
})
afterAll(async () => {
  await mesh.stop()
  await s3.stop()
  rmSync(folder, { recursive: true })
})

/** More than the buffers between two processes hold, and nothing that could be compressed. */
async function fill(to: MeshFixture): Promise<void> {
  for (let key = 0; key < 40; key++) {
    const { status } = await fetch(`${to.url}/v1/kv/${key}`, { method: 'PUT', body: randomBytes(500_000) })
    expect(status).toBe(200)
  }
}

it('is made by the schedule; kill -9 while one is sent leaves nothing of it', async () => {
  await until('the first backup is there', () => s3.objects.size === 1)
  const [first] = s3.objects.keys()
  await fill(mesh)
  const killed = new Promise<void>((resolve, reject) => {
    s3.onPart = () => {
      s3.onPart = undefined
      return mesh.kill().then(resolve, reject)
    }
  })
  await fetch(`${mesh.url}/v1/outrigger/backups`, { method: 'PUT' }).catch(() => {})
  await killed
  await mesh.start()
  expect([...s3.objects.keys()]).toEqual([first])
  // By its schedule none is due for an hour; what is asked for is whole.
  expect((await runCommand(['backup', 'now'], { CONSUL_HTTP_ADDR: mesh.url })).code).toBe(0)
  expect(s3.objects.size).toBe(2)
  const flags = ['--from', s3.place('mesh'), '--key-file', keyFile, '--s3-credentials-file', credentialsFile]
  expect(await runCommand(['backup', 'drill', ...flags])).toMatchObject({ code: 0, out: expect.stringContaining('served as they were') })
})

it('kill -9 while one is written to a folder leaves none, or a whole one', async () => {
  const place = join(folder, 'backups')
  mkdirSync(place)
  const writer = new MeshFixture(['--backup-to', place])
  try {
    await writer.start()
    await fill(writer)
    const begun = new Promise<void>(resolve => {
      const watcher = watch(place, () => {
        watcher.close()
        resolve()
      })
    })
    const asked = fetch(`${writer.url}/v1/outrigger/backups`, { method: 'PUT' }).catch(() => {})
    await begun
    await writer.kill()
    await asked
    const { code, out } = await runCommand(['backup', 'list', '--from', place, '--json'])
    expect(code).toBe(0)
    if (out !== '[]\n') expect(await runCommand(['backup', 'drill', '--from', place])).toMatchObject({ code: 0 })
    await writer.start()
    expect((await runCommand(['backup', 'now'], { CONSUL_HTTP_ADDR: writer.url })).code).toBe(0)
    expect(await runCommand(['backup', 'drill', '--from', place])).toMatchObject({ code: 0 })
  } finally {
    await writer.stop()
  }
})

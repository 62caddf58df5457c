// Is a backup worth something? Takes one, opens it, starts a throw-away control plane with it in a folder of its own and on loopback alone,
// and compares what that one serves with what the backup says. Run by `outrigger backup drill`, beside the mesh and not in it.
// Invariants: the throw-away control plane is inert, so a drill speaks to nobody but the target (and not to a CA in Vault); the folder is gone at the end.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ControlPlane } from '../control-plane.js'
import { readState, type StateLine } from '../state-file/state-file.js'
import { type BackupHead, openBackup } from './backup-file.js'
import type { BackupKeys } from './backup-keys.js'
import type { BackupTarget, StoredBackup } from './backup-target.js'

export interface DrillOptions {
  readonly target: BackupTarget
  readonly keys: BackupKeys | undefined
  /** Absent: the newest. */
  readonly name?: string
  /** Of one mesh, where several keep theirs in one place. */
  readonly mesh?: string
  /** An older one fails the drill. */
  readonly maxAgeMs?: number
  /** What the private keys in the state are sealed with. */
  readonly encryptionKey?: string
  readonly nowMs: number
}

export interface DrillStep {
  readonly Step: string
  readonly OK: boolean
  readonly Detail: string
  readonly Seconds: number
}

export interface DrillReport {
  readonly Target: string
  /** '' where none was found. */
  readonly Backup: string
  readonly OK: boolean
  /** What has been done, up to the first step that failed. */
  readonly Steps: readonly DrillStep[]
}

const SHOWN_DIFFERENCES = 3

/** Never rejects for what is wrong with a backup: the report says it. */
export async function restoreDrill(options: DrillOptions): Promise<DrillReport> {
  const { target, keys, encryptionKey } = options
  const steps: DrillStep[] = []
  let name = ''
  /** Returns what the step is for, and says in one line what it found. */
  const step = async <T>(title: string, task: () => Promise<readonly [result: T, detail: string]>): Promise<T> => {
    const start = performance.now()
    const done = (OK: boolean, Detail: string): void =>
      void steps.push({ Step: title, OK, Detail, Seconds: Math.round(performance.now() - start) / 1_000 })
    try {
      const [result, detail] = await task()
      done(true, detail)
      return result
    } catch (error) {
      done(false, (error as Error).message)
      throw new StepFailed()
    }
  }
  const folder = await mkdtemp(join(tmpdir(), 'outrigger-drill-'))
  let plane: ControlPlane | undefined
  try {
    name = await step('find', () => find(options))
    const file = await step('read', async () => {
      const bytes = await target.read(name)
      return [bytes, `${bytes.length} bytes`]
    })
    const { head, state } = await step('open', async () => {
      const opened = await openBackup(file, keys)
      const { encryption } = opened.head
      return [opened, `checksum fits, ${encryption === undefined ? 'not encrypted' : `opened with key ${encryption.keyId}`}`]
    })
    const lines = await step('inspect', () => inspect(head, state))
    const url = await step('start', async () => {
      const path = join(folder, 'state')
      await writeFile(path, state, { mode: 0o600 })
      plane = new ControlPlane({
        dataDir: join(folder, 'data'),
        restore: path,
        httpAddr: '127.0.0.1:0',
        grpcAddr: '127.0.0.1:0',
        datacenter: head.datacenter,
        nodeName: 'drill',
        inert: true,
        ...(encryptionKey === undefined ? {} : { encryptionKey }),
      })
      await plane.start()
      return [`http://${plane.httpAddress}`, 'a control plane serves the state']
    })
    await step('compare', () => compare(url, head, lines))
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error
  } finally {
    await plane?.stop()
    await rm(folder, { recursive: true, force: true })
  }
  return { Target: target.description, Backup: name, OK: steps.every(({ OK }) => OK), Steps: steps }
}

class StepFailed extends Error {}

async function find({ target, name, mesh, maxAgeMs, nowMs }: DrillOptions): Promise<readonly [string, string]> {
  const found = await chooseBackup(target, name, mesh)
  const ageMs = nowMs - found.atMs
  const age = `made ${new Date(found.atMs).toISOString()}, ${Math.max(0, Math.round(ageMs / 60_000))} minutes ago`
  if (maxAgeMs !== undefined && ageMs > maxAgeMs) throw new Error(`${found.name} was ${age}, which is too long`)
  return [found.name, age]
}

/** The named one, or the newest of one mesh. Rejects with one line where there is none, or where it is not clear which. */
export async function chooseBackup(target: BackupTarget, name: string | undefined, mesh: string | undefined): Promise<StoredBackup> {
  const all = (await target.list()).filter(
    backup => (mesh === undefined || backup.mesh === mesh) && (name === undefined || backup.name === name),
  )
  const [newest] = all
  if (newest === undefined)
    throw new Error(
      `${target.description} holds no ${name === undefined ? 'backup' : `backup ${name}`}${mesh === undefined ? '' : ` of mesh ${mesh}`}`,
    )
  const meshes = [...new Set(all.map(backup => `${backup.mesh} (${backup.datacenter})`))]
  if (meshes.length > 1)
    throw new Error(`${target.description} holds backups of several meshes, and one must be named: ${meshes.join(', ')}`)
  return newest
}

async function inspect(head: BackupHead, state: Buffer): Promise<readonly [readonly StateLine[], string]> {
  const { index, lines } = await readState(state)
  if (index !== head.index) throw new Error(`the state ends at write ${index}, and the backup says ${head.index}`)
  for (const [collection, count] of Object.entries(head.counts)) {
    const there = lines.filter(([of]) => of === collection).length
    if (there !== count) throw new Error(`${there} records of ${collection}, and the backup says ${count}`)
  }
  return [lines, `${lines.length} records up to write ${index}`]
}

async function compare(url: string, head: BackupHead, lines: readonly StateLine[]): Promise<readonly [undefined, string]> {
  const get = async (path: string): Promise<Response> => {
    const response = await fetch(url + path)
    if (!response.ok) throw new Error(`GET ${path}: ${response.status} ${await response.text()}`)
    return response
  }
  const saved = await get('/v1/snapshot')
  const index = Number(saved.headers.get('x-consul-index'))
  const served = await readState(Buffer.from(await saved.arrayBuffer()))
  if (index < head.index) throw new Error(`its index is ${index}, and the backup says ${head.index}`)
  const records = new Map(served.lines.map(([collection, key, value]) => [`${collection} ${key}`, JSON.stringify(value)]))
  const different = lines.filter(([collection, key, value]) => records.get(`${collection} ${key}`) !== JSON.stringify(value))
  if (different.length > 0) {
    const some = different.slice(0, SHOWN_DIFFERENCES).map(([collection, key]) => `${collection} "${key}"`)
    throw new Error(
      `${different.length} of ${lines.length} records are not as they were: ${some.join(', ')}${different.length > some.length ? ', …' : ''}`,
    )
  }
  const { TrustDomain } = (await (await get('/v1/connect/ca/roots')).json()) as { readonly TrustDomain: string }
  if (TrustDomain !== head.trustDomain) throw new Error(`its trust domain is ${TrustDomain}, and the backup says ${head.trustDomain}`)
  const services = (await (await get('/v1/catalog/services')).json()) as object
  return [
    undefined,
    `${lines.length} records are served as they were; ${Object.keys(services).length} services, trust domain ${TrustDomain}`,
  ]
}

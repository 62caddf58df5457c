import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DatabaseCaStore } from '../../../src/control/certificates/database-ca-store.js'
import { JournalStore } from '../../../src/control/store/journal/journal-store.js'
import { StateSeal } from '../../../src/mtls/ca/store.js'
import { handshake, makeCa, seeded, trusted } from '../../mtls/ca/support.js'

const repository = resolve(import.meta.dirname, '../../..')
const encryptionKey = 'a secret of the operator'
let directory: string
let child: ChildProcess | undefined

// Node 20 runs no TypeScript: the child is compiled into a directory of its own, beside which its packages are found.
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'ca-crash-'))
  symlinkSync(join(repository, 'node_modules'), join(directory, 'node_modules'))
  writeFileSync(join(directory, 'package.json'), '{"type":"module"}')
  const config = {
    extends: join(repository, 'tsconfig.json'),
    compilerOptions: {
      noEmit: false,
      rootDir: repository,
      outDir: join(directory, 'out'),
      typeRoots: [join(repository, 'node_modules/@types')],
    },
    include: [join(repository, 'test/control/certificates/rotation-child.ts'), join(repository, 'src/**/*.d.ts')],
  }
  writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify(config))
  execFileSync(join(repository, 'node_modules/.bin/tsc'), ['-p', join(directory, 'tsconfig.json')], { stdio: 'inherit' })
})

afterAll(() => {
  child?.kill('SIGKILL')
  rmSync(directory, { recursive: true })
})

interface Report {
  readonly clusterId: string
  readonly active: string
  readonly bundlePem: string
  readonly chainPem: string
  readonly keyPem: string
}

/** Runs the child, kills it when it has reported `lines` lines of any kind, and gives what it had handed out until then. */
async function runAndKill(dir: string, lines: number): Promise<Report[]> {
  const running = spawn(process.execPath, [join(directory, 'out/test/control/certificates/rotation-child.js'), dir, encryptionKey], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  child = running
  const exited = once(running, 'exit')
  const reports: Report[] = []
  let seen = 0
  for await (const line of createInterface({ input: running.stdout! })) {
    const message = JSON.parse(line) as { done?: Report }
    if (message.done !== undefined) reports.push(message.done)
    if (++seen === lines) running.kill('SIGKILL')
  }
  const [, signal] = await exited
  expect(signal).toBe('SIGKILL')
  return reports
}

describe('kill -9 during rotations', () => {
  it.each([1, 2, 3, 4])('seed %i: a restart finishes, keeps the identity and trusts everything that was handed out', async seed => {
    const random = seeded(seed)
    const home = join(directory, `seed-${seed}`)
    mkdirSync(home)
    const handedOut: Report[] = []
    for (let round = 0; round < 2; round++) {
      handedOut.push(...(await runAndKill(home, 3 + Math.floor(random() * 14))))
    }
    const store = await JournalStore.open(home)
    const kept = new DatabaseCaStore(store, new StateSeal(encryptionKey))
    const { ca, leaf } = makeCa({ store: kept })
    await ca.init()
    const { Roots } = ca.roots()
    expect(Roots.filter(root => root.Active)).toHaveLength(1)
    expect(new Set(handedOut.map(report => report.clusterId))).toEqual(new Set([ca.clusterId]))
    for (const entry of readdirSync(home, { recursive: true, withFileTypes: true }))
      if (entry.isFile()) expect(statSync(join(entry.parentPath, entry.name)).mode & 0o777).toBe(0o600)
    expect((await kept.load())!.rotation).toBeUndefined()
    const now = { leaf: await leaf('web'), bundlePem: ca.trustBundlePem() }
    expect(await handshake(now, now)).toEqual(trusted)
    // The last thing the mesh held before the crash works with what it gets now, both ways round.
    const last = handedOut.at(-1)
    expect(last).toBeDefined()
    const before = { leaf: last!, bundlePem: last!.bundlePem }
    expect(await handshake(before, now)).toEqual(trusted)
    expect(await handshake(now, before)).toEqual(trusted)
    await ca.rotateRoot()
    expect(ca.roots().Roots[0]!.Active).toBe(true)
    await ca.close()
    await store.close()
  })
})

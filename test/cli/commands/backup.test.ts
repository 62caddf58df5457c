// `outrigger backup …` against a control plane of this process, a folder, and an S3 that checks every signature.
import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ControlPlane } from '../../../src/control/control-plane.js'
import { CliFixture, runCommand } from '../../support/cli-fixture.js'
import { ACCESS_KEY, S3Fake, SECRET_KEY } from '../../support/s3-fake.js'

const folder = mkdtempSync(join(tmpdir(), 'outrigger-backups-'))
const keyFile = join(folder, 'backup.key')
const AWS: Record<string, string> = { AWS_ACCESS_KEY_ID: ACCESS_KEY, AWS_SECRET_ACCESS_KEY: SECRET_KEY }
const sources = { env: (name: string) => AWS[name], readText: (path: string) => readFileSync(path, 'utf8') }
let s3: S3Fake
let cli: CliFixture
beforeAll(async () => {
  writeFileSync(keyFile, randomBytes(32).toString('base64'))
  s3 = await S3Fake.start()
  cli = await new CliFixture({
    dataDir: join(folder, 'state'),
    encryptionKey: 'a key that seals the private keys',
    backups: { to: s3.place('prod'), keyFile, keep: '2', sources },
  }).start()
  await cli.out('kv', 'put', 'a', 'before')
  await cli.out('services', 'register', '-name', 'web', '-port', '1')
})
afterAll(async () => {
  await cli.stop()
  await s3.stop()
  rmSync(folder, { recursive: true })
})

const drill = (...flags: string[]) =>
  runCommand(['backup', 'drill', '--key-file', keyFile, ...flags], { ...AWS, OUTRIGGER_CA_KEY: 'a key that seals the private keys' })

describe('outrigger backup', () => {
  it('makes, lists and tells of backups', async () => {
    expect(await cli.out('backup', 'status')).toMatch(/Newest: +none is known/)
    const made = JSON.parse(await cli.out('backup', 'now', '--json')) as { Name: string; Bytes: number }
    expect([...s3.objects.keys()]).toEqual([`prod/${made.Name}`])
    expect(s3.objects.get(`prod/${made.Name}`)!.length).toBe(made.Bytes)
    expect(JSON.parse(await cli.out('backup', 'list', '--json'))).toMatchObject([{ Name: made.Name, Bytes: made.Bytes }])
    expect(JSON.parse(await cli.out('backup', 'status', '--json'))).toMatchObject({
      Encrypted: true,
      Keep: '2',
      LastMade: { Name: made.Name },
      LastFailure: null,
    })
    const metrics = await (await fetch(`http://${cli.plane.httpAddress}/v1/agent/metrics?format=prometheus`)).text()
    expect(metrics).toMatch(/^outrigger_control_backups_total 1$/m)
    expect(metrics).toMatch(new RegExp(`^outrigger_control_backup_last_size_bytes ${made.Bytes}$`, 'm'))
    expect(metrics).toMatch(/^outrigger_control_backup_last_success_timestamp_seconds 1[0-9]{9}$/m)
  })

  it('puts one back', async () => {
    await cli.out('kv', 'put', 'a', 'after')
    expect(await cli.out('backup', 'restore')).toMatch(/^Restored outrigger-dc1-/)
    expect(await cli.out('kv', 'get', 'a')).toBe('before\n')
  })

  it('drills: all is served as it was', async () => {
    const { code, out, err } = await drill('--from', s3.place('prod'), '--max-age', '1h')
    expect([code, err]).toEqual([0, ''])
    expect(out).toMatch(/ok +compare .* records are served as they were; 2 services/)
    expect(readdirSync(tmpdir()).filter(name => name.startsWith('outrigger-drill-'))).toEqual([])
  })

  it('drills: exit code 2 and the reason for what is damaged, of another key, too old, or not there', async () => {
    const [name, file] = [...s3.objects][0]!
    const failed = async (...flags: string[]): Promise<string> => {
      const { code, out } = await drill('--from', s3.place('prod'), '--json', ...flags)
      expect(code).toBe(2)
      const { OK, Steps } = JSON.parse(out) as { OK: boolean; Steps: { OK: boolean; Step: string; Detail: string }[] }
      expect(OK).toBe(false)
      return `${Steps.at(-1)!.Step}: ${Steps.at(-1)!.Detail}`
    }
    const damaged = Buffer.from(file)
    damaged[damaged.length - 20] = damaged[damaged.length - 20]! ^ 1
    s3.objects.set(name, damaged)
    expect(await failed()).toMatch(/^open: it is damaged: byte \d+ and what follows do not open with key [0-9a-f]{8}$/)
    s3.objects.set(name, file.subarray(0, 500))
    expect(await failed()).toMatch(/^open: it is cut off/)
    s3.objects.set(name, file)
    const other = join(folder, 'other.key')
    writeFileSync(other, randomBytes(32).toString('base64'))
    expect(await failed('--key-file', other)).toMatch(/^open: it is encrypted with key [0-9a-f]{8}, and the key file has [0-9a-f]{8}$/)
    expect(await failed('--max-age', '1ns')).toMatch(/^find: .* which is too long$/)
    expect(await failed('--mesh', '00000000')).toMatch(/^find: .* holds no backup of mesh 00000000$/)
    // The private keys in it are sealed with a key of their own.
    const { code, out } = await runCommand(['backup', 'drill', '--from', s3.place('prod'), '--key-file', keyFile], AWS)
    expect([code, out]).toEqual([2, expect.stringMatching(/FAILED +start /)])
  })

  it('takes the state out of the place, and a control plane begins with it', async () => {
    const state = join(folder, 'state.snap')
    const run = await runCommand(['backup', 'restore', '--from', s3.place('prod'), '--key-file', keyFile, '--output', state], AWS)
    expect([run.code, run.err]).toEqual([0, ''])
    expect(statSync(state).mode & 0o777).toBe(0o600)
    const roots = async (plane: ControlPlane) =>
      ((await (await fetch(`http://${plane.httpAddress}/v1/connect/ca/roots`)).json()) as { TrustDomain: string }).TrustDomain
    const backup = join(folder, 'as-it-is.backup')
    writeFileSync(backup, [...s3.objects.values()][0]!)
    for (const [i, file] of [state, backup].entries()) {
      const plane = new ControlPlane({
        httpAddr: '127.0.0.1:0',
        grpcAddr: '127.0.0.1:0',
        dataDir: join(folder, `new-${i}`),
        restore: file,
        encryptionKey: 'a key that seals the private keys',
        backups: { keyFile, sources },
      })
      await plane.start()
      expect(await roots(plane)).toBe(await roots(cli.plane))
      expect(await (await fetch(`http://${plane.httpAddress}/v1/kv/a?raw`)).text()).toBe('before')
      await plane.stop()
    }
  })

  it('fails loudly, harms nothing, and keeps as many as asked', async () => {
    s3.faults.push({ status: 403, code: 'AccessDenied' })
    expect(await cli.call('backup', 'now')).toMatchObject({ code: 1, err: expect.stringContaining('answered 403 AccessDenied') })
    expect(await cli.out('backup', 'status')).toMatch(/Last failure: .*AccessDenied/)
    for (const value of ['1', '2', '3']) {
      await cli.out('kv', 'put', 'b', value)
      await cli.out('backup', 'now')
    }
    expect(JSON.parse(await cli.out('backup', 'list', '--json'))).toHaveLength(2)
  })

  it('lists and drills a folder; its files are for their owner alone', async () => {
    const place = join(folder, 'deep', 'backups')
    const plane = await new CliFixture({ dataDir: join(folder, 'second'), backups: { to: place, sources } }).start()
    await plane.out('backup', 'now')
    await plane.stop()
    const [name] = readdirSync(place)
    expect(readdirSync(place)).toHaveLength(1)
    expect([statSync(place).mode & 0o777, statSync(join(place, name!)).mode & 0o777]).toEqual([0o700, 0o600])
    expect((await runCommand(['backup', 'list', '--from', place])).out).toContain(name)
    expect(await runCommand(['backup', 'drill', '--from', place])).toMatchObject({ code: 0, out: expect.stringContaining('not encrypted') })
    if (process.getuid?.() === 0) return
    chmodSync(place, 0o000)
    expect(await runCommand(['backup', 'list', '--from', place])).toMatchObject({
      code: 1,
      err: expect.stringContaining('permission denied'),
    })
    chmodSync(place, 0o700)
  })
})

describe('a control plane that is to make backups', () => {
  const refused = async (backups: object): Promise<string> => {
    const plane = new ControlPlane({ httpAddr: '127.0.0.1:0', grpcAddr: '127.0.0.1:0', backups: { sources, ...backups } })
    return plane.start().then(
      async () => {
        await plane.stop()
        return 'started'
      },
      (error: Error) => error.message,
    )
  }

  it('does not start with an option that is wrong, and names it', async () => {
    expect(await refused({ to: 's3://Mesh', keyFile })).toMatch(/^--backup-to: s3:\/\/Mesh: s3:\/\/ is followed by the name of a bucket/)
    expect(await refused({ to: 's3://mesh' })).toMatch(/^--backup-to: .* a key file is needed$/)
    expect(await refused({ to: 'ftp://mesh' })).toMatch(/^--backup-to: ftp:\/\/mesh: must be a folder or s3/)
    expect(await refused({ to: folder, every: 'sometimes' })).toMatch(/^--backup-every: "sometimes"/)
    expect(await refused({ to: folder, keep: 'everything' })).toMatch(/^--backup-keep: "everything"/)
    writeFileSync(join(folder, 'bad.key'), 'password')
    expect(await refused({ to: folder, keyFile: join(folder, 'bad.key') })).toMatch(/^--backup-key-file: .*line 1 is no key/)
    expect(existsSync(join(folder, 'Mesh'))).toBe(false)
  })

  it('asks for the flag that others need', async () => {
    expect(await runCommand(['control', '--backup-every', '6h'])).toMatchObject({
      code: 1,
      err: expect.stringContaining('need --backup-to'),
    })
  })
})

it('says where there are none', async () => {
  const plane = await new CliFixture().start()
  expect(await plane.call('backup', 'now')).toMatchObject({ code: 1, err: expect.stringContaining('this control plane makes no backups') })
  await plane.stop()
})

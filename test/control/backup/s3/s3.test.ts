import dns from 'node:dns'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { backupName } from '../../../../src/control/backup/backup-name.js'
import type { BackupTarget } from '../../../../src/control/backup/backup-target.js'
import { readList } from '../../../../src/control/backup/s3/s3-answers.js'
import { S3Client } from '../../../../src/control/backup/s3/s3-client.js'
import { s3Credentials } from '../../../../src/control/backup/s3/s3-credentials.js'
import { parseS3Settings } from '../../../../src/control/backup/s3/s3-settings.js'
import { S3Target } from '../../../../src/control/backup/s3/s3-target.js'
import { signRequest } from '../../../../src/control/backup/s3/sigv4.js'
import { eventually } from '../../../support/eventually.js'
import { ACCESS_KEY, type FakeOptions, S3Fake, SECRET_KEY } from '../../../support/s3-fake.js'

const CREDENTIALS = { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET_KEY }
const nameAt = (second: number): string => backupName('dc1', 'a.consul', Date.parse('2026-11-29T18:00:00Z') + second * 1_000, second)
const fakes: S3Fake[] = []

afterEach(async () => {
  vi.restoreAllMocks()
  await Promise.all(fakes.splice(0).map(fake => fake.stop()))
})

async function start(options?: FakeOptions): Promise<S3Fake> {
  const fake = await S3Fake.start(options)
  fakes.push(fake)
  return fake
}

const optionsOf = (place: string, credentials: object = CREDENTIALS) => ({
  settings: parseS3Settings(place, 'us-east-1'),
  credentials: () => credentials as typeof CREDENTIALS,
  firstPauseMs: 1,
})
const targetOf = (place: string, credentials?: object): BackupTarget => new S3Target(optionsOf(place, credentials))

describe('signatures', () => {
  it('are those that AWS publishes for its example', () => {
    // "GET Bucket (List Objects)" of the documentation of Signature Version 4 for S3.
    const headers = signRequest(
      { method: 'GET', host: 'examplebucket.s3.amazonaws.com', path: '/', query: { prefix: 'J', 'max-keys': '2' }, body: Buffer.alloc(0) },
      { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' },
      'us-east-1',
      new Date('2013-05-24T00:00:00Z'),
    )
    expect(headers['authorization']).toContain('Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7')
  })
})

describe('an S3 bucket', () => {
  it('keeps, lists over several pages, gives back and removes backups, and leaves other objects alone', async () => {
    const fake = await start({ pageSize: 2, region: 'eu-central-1', sessionToken: 'a+b/c=' })
    const target = targetOf(fake.place("mesh's(own)/prod"), { ...CREDENTIALS, sessionToken: 'a+b/c=' })
    for (let second = 0; second < 5; second++) await target.write(nameAt(second), Buffer.from(`state ${second}`))
    fake.objects.set("mesh's(own)/prod/notes & more.txt", Buffer.from('x'))
    fake.objects.set(`mesh's(own)/prod/below/${nameAt(9)}`, Buffer.from('x'))
    fake.objects.set(`elsewhere/${nameAt(8)}`, Buffer.from('x'))
    expect((await target.list()).map(({ name }) => name)).toEqual([4, 3, 2, 1, 0].map(nameAt))
    expect((await target.read(nameAt(3))).toString()).toBe('state 3')
    await target.remove(nameAt(3))
    await target.remove(nameAt(3))
    await expect(target.read(nameAt(3))).rejects.toThrow('there is no object')
    expect(fake.objects.size).toBe(7)
  })

  it('asks for backups alone, however much else lies beside them', async () => {
    const fake = await start({ pageSize: 2 })
    for (let i = 0; i < 9; i++) fake.objects.set(`a/other-${i}`, Buffer.from('x'))
    const target = targetOf(fake.place('a'))
    await target.write(nameAt(1), Buffer.from('x'))
    expect(await target.list()).toHaveLength(1)
    expect(fake.requests).toHaveLength(2)
  })

  it('is asked by virtual host as well', async () => {
    const fake = await start()
    vi.spyOn(dns, 'lookup').mockImplementation(((host: string, options: { all?: boolean }, done: (...args: unknown[]) => void) => {
      expect(host).toBe('mesh.s3.test')
      if (options.all === true) done(null, [{ address: '127.0.0.1', family: 4 }])
      else done(null, '127.0.0.1', 4)
    }) as typeof dns.lookup)
    const target = targetOf(`s3://mesh?endpoint=http://s3.test:${fake.port}&path-style=false`)
    await target.write(nameAt(1), Buffer.from('x'))
    expect((await target.list()).map(({ bytes }) => bytes)).toEqual([1])
    expect(fake.requests).toEqual([`PUT /${nameAt(1)}`, 'GET /'])
  })

  it('is tried again when it is busy, broken or gone for a moment, and not when it refuses', async () => {
    const fake = await start()
    const target = targetOf(fake.place())
    fake.faults.push('reset', { status: 503, code: 'SlowDown' }, { status: 500, code: 'InternalError' })
    await target.write(nameAt(1), Buffer.from('x'))
    expect(fake.requests).toHaveLength(4)
    fake.faults.push({ status: 403, code: 'AccessDenied' })
    await expect(target.list()).rejects.toThrow(/^bucket mesh at 127\.0\.0\.1:\d+: answered 403 AccessDenied: AccessDenied$/)
    fake.faults.push(...Array.from({ length: 5 }, () => ({ status: 503, code: 'SlowDown' })))
    await expect(target.list()).rejects.toThrow('answered 503 SlowDown: SlowDown (tried 5 times)')
    fake.faults.push({ status: 301, code: 'PermanentRedirect', headers: { 'x-amz-bucket-region': 'eu-west-3' } })
    await expect(target.list()).rejects.toThrow('it is in region eu-west-3, not in us-east-1')
    fake.faults.push({ status: 403, code: 'RequestTimeTooSkewed' })
    await expect(target.list()).rejects.toThrow('the clock of this machine is wrong')
  })

  it('refuses another secret, an answer that is no list and one that is too large, each in one line', async () => {
    const fake = await start()
    await expect(targetOf(fake.place(), { ...CREDENTIALS, secretAccessKey: 'other' }).list()).rejects.toThrow('SignatureDoesNotMatch')
    fake.faults.push({ status: 200, code: 'NotAList' })
    await expect(targetOf(fake.place()).list()).rejects.toThrow('is this an S3 endpoint?')
    fake.objects.set('big', Buffer.alloc(2_000))
    await expect(new S3Client(optionsOf(fake.place())).get('big', 1_000)).rejects.toThrow('more than 1000 bytes')
  })

  it('takes no list that is cut and does not say how it goes on: the newest backups would be missing', () => {
    const list = (more: string) => `<ListBucketResult><IsTruncated>true</IsTruncated>${more}</ListBucketResult>`
    expect(readList(list('<NextContinuationToken>a&amp;b</NextContinuationToken>'))).toEqual({ objects: [], nextToken: 'a&b' })
    expect(readList(list('<NextMarker>a</NextMarker>'))).toBeUndefined()
  })

  it('ends what it waits for when it is closed', async () => {
    const fake = await start()
    const target = new S3Target({ ...optionsOf(fake.place()), firstPauseMs: 3_600_000 })
    fake.faults.push('reset')
    const written = target.write(nameAt(1), Buffer.from('x'))
    const refused = expect(written).rejects.toThrow()
    await eventually(() => expect(fake.requests).toHaveLength(1))
    target.close()
    await refused
  })
})

describe('s3:// places', () => {
  it('name bucket, prefix, endpoint, region and style', () => {
    const aws = parseS3Settings('s3://mesh-backups', 'eu-west-1')
    expect(aws).toMatchObject({ bucket: 'mesh-backups', prefix: '', region: 'eu-west-1', pathStyle: false })
    expect(aws.endpoint.href).toBe('https://s3.eu-west-1.amazonaws.com/')
    const own = parseS3Settings('s3://mesh/a/b/?endpoint=https://minio:9000&region=x&ca-file=/ca.pem', 'eu-west-1')
    expect(own).toMatchObject({ prefix: 'a/b/', region: 'x', pathStyle: true, caFile: '/ca.pem' })
  })

  it('are refused with what is wrong with them', () => {
    for (const place of [
      's3://',
      's3://Mesh',
      's3://mesh//a',
      's3://mesh/../a',
      's3://mesh?style=path',
      's3://mesh?endpoint=minio:9000',
      's3://mesh?endpoint=https://a:b@minio',
      's3://mesh?path-style=yes',
      's3://mesh?region=EU WEST',
    ])
      expect(() => parseS3Settings(place, 'us-east-1'), place).toThrow(place)
  })
})

describe('credentials', () => {
  const file =
    '[default]\naws_access_key_id = A\naws_secret_access_key=S=1\n\n# more\n[other]\naws_access_key_id=B\naws_secret_access_key=T\naws_session_token=U\n'
  const from = (env: Record<string, string>, path?: string) => s3Credentials({ env: name => env[name], readText: () => file, file: path })

  it('come from the environment or from a profile of a file', () => {
    expect(from({ AWS_ACCESS_KEY_ID: 'E', AWS_SECRET_ACCESS_KEY: 'F' })).toEqual({ accessKeyId: 'E', secretAccessKey: 'F' })
    expect(from({ AWS_ACCESS_KEY_ID: 'E', AWS_SECRET_ACCESS_KEY: 'F' }, '/c')).toEqual({ accessKeyId: 'A', secretAccessKey: 'S=1' })
    expect(from({ AWS_SHARED_CREDENTIALS_FILE: '/c', AWS_PROFILE: 'other' })).toEqual({
      accessKeyId: 'B',
      secretAccessKey: 'T',
      sessionToken: 'U',
    })
  })

  it('are asked for by name when they are not there', () => {
    expect(() => from({})).toThrow('AWS_ACCESS_KEY_ID')
    expect(() => from({ AWS_PROFILE: 'nobody' }, '/c')).toThrow('/c: has no section [nobody]')
  })
})

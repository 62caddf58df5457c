import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { controlOptions } from '../../../src/cli/commands/control-options.js'
import { keysOf } from '../../../src/control/backup/open-backups.js'
import { ControlPlane } from '../../../src/control/control-plane.js'
import { openVault } from '../../../src/control/secrets/open-vault.js'
import { decodeVaultOptions, type VaultOptions } from '../../../src/control/secrets/vault-options.js'
import { heldClock } from '../../../src/io/clock.js'
import { testIo } from '../../support/command-io.js'
import { FakeVault } from '../../support/fake-vault/fake-vault.js'

const folder = mkdtempSync(join(tmpdir(), 'outrigger-vault-options-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const file = (name: string, text: string): string => {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

const problems = (raw: Record<string, unknown>): string[] => {
  const result = decodeVaultOptions(raw)
  return 'settings' in result ? [] : result.map(({ path, reason }) => `${path}: ${reason}`)
}
const Address = 'https://vault.example:8200'

describe('--vault-config', () => {
  it('reads address, TLS, login and interval, in both spellings', () => {
    expect(decodeVaultOptions({ address: Address, token_file: '/run/token', ca_file: '/ca', poll_interval: '5m' })).toMatchObject({
      settings: { address: Address, tls: { caFile: '/ca' }, login: { kind: 'token-file', path: '/run/token' } },
      pollMs: 300_000,
    })
    expect(decodeVaultOptions({ Address, AuthMethod: { Type: 'kubernetes', Params: { role: 'mesh' } } })).toMatchObject({
      settings: { login: { kind: 'kubernetes', role: 'mesh' } },
      pollMs: 60_000,
    })
  })

  it.each([
    [{ Address }, 'Token: must provide a Vault token or configure a Vault auth method'],
    [{ Address, TokenFile: '/t', Token: 'x' }, 'TokenFile: excludes Token and AuthMethod'],
    [{ Address, Token: 'x', PollInterval: '1s' }, 'PollInterval: must be a duration from 5s to 1h, is "1s"'],
    [{ Address, Token: 'x', Adress: 'y' }, 'Adress: is not a field of it'],
    [{ Address, Token: 1 }, 'Token: must be a string'],
    [{ Token: 'x' }, 'Address: is required'],
  ])('refuses %j', (raw, expected) => {
    expect(problems(raw)).toContain(expected)
  })
})

describe('backup keys in Vault', () => {
  it('are read anew for each backup, and refused by name where they are none', async () => {
    const vault = new FakeVault({ clock: heldClock })
    await vault.start()
    vault.mountKv('secret')
    const first = randomBytes(32).toString('base64')
    vault.putSecret('secret', 'mesh', { backup_keys: first })
    const { session } = openVault(decodeVaultOptions({ address: vault.address, token: 'root' }) as VaultOptions, () => {})
    const sources = { env: () => undefined, readText: () => '', file: undefined }
    const keys = keysOf({ keyFile: 'vault://secret/data/mesh#backup_keys', sources }, session)!
    try {
      expect((await keys()).current.secret.toString('base64')).toBe(first)
      const second = randomBytes(32).toString('base64')
      vault.putSecret('secret', 'mesh', { backup_keys: `${second}\n${first}\n` })
      const rotated = await keys()
      expect(rotated.current.secret.toString('base64')).toBe(second)
      expect(rotated.all.size).toBe(2)
      vault.putSecret('secret', 'mesh', { backup_keys: 'a password' })
      await expect(keys()).rejects.toThrow('vault://secret/data/mesh#backup_keys: line 1 is no key')
      await expect(keysOf({ keyFile: 'vault://secret/data/mesh#x', sources }, undefined)!()).rejects.toThrow(
        'the backup key is in Vault, and no --vault-config says where Vault is',
      )
      expect(vault.violations).toEqual([])
    } finally {
      session.close()
      await vault.stop()
    }
  })
})

describe('an encryption key in Vault', () => {
  it('is read at the start by its reference, and is the same as the key itself', async () => {
    const vault = new FakeVault({ clock: heldClock })
    await vault.start()
    vault.mountKv('secret')
    vault.putSecret('secret', 'mesh', { ca_key: 'a key of more than sixteen characters' })
    const vaultConfig = file('vault.hcl', `address = "${vault.address}"\ntoken = "root"\n`)
    const flags = { httpAddr: '127.0.0.1:0', grpcAddr: '127.0.0.1:0', dataDir: join(folder, 'data'), ui: false }
    const start = async (more: object): Promise<string> => {
      const plane = new ControlPlane(controlOptions({ ...flags, ...more }, testIo({})))
      await plane.start()
      const roots = await (await fetch(`http://${plane.httpAddress}/v1/connect/ca/roots`)).json()
      await plane.stop()
      return (roots as { ActiveRootID: string }).ActiveRootID
    }
    try {
      const first = await start({ vaultConfig, caKeyFile: 'vault://secret/data/mesh#ca_key' })
      expect(await start({ caKeyFile: file('key', 'a key of more than sixteen characters\n') })).toBe(first)
      await expect(start({ caKeyFile: file('other', 'another key of that length') })).rejects.toThrow('the encryption key is another one')
      await expect(start({ caKeyFile: 'vault://secret/data/mesh#ca_key' })).rejects.toThrow(
        'the encryption key is in Vault, and no --vault-config says where Vault is',
      )
      await expect(start({ vaultConfig, caKeyFile: 'vault://secret/data/mesh#other' })).rejects.toThrow(
        'the encryption key: the secret at secret/data/mesh has no text in its field other',
      )
      await expect(start({ vaultConfig, caKeyFile: 'vault://secret/mesh' })).rejects.toThrow('must have the form vault://')
      expect(vault.violations).toEqual([])
    } finally {
      await vault.stop()
    }
  })
})

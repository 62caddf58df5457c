// The secrets that webhooks are signed with: read from a file anew each time, and never quoted.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { openWebhookSecrets } from '../../../src/control/rollouts/webhook-secrets.js'

const folder = mkdtempSync(join(tmpdir(), 'outrigger-secrets-'))
afterAll(() => rmSync(folder, { recursive: true }))
const file = join(folder, 'webhook.key')
const secret = (fill: number, bytes = 32): string => `whsec_${Buffer.alloc(bytes, fill).toString('base64')}`
const write = (text: string): void => writeFileSync(file, text)

it('are those of the file as it is now', async () => {
  write(`# first\n\n${secret(1)}\n`)
  const read = await openWebhookSecrets(file, undefined)
  expect(await read()).toEqual([secret(1)])
  write(`${secret(2)}\n  ${secret(1)}\n`)
  expect(await read()).toEqual([secret(2), secret(1)])
  rmSync(file)
  await expect(read()).rejects.toThrow(`--webhook-secret-file ${file}: ENOENT`)
})

describe('are refused in one line that quotes none of them', () => {
  it.each([
    ['a password', 'correct horse battery staple', 'line 1 is no secret'],
    ['a short one', secret(1, 23), 'line 1 is no secret'],
    ['a long one', `${secret(1)}\n${secret(1, 65)}`, 'line 2 is no secret'],
    ['none', '# nothing\n', 'holds 0 secrets, and must hold 1 to 4'],
    ['too many', Array.from({ length: 5 }, (_, i) => secret(i)).join('\n'), 'holds 5 secrets, and must hold 1 to 4'],
  ])('%s', async (_what, text, expected) => {
    write(text)
    const error = await openWebhookSecrets(file, undefined).then(
      () => expect.unreachable(),
      (reason: Error) => reason.message,
    )
    expect(error).toContain(expected)
    expect(error).not.toMatch(/whsec_[A-Za-z0-9+/]|horse/)
  })

  it('one in Vault, and no Vault', async () => {
    await expect(openWebhookSecrets('vault://secret/data/mesh#webhooks', undefined)).rejects.toThrow(
      /^--webhook-secret-file is in Vault, and no/,
    )
  })
})

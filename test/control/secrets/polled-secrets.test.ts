import { expect, it } from 'vitest'
import { PolledSecrets } from '../../../src/control/secrets/polled-secrets.js'
import { parseKvReference } from '../../../src/vault/kv-secrets.js'
import type { VaultSession } from '../../../src/vault/vault-session.js'
import { ManualClock } from '../../support/manual-clock.js'

it('says how many of the secrets that are named it does not read', () => {
  const problems: string[] = []
  const session = { read: () => new Promise(() => {}) } as unknown as VaultSession
  const polled = new PolledSecrets({
    session,
    pollMs: 60_000,
    clock: new ManualClock(),
    onChange: () => {},
    onProblem: reason => problems.push(reason),
  })
  const references = Array.from({ length: 1_002 }, (_, i) => parseKvReference(`vault://secret/data/app-${i}#word`)!)
  polled.use(references.slice(0, 1_000))
  expect(problems).toEqual([])
  polled.use(references)
  expect(problems).toEqual(['2 of 1002 secrets of Vault that are named are not read: the limit is 1000'])
})

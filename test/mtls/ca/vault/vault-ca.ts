// A CA whose provider is a fake Vault, for the tests of this folder.
import { type CaConfig, decodeCaConfig } from '../../../../src/mtls/ca/config.js'
import { FakeVault, type FakeVaultOptions } from '../../../support/fake-vault/fake-vault.js'
import { ImpatientClock } from '../../../support/fake-vault/impatient-clock.js'

export interface VaultWorld {
  readonly vault: FakeVault
  readonly clock: ImpatientClock
  /** Consul's form; no rate limit unless given. */
  config(fields?: Record<string, unknown>): CaConfig
}

export async function startVaultWorld(options: Partial<FakeVaultOptions> = {}): Promise<VaultWorld> {
  const clock = new ImpatientClock()
  const vault = new FakeVault({ ...options, clock })
  await vault.start()
  const config = (fields: Record<string, unknown> = {}): CaConfig => {
    const { ForceWithoutCrossSigning, ...rest } = fields
    const token = 'AuthMethod' in rest ? {} : { Token: 'root' }
    const decoded = decodeCaConfig({
      Provider: 'vault',
      Config: {
        Address: vault.address,
        ...token,
        RootPKIPath: 'connect_root/',
        IntermediatePKIPath: 'connect_inter',
        CSRMaxPerSecond: 0,
        ...rest,
      },
      ...(ForceWithoutCrossSigning === undefined ? {} : { ForceWithoutCrossSigning }),
    })
    if (!decoded.ok) throw new Error(JSON.stringify(decoded.problems))
    return decoded.config
  }
  return { vault, clock, config }
}

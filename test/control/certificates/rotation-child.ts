// A process that does nothing but change its CA's state until it is killed. Compiled and run by ca-crash.test.ts.
// It reports on stdout, one JSON a line: `save` around each save, and `done` with what a mesh would hold after each step.
import { DatabaseCaStore } from '../../../src/control/certificates/database-ca-store.js'
import { JournalStore } from '../../../src/control/store/journal/journal-store.js'
import { CertificateAuthority } from '../../../src/mtls/ca/authority.js'
import { DEFAULT_CA_CONFIG } from '../../../src/mtls/ca/config.js'
import { type CaState, type CaStore, StateSeal } from '../../../src/mtls/ca/store.js'
import { serviceSpiffeId } from '../../../src/mtls/spiffe.js'

const [, , dir = '', encryptionKey = ''] = process.argv
const report = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`)

class ReportingStore implements CaStore {
  constructor(private readonly kept: CaStore) {}

  load(): Promise<CaState | undefined> {
    return this.kept.load()
  }

  async save(state: CaState): Promise<void> {
    report({ save: 'begins' })
    await this.kept.save(state)
    report({ save: 'ends' })
  }
}

const kept = new DatabaseCaStore(await JournalStore.open(dir), new StateSeal(encryptionKey))
const ca = new CertificateAuthority({ store: new ReportingStore(kept), config: { ...DEFAULT_CA_CONFIG, csrMaxPerSecond: 0 } })
await ca.init()
for (;;) {
  const leaf = await ca.signer.issue({ uri: serviceSpiffeId({ trustDomain: ca.trustDomain, datacenter: 'dc1', service: 'web' }) })
  report({
    done: {
      clusterId: ca.clusterId,
      active: ca.roots().ActiveRootID,
      bundlePem: ca.trustBundlePem(),
      chainPem: leaf.chainPem,
      keyPem: leaf.keyPem,
    },
  })
  await ca.rotateRoot()
}

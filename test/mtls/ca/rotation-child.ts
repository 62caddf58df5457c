// A process that does nothing but change its CA's state until it is killed. Compiled and run by crash.test.ts.
// It reports on stdout, one JSON a line: `save` around each save, and `done` with what a mesh would hold after each step.
import { CertificateAuthority } from '../../../src/mtls/ca/authority.js'
import { DEFAULT_CA_CONFIG } from '../../../src/mtls/ca/config.js'
import { FileCaStore } from '../../../src/mtls/ca/file-store.js'
import type { CaState, CaStore } from '../../../src/mtls/ca/store.js'
import { serviceSpiffeId } from '../../../src/mtls/spiffe.js'

const [, , path = '', encryptionKey = ''] = process.argv
const report = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`)

class ReportingStore implements CaStore {
  private readonly files = new FileCaStore({ path, encryptionKey })

  load(): Promise<CaState | undefined> {
    return this.files.load()
  }

  async save(state: CaState): Promise<void> {
    report({ save: 'begins' })
    await this.files.save(state)
    report({ save: 'ends' })
  }
}

const ca = new CertificateAuthority({ store: new ReportingStore(), config: { ...DEFAULT_CA_CONFIG, csrMaxPerSecond: 0 } })
await ca.init()
for (;;) {
  const leaf = await ca.issueLeaf({ uri: serviceSpiffeId({ trustDomain: ca.trustDomain, datacenter: 'dc1', service: 'web' }) })
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

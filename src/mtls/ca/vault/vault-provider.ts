// The provider for Vault's PKI secrets engine (OpenBao's too): the root in one mount, the intermediate that signs leaves in another; their keys
// never leave Vault. Made and driven by the authority. Invariant: leaves are signed by the issuer that the persisted chain names, so that an
// intermediate made for the next root can stand in the same mount while the old one still signs; what Vault answers is checked before it is used.
import type { WallClock } from '../../../io/clock.js'
import { VaultError } from '../../../vault/vault-error.js'
import { VaultSession } from '../../../vault/vault-session.js'
import { CaError } from '../../x509/certificate-error.js'
import { type Certificate, canonicalIp, type Issued, isIssuedBy, type Names, readCertificate } from '../../x509/x509.js'
import { caName, checkRoot } from '../builtin-provider.js'
import type { CaProvider, LeafToSign, ProviderChain, ProviderContext } from '../provider.js'
import { readIntermediate } from '../roots.js'
import { PkiMount } from './pki-mount.js'
import type { VaultProviderConfig } from './vault-config.js'

interface RootCa {
  readonly root: Certificate
  /** What the root mount signs with: the root itself, or an intermediate below a root that is outside of Vault. */
  readonly signing: Certificate
  /** `signing` and what stands above it, without the root, in the order of a chain; empty where it is the root itself. */
  readonly between: readonly Certificate[]
}

export class VaultProvider implements CaProvider {
  readonly kind = 'vault'
  private readonly session: VaultSession
  private readonly rootMount: PkiMount
  private readonly intermediateMount: PkiMount

  constructor(
    config: VaultProviderConfig,
    clock: WallClock,
    private readonly onProblem: (reason: string) => void,
  ) {
    this.session = new VaultSession({ settings: config.vault, clock, onProblem })
    const mount = (path: string, namespace: string) => new PkiMount(this.session, path, namespace === '' ? undefined : namespace, onProblem)
    this.rootMount = mount(config.rootPath, config.rootNamespace)
    this.intermediateMount = mount(config.intermediatePath, config.intermediateNamespace)
  }

  async chain(context: ProviderContext): Promise<ProviderChain> {
    return asCaError(async () => {
      await this.makeRootCa(context)
      const ca = await this.rootCa(context)
      const kept = context.current
      await this.intermediateMount.ensure({
        description: 'intermediate CA of the service mesh',
        maxLeaseMs: context.config.intermediateCertTtlMs,
        tune: true,
      })
      await this.intermediateMount.writeLeafRole(context.config.leafCertTtlMs)
      return kept !== undefined && (await this.isGood(kept, ca, context)) ? kept : this.withIntermediate(ca, context)
    })
  }

  /** Where there is none: for a new configuration, and never to renew what is in force, or in its place. */
  private async makeRootCa({ config, clusterId, trustDomain, keepsRoot }: ProviderContext): Promise<void> {
    const mount = this.rootMount
    if (keepsRoot !== true)
      await mount.ensure({ description: 'root CA of the service mesh', maxLeaseMs: config.rootCertTtlMs, tune: false })
    if (await mount.hasIssuers()) return
    if (keepsRoot === true)
      throw new CaError(
        'root-invalid',
        `${mount.path}/ in Vault holds no CA any more, and the root in force is from there: choose another RootPKIPath to begin with a new root`,
      )
    const names = { commonName: caName('vault', 'root', clusterId), uri: `spiffe://${trustDomain}`, key: config.privateKey }
    await mount.generateRoot(names, config.rootCertTtlMs)
  }

  private async rootCa({ config, nowMs }: ProviderContext): Promise<RootCa> {
    const mount = this.rootMount
    const [signing, ...above] = (await mount.caChain()).map(readCertificate)
    if (signing === undefined) throw new CaError('root-invalid', `${mount.path}/ in Vault holds no CA`)
    const { keySpec } = signing
    for (const [field, found, wanted] of [
      ['PrivateKeyType', keySpec?.type, config.privateKey.type],
      ['PrivateKeyBits', keySpec?.bits, config.privateKey.bits],
    ])
      if (found !== wanted)
        throw new CaError(
          'config',
          `cannot update the ${field} field without choosing a new PKI mount for the root CA (the key in ${mount.path}/ is ${found ?? 'of another kind'}, asked for is ${wanted})`,
        )
    const what = `the CA of ${mount.path}/ in Vault`
    const root = [signing, ...above].find(certificate => isIssuedBy(certificate, certificate))
    if (root === undefined) throw new CaError('root-invalid', `${what} leads to no self-signed root; import its whole chain there`)
    checkRoot(root, what, nowMs)
    if (signing.pathLength === 0) throw new CaError('root-invalid', `${what} has path length 0 and can have no intermediate below it`)
    return { root, signing, between: root === signing ? [] : [signing, ...above.filter(certificate => certificate !== root)] }
  }

  /** Whether the intermediate in force is of the same root and mount, has the key asked for, and lives for long enough. */
  private async isGood(
    { rootPem, intermediatePem, issuerId }: ProviderChain,
    { root }: RootCa,
    { config, nowMs }: ProviderContext,
  ): Promise<boolean> {
    if (issuerId === undefined || rootPem !== root.pem) return false
    const { keySpec, notBeforeMs, notAfterMs } = readCertificate(intermediatePem)
    if (keySpec?.type !== config.privateKey.type || keySpec.bits !== config.privateKey.bits) return false
    if (nowMs >= (notBeforeMs + notAfterMs) / 2) return false
    const known = await this.intermediateMount.certificateOf(issuerId)
    return known !== undefined && readCertificate(known).pem === intermediatePem
  }

  private async withIntermediate({ root, signing, between }: RootCa, context: ProviderContext): Promise<ProviderChain> {
    const { config, clusterId, trustDomain, nowMs } = context
    const mount = this.intermediateMount
    const names = { commonName: caName('vault', 'int', clusterId), uri: `spiffe://${trustDomain}`, key: config.privateKey }
    const csr = await mount.generateCsr(names)
    const endMs = Math.min(signing.notAfterMs, root.notAfterMs)
    const intermediate = readCertificate(await this.rootMount.signIntermediate(csr, Math.min(config.intermediateCertTtlMs, endMs - nowMs)))
    if (!intermediate.canSignCertificates || !isIssuedBy(intermediate, signing))
      throw new CaError('intermediate-invalid', `${this.rootMount.path}/ in Vault answered an intermediate that is no CA of its own`)
    if (intermediate.notAfterMs < nowMs + 3 * config.leafCertTtlMs)
      this.onProblem(
        `the intermediate ends at ${new Date(intermediate.notAfterMs).toISOString()}, in less than 3 x LeafCertTTL: is max_lease_ttl of ${this.rootMount.path}/ too short?`,
      )
    const above = between.length === 0 ? [root] : [...between, root]
    const issuerId = await mount.setSigned([intermediate, ...above].map(certificate => certificate.pem).join(''))
    await mount.makeDefault(issuerId)
    return {
      rootPem: root.pem,
      otherRootPems: [],
      intermediatePem: intermediate.pem,
      extraChainPems: between.map(certificate => certificate.pem),
      issuerId,
    }
  }

  crossSign(chain: ProviderChain, root: Certificate): Promise<Certificate> {
    return asCaError(async () => {
      const own = readCertificate(chain.rootPem)
      const unsupported = (reason: string) => new CaError('cross-sign-unsupported', reason)
      if (chain.extraChainPems.length > 0)
        throw unsupported(`${this.rootMount.path}/ in Vault holds an intermediate of another root, which cannot cross-sign one`)
      if (own.pathLength !== undefined && own.pathLength < 2)
        throw unsupported(`the active root has path length ${own.pathLength}, cross-signing a root needs 2`)
      let pem: string
      try {
        pem = await this.rootMount.signSelfIssued(root.pem, own.pem)
      } catch (error) {
        // Denied or not known: that will not pass by itself, as an outage does.
        if (error instanceof VaultError && error.status >= 400 && error.status < 500 && error.status !== 429)
          throw unsupported(error.message)
        throw error
      }
      const crossSigned = readCertificate(pem)
      if (!isIssuedBy(crossSigned, own) || !crossSigned.publicKey.equals(root.publicKey))
        throw unsupported(`${this.rootMount.path}/ in Vault answered a cross-sign that is not the active root's`)
      return crossSigned
    })
  }

  renewIntermediate(chain: ProviderChain, context: ProviderContext): Promise<ProviderChain> {
    return asCaError(async () => {
      const ca = await this.rootCa(context)
      if (ca.root.pem !== chain.rootPem)
        throw new CaError(
          'root-invalid',
          `${this.rootMount.path}/ in Vault has another root now; "outrigger ca rotate-root" goes over to it`,
        )
      return this.withIntermediate(ca, context)
    })
  }

  canSign(chain: ProviderChain): boolean {
    return chain.issuerId !== undefined
  }

  signLeaf(chain: ProviderChain, leaf: LeafToSign): Promise<Issued> {
    const { issuerId } = chain
    if (issuerId === undefined) throw new CaError('signer-unavailable', 'the intermediate of the active root is not in Vault')
    return asCaError(async () => {
      const pem = await this.intermediateMount.signLeaf(issuerId, leaf.csrPem, leaf.notAfterMs - leaf.nowMs)
      const certificate = readCertificate(pem)
      const problem = whyNot(certificate, leaf, readIntermediate(chain))
      if (problem !== undefined)
        throw new CaError('signer-unavailable', `${this.intermediateMount.path}/ in Vault answered a leaf that ${problem}`)
      return certificate
    })
  }

  watch(): void {}

  async check(): Promise<void> {}

  close(): void {
    this.session.close()
  }
}

function whyNot(certificate: Certificate, leaf: LeafToSign, intermediate: Certificate): string | undefined {
  if (!isIssuedBy(certificate, intermediate)) return 'another issuer has signed'
  if (!certificate.publicKey.equals(leaf.publicKey)) return 'has another key than the request'
  if (certificate.canSignCertificates) return 'is a CA'
  if (namesText(certificate.names) !== namesText(leaf.names)) return 'holds other names than the request'
  return undefined
}

/** The order of names is Vault's; none is there twice. */
const namesText = ({ uris, dns, ips = [] }: Names): string =>
  JSON.stringify([[...uris].sort(), [...dns].sort(), ips.map(canonicalIp).sort()])

async function asCaError<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw error instanceof VaultError ? new CaError('signer-unavailable', error.message, error) : error
  }
}

// The provider for an external PKI: roots, intermediate and its key come from the operator's files and are read again when they change.
// Made and driven by the authority. The files are polled by content, which also sees renames, links swapped by a volume mount and
// changes within one tick of the file system's clock. Invariant: only a set of files that fits together (key, chain, times) is ever
// handed on; half-written or mismatched files are retried at the next poll while the last good set goes on signing.
// The operator's key stays in memory: it is never part of the `ProviderChain` that is persisted.
import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import type { WallClock } from '../../io/clock.js'
import { CaError, reasonOf } from '../x509/certificate-error.js'
import { certificatePems } from '../x509/der.js'
import { readPrivateKey } from '../x509/keys.js'
import { type Certificate, type Issued, isIssuedBy, readCertificate, type Signer } from '../x509/x509.js'
import { checkRoot, signWith } from './builtin-provider.js'
import type { CaConfig } from './config.js'
import type { CaProvider, LeafToSign, ProviderChain } from './provider.js'

const POLL_INTERVAL_MS = 5_000
/** Longest file read. */
const MAX_FILE_BYTES = 1024 * 1024
/** Most certificates in the root file or the intermediate file. */
const MAX_CERTIFICATES = 32

type FilesConfig = Extract<CaConfig['provider'], { kind: 'files' }>

interface Loaded {
  readonly digest: string
  readonly chain: ProviderChain
  readonly signer: Signer
}

export class FileProvider implements CaProvider {
  readonly kind = 'files'
  private readonly files: FilesConfig
  private readonly clock: WallClock
  private good: Loaded | undefined
  /** Signers of the chains handed out, by intermediate: a rotation still signs with the old one for a moment. */
  private readonly signers = new Map<string, Signer>()
  private lastProblem = ''
  private timer: NodeJS.Timeout | undefined
  private busy = false
  private checking: Promise<void> = Promise.resolve()
  private onChange: (chain: ProviderChain) => Promise<void> = async () => {}
  private onProblem: (reason: string) => void = () => {}

  constructor(files: FilesConfig, clock: WallClock) {
    this.files = files
    this.clock = clock
  }

  async chain(): Promise<ProviderChain> {
    this.accept(await this.load())
    return this.good!.chain
  }

  async crossSign(): Promise<Certificate> {
    throw new CaError('cross-sign-unsupported', 'the provider "files" does not hold the key of its root and cannot cross-sign another')
  }

  async renewIntermediate(): Promise<undefined> {
    return undefined
  }

  canSign(chain: ProviderChain): boolean {
    return this.signers.has(chain.intermediatePem)
  }

  async signLeaf(chain: ProviderChain, leaf: LeafToSign): Promise<Issued> {
    return signWith(this.signer(chain), leaf)
  }

  private signer(chain: ProviderChain): Signer {
    const signer = this.signers.get(chain.intermediatePem)
    if (signer === undefined) {
      throw new CaError(
        'signer-unavailable',
        `the intermediate of the active root is not in ${this.files.intermediateFile} and ${this.files.keyFile}`,
      )
    }
    return signer
  }

  watch(onChange: (chain: ProviderChain) => Promise<void>, onProblem: (reason: string) => void): void {
    this.onChange = onChange
    this.onProblem = onProblem
    this.timer = setInterval(() => {
      // A rotation that waits for the mesh can outlast many intervals.
      if (!this.busy) void this.check()
    }, POLL_INTERVAL_MS)
    this.timer.unref()
  }

  check(): Promise<void> {
    this.checking = this.checking.then(() => this.checkOnce())
    return this.checking
  }

  close(): void {
    clearInterval(this.timer)
    this.onChange = async () => {}
    this.onProblem = () => {}
  }

  private async checkOnce(): Promise<void> {
    this.busy = true
    try {
      const loaded = await this.load()
      const before = this.good
      if (loaded.digest !== before?.digest) {
        this.accept(loaded)
        try {
          await this.onChange(loaded.chain)
        } catch (error) {
          // Not taken over (the state could not be saved, say): offer it again at the next poll.
          this.good = before
          throw error
        }
      }
      this.lastProblem = ''
    } catch (error) {
      const reason = reasonOf(error)
      if (reason === this.lastProblem) return
      this.lastProblem = reason
      this.onProblem(reason)
    } finally {
      this.busy = false
    }
  }

  private accept(loaded: Loaded): void {
    const previous = this.good
    this.good = loaded
    for (const pem of this.signers.keys()) if (pem !== previous?.chain.intermediatePem) this.signers.delete(pem)
    this.signers.set(loaded.chain.intermediatePem, loaded.signer)
  }

  private async load(): Promise<Loaded> {
    const { rootFile, intermediateFile, keyFile } = this.files
    const [roots, intermediates, keyText] = await Promise.all([readBounded(rootFile), readBounded(intermediateFile), readBounded(keyFile)])
    const digest = createHash('sha256')
      .update(JSON.stringify([roots, intermediates, keyText]))
      .digest('hex')
    if (digest === this.good?.digest) return this.good
    const nowMs = this.clock.wallNow()
    const rootCerts = readAll(roots, rootFile)
    const [intermediate, ...extras] = readAll(intermediates, intermediateFile)
    const key = readPrivateKey(keyText, keyFile)
    if (!intermediate!.x509.checkPrivateKey(key))
      throw new CaError('key-mismatch', `${keyFile} does not belong to the first certificate of ${intermediateFile}`)
    checkIntermediate(intermediate!, intermediateFile, nowMs)
    const active = rootCerts.find(root => isIssuedBy(intermediate!, root))
    if (active === undefined)
      throw new CaError(
        'intermediate-invalid',
        `the first certificate of ${intermediateFile} is signed by none of the roots in ${rootFile}`,
      )
    checkRoot(active, `the root in ${rootFile}`, nowMs)
    if (active.pathLength === 0)
      throw new CaError('root-invalid', `the root in ${rootFile} has path length 0 and can have no intermediate below it`)
    const others = rootCerts.filter(root => root !== active && root.notAfterMs > nowMs)
    // A root that is not valid yet may well be published early.
    for (const root of others)
      if (!root.canSignCertificates) throw new CaError('root-invalid', `a root in ${rootFile} is not a CA that may sign certificates`)
    return {
      digest,
      signer: { certificate: intermediate!, key },
      chain: {
        rootPem: active.pem,
        otherRootPems: others.map(root => root.pem),
        intermediatePem: intermediate!.pem,
        extraChainPems: extras.map(extra => extra.pem),
      },
    }
  }
}

function checkIntermediate(certificate: Certificate, file: string, nowMs: number): void {
  const what = `the first certificate of ${file}`
  if (!certificate.canSignCertificates) throw new CaError('intermediate-invalid', `${what} is not a CA that may sign certificates`)
  if (nowMs < certificate.notBeforeMs)
    throw new CaError('intermediate-invalid', `${what} is not valid before ${new Date(certificate.notBeforeMs).toISOString()}`)
  if (nowMs >= certificate.notAfterMs)
    throw new CaError('intermediate-invalid', `${what} has expired at ${new Date(certificate.notAfterMs).toISOString()}`)
}

function readAll(text: string, file: string): Certificate[] {
  try {
    const pems = certificatePems(text)
    if (pems.length === 0) throw new Error('it holds no certificate in PEM')
    if (pems.length > MAX_CERTIFICATES) throw new Error(`it holds ${pems.length} certificates, the limit is ${MAX_CERTIFICATES}`)
    return pems.map(readCertificate)
  } catch (error) {
    throw new CaError('files-unreadable', `${file}: ${reasonOf(error)}`, error)
  }
}

async function readBounded(file: string): Promise<string> {
  try {
    const handle = await open(file, 'r')
    try {
      const { size } = await handle.stat()
      if (size > MAX_FILE_BYTES) throw new Error(`it has ${size} bytes, the limit is ${MAX_FILE_BYTES}`)
      return await handle.readFile('utf8')
    } finally {
      await handle.close()
    }
  } catch (error) {
    throw new CaError('files-unreadable', `${file}: ${reasonOf(error)}`, error)
  }
}

// The webhook's certificate and key, from files that someone renews: a Secret's folder, where the kubelet swaps a link. Used by
// webhook-server.ts. Invariant: a pair is used only whole; one that does not fit leaves the last good one in use, and is said in the log.
import { createSecureContext } from 'node:tls'
import { readText } from '../api/read-file.js'

export interface CertificatePair {
  readonly cert: string
  readonly key: string
}

const LOOK_EVERY_MS = 5_000

export class CertificateFiles {
  private pair: CertificatePair
  private lastProblem = ''
  private timer: NodeJS.Timeout | null = null

  /** Throws where the files cannot be used: a server without a certificate serves nobody. */
  constructor(
    private readonly certFile: string,
    private readonly keyFile: string,
  ) {
    this.pair = readPair(certFile, keyFile)
  }

  get current(): CertificatePair {
    return this.pair
  }

  /** Looks for new files from time to time. */
  watch(onNew: (pair: CertificatePair) => void, onProblem: (message: string) => void, everyMs = LOOK_EVERY_MS): void {
    this.timer = setInterval(() => this.look(onNew, onProblem), everyMs)
    this.timer.unref()
  }

  close(): void {
    if (this.timer !== null) clearInterval(this.timer)
  }

  private look(onNew: (pair: CertificatePair) => void, onProblem: (message: string) => void): void {
    try {
      const next = readPair(this.certFile, this.keyFile)
      this.lastProblem = ''
      if (next.cert === this.pair.cert && next.key === this.pair.key) return
      this.pair = next
      onNew(next)
    } catch (error) {
      const { message } = error as Error
      if (message !== this.lastProblem) onProblem(message)
      this.lastProblem = message
    }
  }
}

function readPair(certFile: string, keyFile: string): CertificatePair {
  const pair = { cert: readText(certFile), key: readText(keyFile) }
  try {
    createSecureContext(pair)
  } catch (error) {
    throw new Error(`${certFile} and ${keyFile} are no certificate and its key: ${(error as Error).message}`)
  }
  return pair
}

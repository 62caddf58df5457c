// When a certificate of our own is near its end: whoever issued it should have renewed it long before. Asked of every certificate in use, by
// TlsContexts. Pure. A share of the lifetime and no fixed time, since leaves live from an hour (SPIRE) to years (files).

import type { OwnCertificate } from './own-certificate.js'

const DAY_MS = 86_400_000
/** Renewal begins at half the lifetime or, at the latest, at nine tenths of it. */
const LAST_SHARE = 0.1

export interface OwnEnding {
  /** What it is known by: its first name. */
  readonly name: string
  /** Where it is from: `<inline>`, or the file. */
  readonly path: string
  readonly sha256: string
  readonly notAfterMs: number
  readonly expired: boolean
}

/** Null: there is time. */
export function endingOf({ identity, path }: Pick<OwnCertificate, 'identity' | 'path'>, nowMs: number): OwnEnding | null {
  const { notBeforeMs, notAfterMs, uriSans, dnsSans, subject, sha256 } = identity
  const leftMs = notAfterMs - nowMs
  if (leftMs > Math.min(DAY_MS, (notAfterMs - notBeforeMs) * LAST_SHARE)) return null
  return { name: uriSans[0] ?? dnsSans[0] ?? subject, path, sha256, notAfterMs, expired: leftMs <= 0 }
}

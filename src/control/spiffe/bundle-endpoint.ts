// Fetches a trust domain's bundle from its SPIFFE bundle endpoint (SPIFFE Federation, section 5), authenticated by the Web PKI or by the SPIFFE id
// of who serves it, verified by the bundle that is held so far. Called by federations.ts. Invariants: nothing of an answer is read before whoever
// gave it is verified; no redirect is followed; an answer is bounded in time and size.

import { request } from 'node:https'
import type { TLSSocket } from 'node:tls'
import { VALIDATION_DEFAULTS } from '../../model/defaults.js'
import { readAnchors } from '../../mtls/peer/certificate-path.js'
import { PeerVerifier } from '../../mtls/peer/peer-verification.js'
import { MAX_BUNDLE_BYTES, type ReadBundle, readBundleText } from './bundle-document.js'
import { trustDomainOf } from './workload-ids.js'

const TIMEOUT_MS = 10_000

/** Whom to expect: any host that the Web PKI vouches for, or the holder of an id. */
export type EndpointAuthority =
  | { readonly profile: 'https_web' }
  | { readonly profile: 'https_spiffe'; readonly id: string; readonly rootPems: readonly string[] }

export function fetchBundle(url: string, authority: EndpointAuthority): Promise<ReadBundle> {
  return new Promise(resolve => {
    const fail = (reason: string): void => {
      clearTimeout(timer)
      sent.destroy()
      resolve({ ok: false, reason })
    }
    const verifies = authority.profile === 'https_spiffe' ? verifierOf(authority) : null
    const sent = request(url, {
      agent: false,
      minVersion: 'TLSv1.2',
      headers: { accept: 'application/json' },
      ...(verifies === null ? {} : { rejectUnauthorized: false, checkServerIdentity: () => undefined }),
    })
    const timer = setTimeout(() => fail(`did not answer within ${TIMEOUT_MS / 1000} s`), TIMEOUT_MS)
    timer.unref()
    sent.on('error', error => fail(error.message))
    sent.on('response', response => {
      const verdict = verifies?.judge((response.socket as TLSSocket).getPeerX509Certificate(), null, '', Date.now())
      if (verdict?.ok === false) return fail(`is not who it should be: ${verdict.reason}`)
      if (response.statusCode !== 200) return fail(`answered ${response.statusCode}`)
      const chunks: Buffer[] = []
      let bytes = 0
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        if (bytes > MAX_BUNDLE_BYTES) fail(`sent more than ${MAX_BUNDLE_BYTES} bytes`)
        else chunks.push(chunk)
      })
      response.on('error', error => fail(error.message))
      response.on('end', () => {
        clearTimeout(timer)
        const read = readBundleText(Buffer.concat(chunks).toString('utf8'))
        resolve(read.ok ? read : { ok: false, reason: `sent a document that ${read.reason}` })
      })
    })
    sent.end()
  })
}

function verifierOf({ id, rootPems }: Extract<EndpointAuthority, { profile: 'https_spiffe' }>): PeerVerifier {
  const trustDomain = trustDomainOf(id)
  return new PeerVerifier({
    usage: 'serverAuth',
    required: true,
    validation: {
      ...VALIDATION_DEFAULTS,
      sanMatchers: [{ sanType: 'URI', matcher: { kind: 'exact', value: id, ignoreCase: false } }],
    },
    hasTrustedCa: false,
    ownPath: true,
    anchors: [],
    revocations: [],
    domainAnchors: new Map([[trustDomain, readAnchors(rootPems.join('\n'))]]),
    trustDomains: new Set([trustDomain]),
  })
}

// Messages of the Workload API: what is read of a good one, and that a wrong one is refused whole with its place.
import { fromBinary } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import { readBundles, readSvids } from '../../../src/sidecar/workload-api/svid-messages.js'
import { X509BundlesResponseSchema, X509SVIDResponseSchema } from '../../../src/xds/gen/spiffe/workload_pb.js'
import { AnyCa } from '../../mtls/tls/tls-support.js'
import { type FakeSvid, fakeSvid, svidResponse } from '../../support/workload-api-server.js'

const ca = new AnyCa('SPIRE')
const intermediate = new AnyCa('Intermediate', ca)
const id = 'spiffe://example.org/web'

const read = (svids: readonly FakeSvid[], federated: Record<string, string> = {}) =>
  readSvids(fromBinary(X509SVIDResponseSchema, svidResponse({ svids, federated })))
const refusal = (svid: FakeSvid): string => {
  const result = read([svid])
  return result.ok ? '' : result.reason
}

describe('identities', () => {
  it('are read with chain, key, hint and bundles by trust domain', () => {
    const leaf = intermediate.leaf({ uris: [id] })
    const svid = { ...leaf, cert: leaf.cert + intermediate.pem, id, bundle: ca.pem, hint: 'internal' }
    const partner = new AnyCa('Partner')
    const result = read([svid], { 'spiffe://partner.test': partner.pem })
    if (!result.ok) throw new Error(result.reason)
    const { svids, bundles } = result.value
    expect(svids).toMatchObject([{ id, hint: 'internal', trustDomainId: 'spiffe://example.org' }])
    expect(svids[0]!.chainPem).toBe(leaf.cert + intermediate.pem)
    expect([...bundles]).toEqual([
      ['spiffe://partner.test', partner.pem],
      ['spiffe://example.org', ca.pem],
    ])
  })

  it.each<[string, FakeSvid, RegExp]>([
    ['an id that is none', { ...fakeSvid(ca, id), id: 'https://example.org/web' }, /^svids\[0\]\.spiffe_id: /],
    ['a trust domain alone', fakeSvid(ca, 'spiffe://example.org'), /spiffe_id: .* is a trust domain/],
    ['a certificate of another id', { ...fakeSvid(ca, 'spiffe://example.org/api'), id }, /x509_svid: its URI SANs are/],
    ['two URI SANs', { ...ca.leaf({ uris: [id, `${id}/2`] }), id, bundle: ca.pem }, /x509_svid: its URI SANs are/],
    ['a certificate of a CA', { ...ca.leaf({ uris: [id], ca: true }), id, bundle: ca.pem }, /is one of a CA/],
    ['a key of another certificate', { ...fakeSvid(ca, id), key: ca.leaf({ uris: [id] }).key }, /x509_svid_key: does not belong/],
    ['no bundle', { ...fakeSvid(ca, id), bundle: '' }, /^svids\[0\]\.bundle: there is no certificate/],
    ['no certificate', { ...fakeSvid(ca, id), cert: '' }, /^svids\[0\]\.x509_svid: there is no certificate/],
  ])('%s is refused', (_, svid, reason) => {
    expect(refusal(svid)).toMatch(reason)
  })

  it('bytes that are cut off, and an empty list, are refused', () => {
    const message = fromBinary(X509SVIDResponseSchema, svidResponse({ svids: [fakeSvid(ca, id)] }))
    expect(readSvids({ ...message, svids: [{ ...message.svids[0]!, bundle: message.svids[0]!.bundle.subarray(0, -1) }] })).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/bundle: the value at byte 0 is cut off/),
    })
    expect(read([])).toEqual({ ok: false, reason: 'svids: there is none' })
  })

  it('no reason holds a key', () => {
    const { key } = fakeSvid(ca, id)
    expect(refusal({ ...fakeSvid(ca, id), key })).not.toContain(key.split('\n')[1])
  })
})

describe('bundles', () => {
  it('need a trust domain each, and at least one', () => {
    const message = fromBinary(X509BundlesResponseSchema, Buffer.alloc(0))
    expect(readBundles(message)).toEqual({ ok: false, reason: 'bundles: there is none' })
    expect(readBundles({ ...message, bundles: { 'spiffe://example.org/web': new Uint8Array() } })).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/is no id of a trust domain/),
    })
  })
})

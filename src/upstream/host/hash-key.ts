// The bytes that consistent hashing hashes for a host: metadata `envoy.lb`.`hash_key`, else hostname or address. Called by the tables of
// balance/ (hash-ring, maglev-table) and by host-table, which must notice a changed key. Invariant: Host.hashKey holds the key once it
// was asked for, until the host's config changes or another policy hashes.

import { LB_METADATA, type Metadata } from '../../model/metadata.js'
import type { Host } from './host.js'

/** As latin1 text (UTF-8 bytes, one a character). */
export function hashKeyOf(host: Host, useHostname: boolean): string {
  if (host.hashKey === '') host.hashKey = computeHashKey(host, useHostname)
  return host.hashKey
}

/** The `hash_key` of an endpoint's metadata; '' = none. */
export function hashKeyOfMetadata(metadata: Metadata): string {
  if (metadata.size === 0) return ''
  const given = metadata.get(LB_METADATA)?.['hash_key']
  return typeof given === 'string' ? given : ''
}

function computeHashKey(host: Host, useHostname: boolean): string {
  const given = hashKeyOfMetadata(host.endpoint.metadata)
  if (given !== '') return latin1OfUtf8(given)
  // Addresses are ASCII: no need to look.
  return useHostname && host.hostname !== '' ? latin1OfUtf8(host.hostname) : host.addressText
}

function latin1OfUtf8(text: string): string {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 127) return Buffer.from(text, 'utf8').toString('latin1')
  return text
}

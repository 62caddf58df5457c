// CIDR ranges of RBAC rules against textual addresses. Called per decision by principals and permissions. IPv4-mapped IPv6 addresses
// count as IPv4, zones (`%eth0`, CVE-2026-26310) count for nothing, and what is no address is in no range.

import { isIP } from 'node:net'
import type { CidrRange } from '../../model/address.js'

/** Four or sixteen bytes, or null. */
export function ipBytes(text: string): readonly number[] | null {
  const zone = text.indexOf('%')
  const address = zone === -1 ? text : text.slice(0, zone)
  const version = isIP(address)
  if (version === 4) return address.split('.').map(Number)
  if (version !== 6) return null
  const bytes = ipv6Bytes(address)
  const mapped = bytes.slice(0, 10).every(byte => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff
  return mapped ? bytes.slice(12) : bytes
}

function ipv6Bytes(address: string): number[] {
  const [left = '', right] = address.split('::')
  const head = wordBytes(left)
  if (right === undefined) return head
  const tail = wordBytes(right)
  return [...head, ...new Array<number>(16 - head.length - tail.length).fill(0), ...tail]
}

function wordBytes(text: string): number[] {
  if (text === '') return []
  return text.split(':').flatMap(word => {
    if (word.includes('.')) return word.split('.').map(Number)
    const value = Number.parseInt(word, 16)
    return [value >> 8, value & 0xff]
  })
}

export function compileCidr(range: CidrRange): (address: string) => boolean {
  const wanted = ipBytes(range.address)
  if (wanted === null) return () => false
  // The prefix of a mapped range counts from the mapped part.
  const bits = isIP(range.address) === 6 && wanted.length === 4 ? Math.max(0, range.prefixLength - 96) : range.prefixLength
  const whole = Math.min(bits >> 3, wanted.length)
  const mask = whole < wanted.length ? (0xff00 >> (bits & 7)) & 0xff : 0
  return address => {
    const bytes = ipBytes(address)
    if (bytes === null || bytes.length !== wanted.length) return false
    for (let i = 0; i < whole; i++) if (bytes[i] !== wanted[i]) return false
    return mask === 0 || (bytes[whole]! & mask) === (wanted[whole]! & mask)
  }
}

// RouteAction.hash_policy: a 64-bit hash of what should stay together, by Envoy's rules (HashPolicyImpl), so that keys land on the host
// that Envoy would choose. Called once a request on routes that have policies. Only these requests pay for BigInt.

import { formatAddress } from '../../model/address.js'
import type { HashPolicy } from '../../model/route.js'
import { xxHash64, xxHash64OfList } from '../../upstream/hash/xx-hash.js'
import { toByteString } from '../codec/byte-string.js'
import type { RequestHead } from '../codec/codec.js'
import { cookieAttributes, cookieValue } from '../match/cookie.js'
import { requestHeaderReader } from '../match/header-matcher.js'
import { queryParameter } from '../match/query-parameter.js'
import { compileSubstitution } from '../match/regex.js'
import type { StreamInfo } from '../stream/stream-info.js'

/** `setCookie`: a Set-Cookie value that the response must carry, or null. */
export interface RequestHash {
  readonly hash: bigint | null
  readonly setCookie: string | null
}

export const NO_HASH: RequestHash = { hash: null, setCookie: null }

const MASK = 0xffff_ffff_ffff_ffffn

interface Found {
  readonly hash: bigint
  readonly setCookie: string | null
}

type Method = (head: RequestHead, info: StreamInfo) => Found | null

/** Null for an empty list. */
export function compileHashPolicies(policies: readonly HashPolicy[]): ((head: RequestHead, info: StreamInfo) => RequestHash) | null {
  if (policies.length === 0) return null
  const methods = policies.map(policy => ({ evaluate: compileMethod(policy), terminal: policy.terminal }))
  return (head, info) => {
    let hash: bigint | null = null
    let setCookie: string | null = null
    for (const { evaluate, terminal } of methods) {
      const found = evaluate(head, info)
      if (found !== null) {
        // Rotated, so that equal parts don't cancel out.
        const old: bigint = hash === null ? 0n : ((hash << 1n) & MASK) | (hash >> 63n)
        hash = old ^ found.hash
        setCookie ??= found.setCookie
      }
      if (terminal && hash !== null) break
    }
    return hash === null ? NO_HASH : { hash, setCookie }
  }
}

const found = (value: string): Found => ({ hash: xxHash64(value), setCookie: null })

function compileMethod(policy: HashPolicy): Method {
  switch (policy.kind) {
    case 'header':
      return headerMethod(policy)
    case 'cookie':
      return cookieMethod(policy)
    case 'sourceIp':
      return (_head, info) => (info.remoteAddress === '' ? null : found(info.remoteAddress))
    case 'queryParameter': {
      const name = toByteString(policy.name)
      return head => {
        const value = queryParameter(head.path, name)
        return value === undefined ? null : found(value)
      }
    }
    case 'filterState':
      return (_head, info) => {
        const value = info.filterState(policy.key)
        return typeof value === 'string' ? found(toByteString(value)) : null
      }
  }
}

function headerMethod(policy: HashPolicy & { kind: 'header' }): Method {
  const { name, regexRewrite } = policy
  const read = requestHeaderReader(name)
  const rewrite = regexRewrite === null ? null : compileSubstitution(regexRewrite.pattern, regexRewrite.substitution)
  return head => {
    const { headers } = head
    const first = headers.indexOf(name)
    if (first !== -1 && headers.indexOf(name, first + 1) !== -1) {
      // The order in which a client sends the values of a list must not move it.
      const values = headers.getAll(name)
      return { hash: xxHash64OfList((rewrite === null ? values : values.map(rewrite)).sort()), setCookie: null }
    }
    const value = first === -1 ? read(head) : headers.values[first]
    if (value === undefined) return null
    return found(rewrite === null ? value : rewrite(value))
  }
}

function cookieMethod(policy: HashPolicy & { kind: 'cookie' }): Method {
  const name = toByteString(policy.name)
  const attributes = cookieAttributes(policy)
  return (head, info) => {
    const value = cookieValue(head.headers, name)
    if (value !== undefined && value !== '') return found(value)
    if (policy.ttlSeconds === null) return null
    // The same for all streams of a connection, so that requests racing for the first cookie agree.
    const { connection } = info
    const seed =
      formatAddress({ kind: 'socket', host: connection.remoteAddress, port: connection.remotePort }) +
      formatAddress({ kind: 'socket', host: connection.localAddress, port: connection.localPort })
    const made = xxHash64(seed).toString(16).padStart(16, '0')
    return { hash: xxHash64(made), setCookie: `${name}="${made}"${attributes}` }
  }
}

// hash_policy of a tcp_proxy: only the source address can be hashed there (envoy.type.v3.HashPolicy.SourceIp).

import type { HashPolicy } from '../../model/route.js'
import { xxHash64 } from '../../upstream/hash/xx-hash.js'
import type { ConnectionInfo } from '../stream/connection-info.js'

/** Null when no policy applies. */
export function tcpHashPolicy(policies: readonly HashPolicy[]): ((info: ConnectionInfo) => bigint | null) | null {
  return policies.some(policy => policy.kind === 'sourceIp') ? info => xxHash64(info.remoteAddress) : null
}

// The protocol of a service by its config entries: its service-defaults, else proxy-defaults, else tcp.
// Used by the chain compiler, the write checks and the snapshot.
import type { ConfigEntryIndex } from '../config-entries/types.js'

const DEFAULT_PROTOCOL = 'tcp'
const HTTP_LIKE: ReadonlySet<string> = new Set(['http', 'http2', 'grpc'])

export const isHttpLike = (protocol: string) => HTTP_LIKE.has(protocol)

/** Lower case. A service-defaults entry that names no protocol leaves it to proxy-defaults, as the merge for the service's own sidecar does. */
export function serviceProtocol(entries: ConfigEntryIndex, service: string): string {
  const own = entries.get('service-defaults', service)?.Protocol
  if (own) return own.toLowerCase()
  const config = entries.get('proxy-defaults', 'global')?.Config
  const protocol = config !== undefined && Object.hasOwn(config, 'protocol') ? config.protocol : undefined
  return typeof protocol === 'string' && protocol !== '' ? protocol.toLowerCase() : DEFAULT_PROTOCOL
}

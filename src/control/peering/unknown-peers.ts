// Config entries that name peers there is no peering with: not an error (it may be made later), but until then nothing comes of them. Called by
// the HTTP API after a write; the answer goes to the client as warnings.
import type { ConfigEntry } from '../config-entries/types.js'

export function unknownPeerWarnings(entry: ConfigEntry, isKnown: (peer: string) => boolean): string[] {
  const unknown = [...new Set(peersIn(entry))].filter(peer => !isKnown(peer))
  return unknown.map(peer => `${entry.Kind} ${JSON.stringify(entry.Name)}: there is no peering ${JSON.stringify(peer)}`)
}

function peersIn(entry: ConfigEntry): string[] {
  const named = (parts: readonly { readonly Peer?: string }[] | undefined): string[] => (parts ?? []).flatMap(({ Peer }) => Peer ?? [])
  switch (entry.Kind) {
    case 'exported-services':
      return entry.Services.flatMap(({ Consumers }) => named(Consumers))
    case 'service-intentions':
      return named(entry.Sources)
    case 'service-defaults':
      return named(entry.UpstreamConfig?.Overrides)
    case 'service-resolver':
      return named([entry.Redirect ?? {}, ...Object.values(entry.Failover ?? {}).flatMap(({ Targets }) => Targets ?? [])])
    default:
      return []
  }
}

// Health and configuration states in one word, as badges show them. Pure.
import type { Check, ProxyState } from '../api/answers.js'

export type Health = 'passing' | 'warning' | 'critical'

/** The worst of some checks; none at all pass. */
export function healthOf(checks: readonly Pick<Check, 'Status'>[]): Health {
  if (checks.some(({ Status }) => Status === 'critical' || Status === 'maintenance')) return 'critical'
  return checks.some(({ Status }) => Status === 'warning') ? 'warning' : 'passing'
}

export type ProxyStatus = 'accepted' | 'warming' | 'rejected' | 'away'

export function isRejected({ Streams }: ProxyState): boolean {
  return Streams.some(({ Types }) => Types.some(({ LastNack }) => LastNack !== null))
}

export function proxyStatus(proxy: ProxyState): ProxyStatus {
  if (!proxy.Connected) return 'away'
  if (isRejected(proxy)) return 'rejected'
  return proxy.Synced ? 'accepted' : 'warming'
}

/** What a sidecar refused and why; '' where nothing was. */
export function rejection({ Streams }: ProxyState): string {
  const nacks = Streams.flatMap(({ Types }) =>
    Types.flatMap(({ TypeURL, LastNack }) => (LastNack === null ? [] : [`${shortType(TypeURL)}: ${LastNack.Message}`])),
  )
  return nacks.join('; ')
}

/** `type.googleapis.com/envoy.config.cluster.v3.Cluster` -> `Cluster`. */
export const shortType = (typeUrl: string): string => typeUrl.slice(typeUrl.lastIndexOf('.') + 1)

/** Intentions refuse every call; where permissions decide, some pass. */
export function isDenied(verdict: { readonly Allowed: boolean; readonly ByRequest: boolean } | undefined): boolean {
  return verdict !== undefined && !verdict.Allowed && !verdict.ByRequest
}

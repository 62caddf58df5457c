// Network addresses of listeners and endpoints, and CIDR ranges of matchers.

export type Address =
  | { readonly kind: 'socket'; readonly host: string; readonly port: number }
  | { readonly kind: 'pipe'; readonly path: string; readonly mode: number }

/** `address` is a canonical IP literal, `prefixLength` 0–32 or 0–128 (envoy.config.core.v3.CidrRange). */
export interface CidrRange {
  readonly address: string
  readonly prefixLength: number
}

/** `10.0.0.1:80`, `[::1]:80`, or the path of a pipe: Envoy's text form, used in stats, admin and logs. */
export function formatAddress(address: Address): string {
  if (address.kind === 'pipe') return address.path
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`
}

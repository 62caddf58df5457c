// The ACL token that was entered: kept for this tab alone (sessionStorage), sent as X-Consul-Token by client.ts, never put into an address.
const KEY = 'outrigger-token'
const listeners = new Set<() => void>()

export function currentToken(): string {
  return sessionStorage.getItem(KEY) ?? ''
}

/** '' signs out. */
export function setToken(token: string): void {
  if (token === '') sessionStorage.removeItem(KEY)
  else sessionStorage.setItem(KEY, token)
  for (const listener of [...listeners]) listener()
}

export function onTokenChange(listener: () => void): () => void {
  listeners.add(listener)
  return () => void listeners.delete(listener)
}

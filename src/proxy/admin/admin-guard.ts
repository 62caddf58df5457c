// Who may ask the admin what, decided before a path is looked at: only paths of `admin.allow_paths`, and no web page. A page that a browser
// shows can send a POST anywhere, and by DNS rebinding even read answers, so requests with a foreign Origin, or with a Host that is no
// address or name of this machine, are 403; Envoy lets them pass (`node.metadata.outrigger.admin_any_host: true` does here). Pure.

import { isIP } from 'node:net'

export interface AdminRules {
  /** Null: any path. */
  readonly allowsPath: ((path: string) => boolean) | null
  /** Names beside addresses, `localhost` and names of one label, which no page of the internet can have. Null: any Host and Origin. */
  readonly ownNames: readonly string[] | null
}

/** Why the request is refused, or null. `path` with its query: that is what Envoy's allow_paths matches too. */
export function adminRefusal(rules: AdminRules, path: string, host: string | undefined, origin: string | undefined): string | null {
  if (rules.allowsPath !== null && !rules.allowsPath(path)) return `request to path ${path} not allowed\n`
  if (rules.ownNames === null) return null
  if (host !== undefined && !isOwnName(hostNameOf(host), rules.ownNames))
    return `Host '${host}' is no address or name of this admin (node.metadata.outrigger.admin_any_host lets it pass)\n`
  if (origin !== undefined && hostOfOrigin(origin) !== host)
    return `Origin '${origin}' is not the admin's own (node.metadata.outrigger.admin_any_host lets it pass)\n`
  return null
}

function isOwnName(name: string, ownNames: readonly string[]): boolean {
  return name === '' || isIP(name) !== 0 || !name.includes('.') || name.endsWith('.localhost') || ownNames.includes(name)
}

/** Without port, brackets and the dot at the end, in lower case. */
function hostNameOf(host: string): string {
  const name = /^\[(.*)\](?::\d*)?$/.exec(host)?.[1] ?? host.replace(/:\d*$/, '')
  return name.replace(/\.$/, '').toLowerCase()
}

/** The authority of a web page's origin; '' of an opaque one (`null`). */
function hostOfOrigin(origin: string): string {
  return /^https?:\/\/([^/]+)$/.exec(origin)?.[1] ?? ''
}

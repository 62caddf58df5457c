// Names of virtual hosts that come over VHDS: `<route table>/<host>`, where the host may also be a Host header that somebody asked for (an
// alias). Used by the xDS client, RouteRegistry, VirtualHostStore and the admin.

/** What stands before the last slash. */
export function tableOf(name: string): string {
  return name.slice(0, Math.max(0, name.lastIndexOf('/')))
}

/** What a request's host is asked for by; as Envoy, in lower case and with its port. */
export function virtualHostAlias(table: string, authority: string): string {
  return `${table}/${authority.toLowerCase()}`
}

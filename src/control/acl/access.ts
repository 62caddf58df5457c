// One request's rights, as the code that serves it asks for them. Made by http-api/authorize.ts (and the gRPC services) from the token that
// was shown; `need` throws Consul's 403, `may` only asks.
import { AclError } from './acl-error.js'
import { ANONYMOUS_ACCESSOR_ID } from './acl-types.js'
import type { WantedAccess } from './rule-index.js'
import type { NamedResource, SingleResource } from './rules.js'
import type { ResolvedToken } from './token-resolver.js'

export class Access {
  private readonly token: ResolvedToken

  constructor(token: ResolvedToken) {
    this.token = token
  }

  get accessorId(): string {
    return this.token.accessorId
  }

  may(resource: NamedResource | 'intention', name: string, wanted: WantedAccess): boolean {
    return this.token.rules.allows(resource, name, wanted)
  }

  maySingle(resource: SingleResource, wanted: WantedAccess): boolean {
    return this.token.rules.allowsSingle(resource, wanted)
  }

  need(resource: NamedResource | 'intention', name: string, wanted: WantedAccess): void {
    if (!this.may(resource, name, wanted)) throw lacks(this.accessorId, `${resource}:${wanted}`, name)
  }

  needSingle(resource: SingleResource, wanted: WantedAccess): void {
    if (!this.maySingle(resource, wanted)) throw lacks(this.accessorId, `${resource}:${wanted}`)
  }

  /** Of everything below a prefix: write for deletes of whole trees, read for sums over all. */
  needAllBelow(resource: NamedResource, prefix: string, wanted: WantedAccess): void {
    if (!this.token.rules.allowsAllBelow(resource, prefix, wanted)) throw lacks(this.accessorId, `${resource}:${wanted}`, prefix)
  }
}

/** Consul's sentence; people's scripts look for parts of it. */
export function lacks(accessorId: string, permission: string, name?: string): AclError {
  const anonymous = accessorId === ANONYMOUS_ACCESSOR_ID
  const who = anonymous ? 'anonymous token' : `token with AccessorID '${accessorId}'`
  const what = name === undefined ? '' : ` on ${JSON.stringify(name)}`
  const hint = anonymous ? '. The anonymous token is used implicitly when a request does not specify a token.' : ''
  return new AclError(403, `Permission denied: ${who} lacks permission '${permission}'${what}${hint}`)
}

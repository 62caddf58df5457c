// What the caller of a gRPC method may do, by the token of its metadata (`x-consul-token`). Asked by the services of this folder. Without
// ACLs the shared token of the sidecars' port decides, as it does for xDS.
import { Access } from '../acl/access.js'
import { notFound } from '../acl/acl-error.js'
import type { AclSystem } from '../acl/acl-system.js'
import type { Authorizer } from '../acl/authorizer.js'
import type { GrpcCall } from './grpc-call.js'
import { GrpcStatus } from './grpc-status.js'
import { GrpcError } from './unary-method.js'

export const TOKEN_KEY = 'x-consul-token'

export class CallerAccess {
  private readonly authorizer: Authorizer
  private readonly acl: AclSystem | undefined

  constructor(authorizer: Authorizer, acl: AclSystem | undefined) {
    this.authorizer = authorizer
    this.acl = acl
  }

  /** Whether it has shown a token of ours, or needs none. */
  isKnown(call: GrpcCall): boolean {
    const token = call.metadata(TOKEN_KEY)
    if (this.authorizer.verdict('xds', token) !== 'allowed') return false
    if (this.acl === undefined || this.acl.defaultPolicy === 'allow') return true
    return token !== undefined && this.acl.resolve(token) !== undefined
  }

  /** Throws for a token that nobody knows. Undefined: there are no ACLs, and the caller may do everything. */
  known(call: GrpcCall): Access | undefined {
    const token = call.metadata(TOKEN_KEY)
    const verdict = this.authorizer.verdict('xds', token)
    if (verdict === 'token-missing') throw new GrpcError(GrpcStatus.UNAUTHENTICATED, `a token is required (${TOKEN_KEY})`)
    if (verdict === 'token-unknown') throw new GrpcError(GrpcStatus.PERMISSION_DENIED, 'Permission denied')
    if (this.acl === undefined) return undefined
    const resolved = this.acl.resolve(token)
    if (resolved === undefined) throw notFound()
    return new Access(resolved)
  }
}

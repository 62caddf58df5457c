// `hashicorp.consul.acl.ACLService`: login and logout of dataplanes. Called by `ControlPlane` when it opens the gRPC port; the work is acl/'s.
import { LoginRequestSchema, LoginResponseSchema, LogoutRequestSchema, LogoutResponseSchema } from '../../xds/gen/hashicorp/acl_pb.js'
import { disabled } from '../acl/acl-error.js'
import type { AclSystem } from '../acl/acl-system.js'
import type { GrpcServer } from './grpc-server.js'
import { unary } from './unary-method.js'

export function addAcl(server: GrpcServer, acl: AclSystem | undefined, onProblem: (reason: string) => void): void {
  const required = (): AclSystem => {
    if (acl === undefined) throw disabled()
    return acl
  }
  server.add(
    '/hashicorp.consul.acl.ACLService/Login',
    unary(LoginRequestSchema, LoginResponseSchema, onProblem, async ({ authMethod, bearerToken, meta, namespace, partition }) => {
      const token = await required().login.login({
        AuthMethod: authMethod,
        BearerToken: bearerToken,
        Namespace: namespace,
        Partition: partition,
        ...(Object.keys(meta).length === 0 ? {} : { Meta: meta }),
      })
      return { token: { accessorId: token.AccessorID, secretId: token.SecretID } }
    }),
  )
  server.add(
    '/hashicorp.consul.acl.ACLService/Logout',
    unary(LogoutRequestSchema, LogoutResponseSchema, onProblem, async ({ token }) => {
      const system = required()
      await system.login.logout(system.tokenOf(token))
      return {}
    }),
  )
}

// `hashicorp.consul.dns.DNSService`: DNS questions of consul-dataplane's proxy, answered by the DNS server's own answers, as far as
// the caller's token may see them. Called by
// `ControlPlane` when it opens the gRPC port.
import { Protocol, QueryRequestSchema, QueryResponseSchema } from '../../xds/gen/hashicorp/dns_pb.js'
import type { AskedRights } from '../dns/dns-rights.js'
import type { CallerAccess } from './caller-access.js'
import type { GrpcServer } from './grpc-server.js'
import { GrpcStatus } from './grpc-status.js'
import { GrpcError, unary } from './unary-method.js'

/** The answer to a message in wire form; undefined when it is none that is answered. */
export type ResolveDns = (message: Buffer, tcp: boolean, rights: AskedRights) => Promise<Buffer | undefined>

export function addDns(server: GrpcServer, resolve: ResolveDns, access: CallerAccess, onProblem: (reason: string) => void): void {
  server.add(
    '/hashicorp.consul.dns.DNSService/Query',
    unary(QueryRequestSchema, QueryResponseSchema, onProblem, async ({ msg, protocol }, call) => {
      const rights = access.known(call)
      if (protocol === Protocol.UNSET_UNSPECIFIED) throw new GrpcError(GrpcStatus.INVALID_ARGUMENT, 'protocol: must be TCP or UDP')
      const answer = await resolve(Buffer.from(msg), protocol === Protocol.TCP, rights)
      if (answer === undefined) throw new GrpcError(GrpcStatus.INVALID_ARGUMENT, 'msg: is no DNS query')
      return { msg: answer as Uint8Array<ArrayBuffer> }
    }),
  )
}

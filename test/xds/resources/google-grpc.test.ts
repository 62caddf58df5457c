// A target of google_grpc as model: where it is, by which name its server is judged, and what of channel_args has an effect.
import { create } from '@bufbuild/protobuf'
import { expect, it } from 'vitest'
import { GrpcServiceSchema } from '../../../src/xds/gen/envoy/config/core/v3/grpc_service_pb.js'
import { decodeGrpcService } from '../../../src/xds/resources/config-source.js'
import { Ctx, ErrorCollector } from '../../../src/xds/resources/field-path.js'

type Arguments = Readonly<Record<string, string | bigint>>

function decoded(targetUri: string, args: Arguments = {}) {
  const sink = new ErrorCollector()
  const values = Object.entries(args).map(([name, value]) => [
    name,
    { valueSpecifier: typeof value === 'string' ? { case: 'stringValue' as const, value } : { case: 'intValue' as const, value } },
  ])
  const message = create(GrpcServiceSchema, {
    targetSpecifier: {
      case: 'googleGrpc',
      value: {
        targetUri,
        statPrefix: 'p',
        channelCredentials: { credentialSpecifier: { case: 'sslCredentials', value: {} } },
        channelArgs: { args: Object.fromEntries(values) },
      },
    },
  })
  const service = decodeGrpcService(message, new Ctx(sink, 'g'))
  return { service, errors: sink.errors.map(({ path, reason }) => `${path}: ${reason}`), unsupported: sink.unsupported }
}

it.each([
  ['a.example:50', 'a.example:50', 'a.example', ['a.example 50']],
  ['a.example', 'a.example', 'a.example', ['a.example 443']],
  ['dns:a.example:50', 'a.example:50', 'a.example', ['a.example 50']],
  ['dns:///a.example:50', 'a.example:50', 'a.example', ['a.example 50']],
  ['127.0.0.1:50', '127.0.0.1:50', '127.0.0.1', ['127.0.0.1 50']],
  ['[::1]:50', '[::1]:50', '::1', ['::1 50']],
  ['dns:///[::1]', '[::1]', '::1', ['::1 443']],
  ['ipv4:10.0.0.1:50,10.0.0.2', '10.0.0.1:50', '10.0.0.1', ['10.0.0.1 50', '10.0.0.2 443']],
  ['ipv6:[::1]:50', '[::1]:50', '::1', ['::1 50']],
  ['unix:/run/a.sock', 'localhost', 'localhost', ['/run/a.sock']],
  ['unix:///run/a.sock', 'localhost', 'localhost', ['/run/a.sock']],
])('%s is dialled and named as by gRPC', (uri, authority, serverName, endpoints) => {
  const { service, errors } = decoded(uri)
  expect(errors).toEqual([])
  expect(service).toMatchObject({ cluster: '', target: uri, authority })
  expect(service.google).toMatchObject({ serverName, statPrefix: 'p' })
  expect(service.google!.endpoints.map(address => (address.kind === 'pipe' ? address.path : `${address.host} ${address.port}`))).toEqual(
    endpoints,
  )
})

it.each([
  ['xds:///a', 'of schemes there are dns, ipv4, ipv6 and unix'],
  ['unix-abstract:a', 'of schemes there are'],
  ['dns://10.0.0.1/a:50', 'a DNS server of its own is not supported'],
  ['ipv4:300.0.0.1:50', 'is no list of at most 100 ipv4 addresses'],
  ['ipv6:10.0.0.1:50', 'is no list of at most 100 ipv6 addresses'],
  ['ipv4:10.0.0.1:0', 'is no list of'],
  ['a:70000', 'is no host and port'],
  ['a:b', 'is no host and port'],
  ['a b:50', 'is no host and port'],
  ['foo://bar', 'is no host and port'],
])('a service that is not there is refused by name: %s', (uri, reason) => {
  const { errors } = decoded(uri)
  expect(errors).toEqual([expect.stringContaining(reason)])
  expect(errors[0]).toMatch(/^g\.google_grpc\.target_uri: /)
})

it('channel_args: names and pings are taken, the rest is listed', () => {
  const both = decoded('a:1', {
    'grpc.default_authority': 'b:2',
    'grpc.ssl_target_name_override': 'c',
    'grpc.keepalive_time_ms': 10n,
    'grpc.unknown': 1n,
  })
  expect(both.service).toMatchObject({ authority: 'b:2', google: { serverName: 'c' } })
  expect(both.service.google!.channelArgs).toEqual({
    'grpc.default_authority': 'b:2',
    'grpc.ssl_target_name_override': 'c',
    'grpc.keepalive_time_ms': 10,
  })
  expect(both.unsupported).toEqual(['g.google_grpc.channel_args.args["grpc.unknown"]'])
  expect(decoded('a:1', { 'grpc.ssl_target_name_override': 'c' }).service).toMatchObject({ authority: 'c', google: { serverName: 'c' } })
  expect(decoded('a:1', { 'grpc.default_authority': 'b:2' }).service).toMatchObject({ authority: 'b:2', google: { serverName: 'b' } })
})

it('channel_args of another type are refused', () => {
  const { errors } = decoded('a:1', { 'grpc.default_authority': 1n, 'grpc.keepalive_time_ms': 'x', 'grpc.keepalive_timeout_ms': 0n })
  expect(errors).toEqual([
    'g.google_grpc.channel_args.args["grpc.default_authority"]: must be a string_value that names a host',
    'g.google_grpc.channel_args.args["grpc.keepalive_time_ms"]: must be an int_value from 1 to 2147483647',
    'g.google_grpc.channel_args.args["grpc.keepalive_timeout_ms"]: must be an int_value from 1 to 2147483647',
  ])
})

// envoy.config.core.v3.GrpcService.GoogleGrpc -> model: a server by the URI that gRPC's own libraries take, and its credentials. Called by
// config-source.ts for every gRPC service; what is said here holds for config sources (which grpc-js dials) and for all others (which our
// own client does) alike.

import { isIP } from 'node:net'
import type { Address } from '../../model/address.js'
import type { FileCredentials, GoogleSsl, GoogleTarget } from '../../model/grpc-service.js'
import type {
  GrpcService_GoogleGrpc,
  GrpcService_GoogleGrpc_CallCredentials_MetadataCredentialsFromPlugin,
  GrpcService_GoogleGrpc_ChannelArgs,
} from '../gen/envoy/config/core/v3/grpc_service_pb.js'
import { FileBasedMetadataConfigSchema } from '../gen/envoy/config/grpc_credential/v3/file_based_metadata_pb.js'
import { unpackAs } from './any.js'
import { decodeDataSource } from './data-source.js'
import type { Ctx } from './field-path.js'
import { isMetadataValue } from './grpc-metadata.js'
import { systemRootsPath } from './system-roots.js'
import { isHeaderName } from './values.js'

const FILE_CREDENTIALS = 'envoy.grpc_credentials.file_based_metadata'
/** Where the target names none. */
const DEFAULT_PORT = 443
const MAX_ENDPOINTS = 100

const AUTHORITY = 'grpc.default_authority'
const NAME_OVERRIDE = 'grpc.ssl_target_name_override'
const ARGUMENTS: ReadonlyMap<string, 'string' | 'number'> = new Map([
  [AUTHORITY, 'string'],
  [NAME_OVERRIDE, 'string'],
  ['grpc.keepalive_time_ms', 'number'],
  ['grpc.keepalive_timeout_ms', 'number'],
])

/** What local_credentials, which encrypt nothing, may reach. */
const LOCAL_TARGET = /^(?:unix:|(?:(?:dns|ipv4|ipv6):\/*)?(?:localhost|127\.\d+\.\d+\.\d+|\[::1\]):)/

interface DecodedGoogle {
  readonly target: GoogleTarget
  readonly authority: string
  readonly ssl: GoogleSsl | null
  readonly tokens: readonly string[]
  readonly files: readonly FileCredentials[]
}

/** With its credentials: TLS, and tokens that go with every call. */
export function decodeGoogle(google: GrpcService_GoogleGrpc, ctx: Ctx): DecodedGoogle {
  const channel = google.channelCredentials?.credentialSpecifier
  const at = ctx.at('channel_credentials').at('ssl_credentials')
  let ssl: GoogleSsl | null = null
  if (channel?.case === 'localCredentials' && !LOCAL_TARGET.test(google.targetUri))
    ctx.at('channel_credentials').at('local_credentials').error(`'${google.targetUri}' is not on this host`)
  if (channel?.case === 'sslCredentials') {
    const { rootCerts, privateKey, certChain } = channel.value
    ssl = {
      rootCerts: rootCerts === undefined ? systemRoots() : decodeDataSource(rootCerts, at.at('root_certs')),
      privateKey: decodeDataSource(privateKey, at.at('private_key')),
      certChain: decodeDataSource(certChain, at.at('cert_chain')),
    }
    if ((privateKey === undefined) !== (certChain === undefined)) at.error('private_key and cert_chain go together')
  }
  const tokens: string[] = []
  const files: FileCredentials[] = []
  google.callCredentials.forEach(({ credentialSpecifier: call }, i) => {
    const place = ctx.at('call_credentials', i)
    if (call.case === 'accessToken') {
      tokens.push(call.value)
      if (!isMetadataValue(call.value)) place.at('access_token').error('a token has printable ASCII characters alone')
    } else if (call.case === 'fromPlugin') files.push(...decodeFileCredentials(call.value, place.at('from_plugin')))
    else return // reported
    if (ssl === null) place.error('a token is not sent in the clear: set ssl_credentials')
  })
  const channelArgs = decodeArguments(google.channelArgs, ctx.at('channel_args'))
  const { endpoints, authority: own } = decodeTarget(google.targetUri, ctx.at('target_uri'))
  // As in gRPC's core: the name that TLS is to find is the authority, too, where none is set.
  const authority = text(channelArgs[AUTHORITY]) || text(channelArgs[NAME_OVERRIDE]) || own
  const serverName = text(channelArgs[NAME_OVERRIDE]) || hostAndPort(authority).host
  return { target: { endpoints, serverName, statPrefix: google.statPrefix, channelArgs }, authority, ssl, tokens, files }
}

function text(argument: string | number | undefined): string {
  return argument === undefined ? '' : String(argument)
}

/** Those of gRPC's core that change what is sent, or to whom; others are listed. */
function decodeArguments(args: GrpcService_GoogleGrpc_ChannelArgs | undefined, ctx: Ctx): GoogleTarget['channelArgs'] {
  const decoded: Record<string, string | number> = {}
  for (const [name, { valueSpecifier: value }] of Object.entries(args?.args ?? {})) {
    const at = ctx.at(`args["${name}"]`)
    const wanted = ARGUMENTS.get(name)
    if (wanted === undefined) at.unsupported()
    else if (value.case === undefined)
      continue // reported
    else if (wanted === 'number' ? value.case === 'intValue' && value.value > 0n && value.value < 2n ** 31n : isAuthority(value.value))
      decoded[name] = wanted === 'number' ? Number(value.value) : String(value.value)
    else at.error(wanted === 'number' ? 'must be an int_value from 1 to 2147483647' : 'must be a string_value that names a host')
  }
  return decoded
}

function isAuthority(value: string | bigint): boolean {
  return typeof value === 'string' && /^[!-~]+$/.test(value)
}

interface Endpoints {
  readonly endpoints: readonly Address[]
  readonly authority: string
}

const NOWHERE: Endpoints = { endpoints: [], authority: '' }

/** https://github.com/grpc/grpc/blob/master/doc/naming.md: what has no scheme that is known is a DNS name. */
function decodeTarget(uri: string, ctx: Ctx): Endpoints {
  if (uri === '') return NOWHERE // reported
  const scheme = /^(unix-abstract|unix|ipv4|ipv6|dns|vsock|xds|google-c2p)(?:-experimental)?:/.exec(uri)?.[1] ?? ''
  const rest = scheme === '' ? uri : uri.slice(uri.indexOf(':') + 1)
  switch (scheme) {
    case '':
      return decodeName(rest, ctx)
    case 'dns': {
      if (/^\/\/[^/]/.test(rest)) {
        ctx.error(`'${uri}': a DNS server of its own is not supported; write dns:///HOST:PORT`)
        return NOWHERE
      }
      return decodeName(rest.replace(/^\/+/, ''), ctx)
    }
    case 'unix': {
      const path = rest.replace(/^\/\/(?=\/)/, '')
      return { endpoints: [{ kind: 'pipe', path, mode: 0 }], authority: 'localhost' }
    }
    case 'ipv4':
    case 'ipv6': {
      const texts = rest.replace(/^\/+/, '').split(',')
      const endpoints = texts.map(hostAndPort).map(({ host, port }) => ({ kind: 'socket' as const, host, port: port ?? DEFAULT_PORT }))
      const version = scheme === 'ipv4' ? 4 : 6
      if (endpoints.some(({ host, port }) => isIP(host) !== version || port < 1 || port > 65_535) || endpoints.length > MAX_ENDPOINTS) {
        ctx.error(`'${uri}' is no list of at most ${MAX_ENDPOINTS} ${scheme} addresses`)
        return NOWHERE
      }
      return { endpoints, authority: texts[0]! }
    }
    default:
      ctx.error(`'${uri}': of schemes there are dns, ipv4, ipv6 and unix`)
      return NOWHERE
  }
}

function decodeName(text: string, ctx: Ctx): Endpoints {
  const { host, port = DEFAULT_PORT } = hostAndPort(text)
  if (host === '' || /[^!-.0-~]/.test(host) || Number.isNaN(port) || port < 1 || port > 65_535) {
    ctx.error(`'${text}' is no host and port`)
    return NOWHERE
  }
  return { endpoints: [{ kind: 'socket', host, port }], authority: text }
}

/** `port` undefined where there is none, NaN where it is no number. */
function hostAndPort(text: string): { readonly host: string; readonly port: number | undefined } {
  const parts = /^\[([^\]]*)\](?::(.*))?$/.exec(text) ?? /^([^:]*)(?::([^:]*))?$/.exec(text)
  if (parts === null) return { host: text, port: undefined } // an IPv6 address alone
  const [, host = '', port] = parts
  return { host, port: port === undefined ? undefined : /^\d{1,5}$/.test(port) ? Number(port) : Number.NaN }
}

/** Null, where the system has none: those that Node brings along. */
function systemRoots(): GoogleSsl['rootCerts'] {
  const path = systemRootsPath()
  return path === null ? null : { kind: 'file', path, watchedDirectory: '' }
}

/** Of plugins there is the one that Kuma's sidecars are given: a token in a file. */
function decodeFileCredentials(
  { name, configType }: GrpcService_GoogleGrpc_CallCredentials_MetadataCredentialsFromPlugin,
  ctx: Ctx,
): FileCredentials[] {
  if (name !== FILE_CREDENTIALS || configType.case === undefined) {
    ctx.error(`there is no plugin '${name}' with a typed_config; there is ${FILE_CREDENTIALS}`)
    return []
  }
  const at = ctx.at('typed_config')
  const message = unpackAs(configType.value, FileBasedMetadataConfigSchema, at)
  if (message === null) return []
  const { secretData, headerKey, headerPrefix } = message
  const secret = decodeDataSource(secretData, at.at('secret_data'))
  if (secretData === undefined) at.at('secret_data').error('value is required')
  const header = headerKey.toLowerCase() || 'authorization'
  if (!isHeaderName(header) || header.startsWith(':')) at.at('header_key').error(`'${headerKey}' is not a valid header name`)
  return secret === null ? [] : [{ secret, header, prefix: headerPrefix }]
}

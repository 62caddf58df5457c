// HTTP filters that ask for credentials which the configuration holds, or put one on requests: basic_auth, api_key_auth,
// credential_injector -> model. Called by http-filter.ts and
// http-filter-override.ts. No name, key or hash of them stands in an error. Names and keys are kept as bytes, as headers are.

import type { ApiKeyAuthConfig, BasicAuthConfig, CredentialInjectorConfig, HttpFilterOverride } from '../../../model/http-filter.js'
import type { DataSource } from '../../gen/envoy/config/core/v3/base_pb.js'
import type {
  ApiKeyAuth,
  ApiKeyAuthPerRoute,
  Credential,
  KeySource,
} from '../../gen/envoy/extensions/filters/http/api_key_auth/v3/api_key_auth_pb.js'
import type { BasicAuth, BasicAuthPerRoute } from '../../gen/envoy/extensions/filters/http/basic_auth/v3/basic_auth_pb.js'
import type { CredentialInjector } from '../../gen/envoy/extensions/filters/http/credential_injector/v3/credential_injector_pb.js'
import type { Generic } from '../../gen/envoy/extensions/http/injected_credentials/generic/v3/generic_pb.js'
import { describeType, unpackAny } from '../any.js'
import { readDataSource } from '../data-source.js'
import type { Ctx } from '../field-path.js'
import { decodeSdsRef } from '../tls.js'
import { decodeHeaderName } from '../values.js'

const SHA_PREFIX = '{SHA}'
/** Of a SHA-1 in base64. */
const HASH_LENGTH = 28

export function decodeBasicAuth(config: BasicAuth, ctx: Ctx): BasicAuthConfig {
  return {
    users: decodeUsers(config.users, ctx.at('users')),
    realm: decodeRealm(config.realm, ctx),
    forwardUsernameHeader: decodeHeaderName(config.forwardUsernameHeader, ctx.at('forward_username_header')),
    authenticationHeader: decodeHeaderName(config.authenticationHeader, ctx.at('authentication_header')) || 'authorization',
    allowMissing: config.allowMissing,
    emitDynamicMetadata: config.emitDynamicMetadata,
  }
}

export function decodeBasicAuthOverride(config: BasicAuthPerRoute, ctx: Ctx): HttpFilterOverride {
  return { disabled: false, kind: 'basicAuth', users: decodeUsers(config.users, ctx.at('users')), realm: decodeRealm(config.realm, ctx) }
}

export function decodeApiKeyAuth(config: ApiKeyAuth | ApiKeyAuthPerRoute, ctx: Ctx): ApiKeyAuthConfig {
  const { credentials, keySources, forwarding } = config
  return {
    credentials: credentials.length === 0 ? null : decodeCredentials(credentials, ctx),
    keySources: keySources.length === 0 ? null : keySources.map((source, i) => decodeKeySource(source, ctx.at('key_sources', i))),
    clientHeader: decodeHeaderName(forwarding?.header ?? '', ctx.at('forwarding').at('header')),
    hideCredentials: forwarding?.hideCredentials ?? false,
  }
}

export function decodeApiKeyAuthOverride(config: ApiKeyAuthPerRoute, ctx: Ctx): HttpFilterOverride {
  const allowedClients = new Set(config.allowedClients.map(bytesOf))
  return { disabled: false, kind: 'apiKeyAuth', config: decodeApiKeyAuth(config, ctx), allowedClients }
}

const GENERIC = 'envoy.extensions.http.injected_credentials.generic.v3.Generic'

/** null after an error was recorded. */
export function decodeCredentialInjector(config: CredentialInjector, ctx: Ctx): CredentialInjectorConfig | null {
  const { credential, overwrite, allowRequestWithoutCredential } = config
  if (credential?.typedConfig === undefined) return null // reported
  const at = ctx.at('credential').at('typed_config')
  const { typeName, typeUrl, message } = unpackAny(credential.typedConfig, at)
  if (typeName !== GENERIC) at.error(`unknown credential '${credential.name}' (${describeType(typeUrl)})`)
  if (typeName !== GENERIC || message === null) return null
  const generic = message as Generic
  if (generic.credential === undefined) return null // reported
  return {
    secret: decodeSdsRef(generic.credential, at.at('credential')),
    header: decodeHeaderName(generic.header, at.at('header')) || 'authorization',
    prefix: bytesOf(generic.headerValuePrefix),
    overwrite,
    allowWithout: allowRequestWithoutCredential,
  }
}

/** The file of htpasswd, with hashes by SHA-1 alone, which is what Envoy takes. */
function decodeUsers(source: DataSource | undefined, ctx: Ctx): ReadonlyMap<string, Buffer> {
  const users = new Map<string, Buffer>()
  if (source === undefined) {
    ctx.error('value is required')
    return users
  }
  const bytes = readDataSource(source, ctx)
  if (bytes === null) return users // reported
  if (bytes.length === 0) ctx.error('the list of users is empty')
  const lines = Buffer.from(bytes).toString('latin1').split('\n')
  for (const [i, line] of lines.entries()) {
    if (line === '' || line.startsWith('#')) continue
    const colon = line.indexOf(':')
    const name = line.slice(0, colon)
    const hash = line.slice(colon + 1)
    const problem =
      colon === -1
        ? 'has no colon between user and password'
        : name === '' || hash === ''
          ? 'has an empty user or password'
          : users.has(name)
            ? 'names a user for the second time'
            : hash.startsWith(SHA_PREFIX)
              ? hash.length === SHA_PREFIX.length + HASH_LENGTH
                ? null
                : 'has a hash of another length than SHA-1'
              : `has no hash by ${SHA_PREFIX}, which is the only form`
    if (problem === null) users.set(name, Buffer.from(hash.slice(SHA_PREFIX.length), 'base64'))
    else ctx.error(`line ${i + 1} ${problem}`)
  }
  return users
}

function decodeRealm(realm: string, ctx: Ctx): string {
  for (const char of realm) if (char < ' ' || char === '\x7f') ctx.at('realm').error('a control character may not stand in a header')
  return bytesOf(realm)
}

function decodeCredentials(credentials: readonly Credential[], ctx: Ctx): ReadonlyMap<string, string> {
  const clients = new Map<string, string>()
  for (const [i, { key, client }] of credentials.entries()) {
    const at = ctx.at('credentials', i)
    if (clients.has(bytesOf(key))) at.at('key').error('the key is there already')
    if (/[\0\r\n]/.test(client)) at.at('client').error('a line end may not stand in a header')
    clients.set(bytesOf(key), bytesOf(client))
  }
  return clients
}

function decodeKeySource({ header, query, cookie }: KeySource, ctx: Ctx): NonNullable<ApiKeyAuthConfig['keySources']>[number] {
  if (header !== '') return { from: 'header', name: decodeHeaderName(header, ctx.at('header')) }
  if (query !== '') return { from: 'query', name: query }
  if (cookie === '') ctx.error("one of 'header', 'query', 'cookie' must be set")
  return { from: 'cookie', name: cookie }
}

function bytesOf(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}

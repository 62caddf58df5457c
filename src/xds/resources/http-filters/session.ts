// stateful_session and the three ways in which its sessions are remembered -> model. Called by http-filter.ts and http-filter-override.ts.

import type { HttpFilterOverride } from '../../../model/http-filter.js'
import type { SessionState, StatefulSessionConfig } from '../../../model/stateful-session.js'
import type { TypedExtensionConfig } from '../../gen/envoy/config/core/v3/extension_pb.js'
import type {
  StatefulSession,
  StatefulSessionPerRoute,
} from '../../gen/envoy/extensions/filters/http/stateful_session/v3/stateful_session_pb.js'
import type { CookieBasedSessionState } from '../../gen/envoy/extensions/http/stateful_session/cookie/v3/cookie_pb.js'
import type { EnvelopeSessionState } from '../../gen/envoy/extensions/http/stateful_session/envelope/v3/envelope_pb.js'
import type { HeaderBasedSessionState } from '../../gen/envoy/extensions/http/stateful_session/header/v3/header_pb.js'
import { describeType, unpackAny } from '../any.js'
import type { Ctx } from '../field-path.js'
import { decodeHeaderName } from '../values.js'

const STATES = 'envoy.extensions.http.stateful_session.'
/** Envoy finds these factories by name, whatever the type. */
const NAMES: Readonly<Record<string, string>> = {
  'cookie.v3.CookieBasedSessionState': 'envoy.http.stateful_session.cookie',
  'header.v3.HeaderBasedSessionState': 'envoy.http.stateful_session.header',
  'envelope.v3.EnvelopeSessionState': 'envoy.http.stateful_session.envelope',
}
const DEFAULT_MISSING_STATUS = 503

export function decodeStatefulSession(config: StatefulSession, ctx: Ctx): StatefulSessionConfig {
  const status = config.statusOnStrictDestinationNotFound
  if (status !== 0 && (status < 200 || status > 599))
    ctx.at('status_on_strict_destination_not_found').error('the status of an answer is from 200 to 599')
  const { sessionState } = config
  return {
    state: sessionState === undefined ? null : decodeState(sessionState, ctx.at('session_state')),
    strict: config.strict,
    statPrefix: config.statPrefix,
    missingStatus: status === 0 || !config.strict ? DEFAULT_MISSING_STATUS : status,
  }
}

export function decodeStatefulSessionOverride({ override }: StatefulSessionPerRoute, ctx: Ctx): HttpFilterOverride {
  if (override.case !== 'statefulSession') return { disabled: override.case === 'disabled', kind: 'statefulSession', config: null }
  return { disabled: false, kind: 'statefulSession', config: decodeStatefulSession(override.value, ctx.at('stateful_session')) }
}

function decodeState({ name, typedConfig }: TypedExtensionConfig, ctx: Ctx): SessionState | null {
  if (typedConfig === undefined) return null // reported
  const at = ctx.at('typed_config')
  const { typeName, typeUrl, message } = unpackAny(typedConfig, at)
  const type = typeName.startsWith(STATES) ? typeName.slice(STATES.length) : ''
  const expected = NAMES[type]
  if (expected !== undefined && name !== expected) ctx.at('name').error(`must be '${expected}'`)
  switch (type) {
    case 'cookie.v3.CookieBasedSessionState':
      return message === null ? null : decodeCookie(message as CookieBasedSessionState, at.at('cookie'))
    case 'header.v3.HeaderBasedSessionState':
      return message === null ? null : { kind: 'header', name: decodeHeaderName((message as HeaderBasedSessionState).name, at.at('name')) }
    case 'envelope.v3.EnvelopeSessionState': {
      if (message === null) return null
      const { header } = message as EnvelopeSessionState
      return header === undefined ? null : { kind: 'envelope', name: decodeHeaderName(header.name, at.at('header').at('name')) }
    }
  }
  at.error(`unknown session state '${name}' (${describeType(typeUrl)})`)
  return null
}

function decodeCookie({ cookie }: CookieBasedSessionState, ctx: Ctx): SessionState | null {
  if (cookie === undefined) return null // reported
  const { name, path, ttl, attributes } = cookie
  if (/[\s;,="]/.test(name)) ctx.at('name').error(`'${name}' is not a valid cookie name`)
  if (/[\0\r\n;]/.test(path)) ctx.at('path').error('a path of a cookie has no line end and no semicolon')
  return {
    kind: 'cookie',
    name,
    path,
    ttlSeconds: ttl === undefined ? null : Number(ttl.seconds),
    attributes: attributes.map(attribute => ({ name: attribute.name, value: attribute.value })),
  }
}

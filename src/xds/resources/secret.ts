// envoy.extensions.transport_sockets.tls.v3.Secret -> model. Called by decode.ts (SDS) and bootstrap.ts (static secrets).

import type { Secret } from '../../model/tls.js'
import type { Secret as SecretMessage } from '../gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js'
import { decodeDataSource } from './data-source.js'
import type { Ctx } from './field-path.js'
import { decodeTicketKeys, decodeTlsCertificate, decodeValidationContext } from './tls.js'

/** null after an error was recorded. */
export function decodeSecretMessage(secret: SecretMessage, ctx: Ctx): Secret | null {
  const { name, type } = secret
  switch (type.case) {
    case 'tlsCertificate': {
      const certificate = decodeTlsCertificate(type.value, ctx.at('tls_certificate'))
      return certificate === null ? null : { name, kind: 'certificate', certificate }
    }
    case 'validationContext':
      return { name, kind: 'validation', validation: decodeValidationContext(type.value, ctx.at('validation_context')) }
    case 'sessionTicketKeys': {
      return { name, kind: 'ticketKeys', keys: decodeTicketKeys(type.value, ctx.at('session_ticket_keys')) }
    }
    case 'genericSecret': {
      const source = decodeDataSource(type.value.secret, ctx.at('generic_secret').at('secret'))
      if (type.value.secret === undefined) ctx.at('generic_secret').at('secret').error('value is required')
      return source === null ? null : { name, kind: 'generic', secret: source }
    }
    default:
      ctx.error('one of tls_certificate, session_ticket_keys, validation_context, generic_secret is required')
      return null
  }
}

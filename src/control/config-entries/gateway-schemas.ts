// The shapes of the config entries of gateways as zod schemas, as those of the other kinds in `schemas.ts`, which takes them in.
// What depends on more than one field is in `rules-gateways.ts`.
import { flag, list, optional, optionalText, record } from './fields.js'
import { kind } from './schema-parts.js'

export const terminatingGateway = kind('terminating-gateway', {
  Services: optional(
    list(
      record({
        Name: optionalText,
        Namespace: optionalText,
        CAFile: optionalText,
        CertFile: optionalText,
        KeyFile: optionalText,
        SNI: optionalText,
        DisableAutoHostRewrite: flag,
      }),
    ),
  ),
})

// Pieces that the shapes of several kinds of config entry share: the fields that every kind has, TLS versions, limits, headers, JWT.
// Used by `schemas.ts` and `gateway-schemas.ts`.
import { z } from 'zod'
import { choice, duration, list, optional, optionalInteger, optionalText, record, text, texts, userMap } from './fields.js'
import type { ConfigEntryKind } from './types.js'

/** What a round trip through GET brings along; the store writes these itself. */
const READ_ONLY = ['CreateIndex', 'ModifyIndex', 'Hash'] as const

const common = {
  Name: optionalText,
  Namespace: optionalText,
  Partition: optionalText,
  Meta: optional(userMap(text)),
  CreateIndex: z.unknown().optional(),
  ModifyIndex: z.unknown().optional(),
  Hash: z.unknown().optional(),
}

export function kind<K extends ConfigEntryKind, S extends Record<string, z.ZodType>>(name: K, shape: S) {
  return record({ Kind: z.literal(name), ...common, ...shape }).transform(entry => {
    const kept = { ...(entry as Record<string, unknown>) }
    for (const key of READ_ONLY) delete kept[key]
    return kept
  })
}

export const upstreamLimits = record({
  MaxConnections: optionalInteger(0),
  MaxPendingRequests: optionalInteger(0),
  MaxConcurrentRequests: optionalInteger(0),
})

export const passiveHealthCheck = record({
  Interval: duration,
  MaxFailures: optionalInteger(0),
  EnforcingConsecutive5xx: optionalInteger(0, 100),
  MaxEjectionPercent: optionalInteger(0, 100),
  BaseEjectionTime: duration,
})

export const tlsVersion = choice(['TLS_AUTO', 'TLSv1_0', 'TLSv1_1', 'TLSv1_2', 'TLSv1_3'])

export const headerModifiers = record({ Add: optional(userMap(text)), Set: optional(userMap(text)), Remove: optional(texts) })

export const jwtRequirement = record({
  Providers: optional(list(record({ Name: optionalText, VerifyClaims: optional(list(record({ Path: optional(texts), Value: text }))) }))),
})

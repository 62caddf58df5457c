// What Vault's published API lets each request of ours hold, as strict schemas: a field that the documentation does not name, or of another type,
// is a violation. Written from the API documentation of Vault 1.11+ and OpenBao 2 (PKI, KV v2, auth methods, mounts), not from our client.
import { z } from 'zod'

/** `3600s`, `24h`, or seconds. */
const duration = z.union([z.string().regex(/^\d+(s|m|h)?$/), z.number().int().nonnegative()])
const pem = (label: string) => z.string().regex(new RegExp(`^-----BEGIN ${label}-----\n[A-Za-z0-9+/=\n]+-----END ${label}-----\n?$`))
const certificates = z.string().regex(/^(-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n)+$/)
const csr = pem('CERTIFICATE REQUEST')
const keyUsage = z.enum([
  'DigitalSignature',
  'ContentCommitment',
  'KeyEncipherment',
  'DataEncipherment',
  'KeyAgreement',
  'CertSign',
  'CRLSign',
  'EncipherOnly',
  'DecipherOnly',
])

const caFields = {
  common_name: z.string().min(1).max(64),
  alt_names: z.string().optional(),
  uri_sans: z.string().optional(),
  exclude_cn_from_sans: z.boolean().optional(),
  key_type: z.enum(['rsa', 'ec', 'ed25519']).optional(),
  key_bits: z
    .union([
      z.literal(0),
      z.literal(224),
      z.literal(256),
      z.literal(384),
      z.literal(521),
      z.literal(2048),
      z.literal(3072),
      z.literal(4096),
    ])
    .optional(),
  format: z.enum(['pem', 'der', 'pem_bundle']).optional(),
}

export const SCHEMAS = {
  mount: z.strictObject({
    type: z.string().min(1),
    description: z.string().optional(),
    config: z.strictObject({ default_lease_ttl: duration.optional(), max_lease_ttl: duration.optional() }).optional(),
  }),
  tune: z.strictObject({ default_lease_ttl: duration.optional(), max_lease_ttl: duration.optional(), description: z.string().optional() }),
  generateRoot: z.strictObject({
    ...caFields,
    ttl: duration.optional(),
    issuer_name: z.string().optional(),
    max_path_length: z.number().int().optional(),
  }),
  generateCsr: z.strictObject(caFields),
  signIntermediate: z.strictObject({
    csr,
    common_name: z.string().optional(),
    ttl: duration.optional(),
    format: z.enum(['pem', 'der', 'pem_bundle']).optional(),
    max_path_length: z.number().int().min(-1).optional(),
    use_csr_values: z.boolean().optional(),
  }),
  setSigned: z.strictObject({ certificate: certificates }),
  issuersConfig: z.strictObject({ default: z.string().min(1), default_follows_latest_issuer: z.boolean().optional() }),
  role: z.strictObject({
    allow_any_name: z.boolean().optional(),
    allowed_uri_sans: z.array(z.string()).optional(),
    allow_ip_sans: z.boolean().optional(),
    allow_wildcard_certificates: z.boolean().optional(),
    enforce_hostnames: z.boolean().optional(),
    client_flag: z.boolean().optional(),
    server_flag: z.boolean().optional(),
    key_type: z.enum(['rsa', 'ec', 'ed25519', 'any']).optional(),
    key_usage: z.array(keyUsage).optional(),
    basic_constraints_valid_for_non_ca: z.boolean().optional(),
    ttl: duration.optional(),
    max_ttl: duration.optional(),
    no_store: z.boolean().optional(),
    generate_lease: z.boolean().optional(),
    require_cn: z.boolean().optional(),
    use_csr_common_name: z.boolean().optional(),
    use_csr_sans: z.boolean().optional(),
    not_before_duration: duration.optional(),
  }),
  sign: z.strictObject({
    csr,
    common_name: z.string().optional(),
    ttl: duration.optional(),
    format: z.enum(['pem', 'der', 'pem_bundle']).optional(),
  }),
  signSelfIssued: z.strictObject({ certificate: pem('CERTIFICATE'), require_matching_certificate_algorithms: z.boolean().optional() }),
  renewSelf: z.strictObject({ increment: duration.optional() }),
  appRoleLogin: z.strictObject({ role_id: z.string().min(1), secret_id: z.string().min(1).optional() }),
  jwtLogin: z.strictObject({ role: z.string().min(1), jwt: z.string().min(1) }),
} as const

export const seconds = (value: z.infer<typeof duration> | undefined): number => {
  if (value === undefined) return 0
  if (typeof value === 'number') return value
  const [, count, unit = 's'] = /^(\d+)(s|m|h)?$/.exec(value)!
  return Number(count) * { s: 1, m: 60, h: 3600 }[unit as 's' | 'm' | 'h']
}

// The shapes of the config entries by which traffic comes in, as zod schemas, as those of the other kinds in `schemas.ts`, which takes them in.
// What depends on more than one field is in `rules-edge.ts`.
import { z } from 'zod'
import { choice, duration, flag, integer, list, optional, optionalInteger, optionalText, record, text, texts } from './fields.js'
import { headerModifiers, jwtRequirement, kind, passiveHealthCheck, tlsVersion, upstreamLimits } from './schema-parts.js'

const reference = record({
  Kind: optionalText,
  Name: optionalText,
  SectionName: optionalText,
  Namespace: optionalText,
  Partition: optionalText,
})
/** Written here, not by clients. */
const status = z.unknown().optional()

const policy = record({ JWT: optional(jwtRequirement) })

export const apiGateway = kind('api-gateway', {
  TLS: optional(record({ Enabled: flag })),
  Listeners: optional(
    list(
      record({
        Name: optionalText,
        Hostname: optionalText,
        Port: integer(1, 65535),
        Protocol: choice(['http', 'tcp'], { lowerCase: true }),
        TLS: optional(
          record({
            Certificates: optional(list(reference)),
            MinVersion: tlsVersion,
            MaxVersion: tlsVersion,
            CipherSuites: optional(texts),
          }),
        ),
        Override: optional(policy),
        Default: optional(policy),
        MaxRequestHeadersKB: optionalInteger(1, 8_192),
      }),
    ),
  ),
  Defaults: optional(upstreamLimits),
  Status: status,
})

const filters = record({
  Headers: optional(list(headerModifiers)),
  URLRewrite: optional(record({ Path: optionalText })),
  RetryFilter: optional(
    record({
      NumRetries: optionalInteger(0),
      RetryOn: optional(texts),
      RetryOnStatusCodes: optional(list(integer(100, 599))),
      RetryOnConnectFailure: flag,
    }),
  ),
  TimeoutFilter: optional(record({ RequestTimeout: duration, IdleTimeout: duration })),
  JWT: optional(jwtRequirement),
})
const responseFilters = record({ Headers: optional(list(headerModifiers)) })

export const httpRoute = kind('http-route', {
  Parents: optional(list(reference)),
  Hostnames: optional(texts),
  Rules: optional(
    list(
      record({
        Filters: optional(filters),
        ResponseFilters: optional(responseFilters),
        Matches: optional(
          list(
            record({
              Headers: optional(
                list(
                  record({
                    Match: choice(['exact', 'prefix', 'suffix', 'present', 'regex'], { lowerCase: true }),
                    Name: optionalText,
                    Value: optionalText,
                  }),
                ),
              ),
              Method: optionalText,
              Path: optional(record({ Match: choice(['exact', 'prefix', 'regex'], { lowerCase: true }), Value: optionalText })),
              Query: optional(
                list(
                  record({ Match: choice(['exact', 'present', 'regex'], { lowerCase: true }), Name: optionalText, Value: optionalText }),
                ),
              ),
            }),
          ),
        ),
        Services: optional(
          list(
            record({
              Name: optionalText,
              Weight: optionalInteger(0, 1_000_000),
              Namespace: optionalText,
              Partition: optionalText,
              Filters: optional(filters),
              ResponseFilters: optional(responseFilters),
            }),
          ),
        ),
      }),
    ),
  ),
  Status: status,
})

export const tcpRoute = kind('tcp-route', {
  Parents: optional(list(reference)),
  Services: optional(list(record({ Name: optionalText, Namespace: optionalText, Partition: optionalText }))),
  Status: status,
})

export const inlineCertificate = kind('inline-certificate', { Certificate: text, PrivateKey: text })
export const fileSystemCertificate = kind('file-system-certificate', { Certificate: text, PrivateKey: text })

const sds = record({ ClusterName: optionalText, CertResource: optionalText })
const ingressTls = record({
  Enabled: flag,
  SDS: optional(sds),
  TLSMinVersion: tlsVersion,
  TLSMaxVersion: tlsVersion,
  CipherSuites: optional(texts),
})
const ingressLimits = {
  MaxConnections: optionalInteger(0),
  MaxPendingRequests: optionalInteger(0),
  MaxConcurrentRequests: optionalInteger(0),
  PassiveHealthCheck: optional(passiveHealthCheck),
}

export const ingressGateway = kind('ingress-gateway', {
  TLS: optional(ingressTls),
  Defaults: optional(record(ingressLimits)),
  Listeners: optional(
    list(
      record({
        Port: integer(1, 65535),
        Protocol: choice(['tcp', 'http', 'http2', 'grpc'], { lowerCase: true }),
        TLS: optional(ingressTls),
        Services: optional(
          list(
            record({
              Name: optionalText,
              Namespace: optionalText,
              Partition: optionalText,
              Hosts: optional(texts),
              TLS: optional(record({ SDS: optional(sds) })),
              RequestHeaders: optional(headerModifiers),
              ResponseHeaders: optional(headerModifiers),
              ...ingressLimits,
            }),
          ),
        ),
      }),
    ),
  ),
})

// The bundle of roots that the system's own programs trust. Asked by tls.ts (system_root_certs) and google-grpc.ts (without root_certs).

import { existsSync } from 'node:fs'

/** Where distributions keep the bundle of system roots, in the order in which Envoy looks. */
export const SYSTEM_ROOT_BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
  '/etc/pki/tls/cert.pem',
]

export function systemRootsPath(): string | null {
  return SYSTEM_ROOT_BUNDLES.find(candidate => existsSync(candidate)) ?? null
}

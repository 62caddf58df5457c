// A self-signed certificate by openssl, of any kind of key; for tests of keys that node:crypto and our own CA do not make.
import { execFileSync, spawnSync } from 'node:child_process'

export const hasOpenssl = spawnSync('openssl', ['version']).error === undefined

/** `kind`: what stands behind `-newkey`. */
export function selfSigned(...kind: string[]): { cert: string; key: string } {
  const text = execFileSync('openssl', ['req', '-x509', '-nodes', '-newkey', ...kind, '-keyout', '-', '-subj', '/CN=x', '-days', '2'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  return { cert: text.slice(text.indexOf('-----BEGIN CERTIFICATE')), key: text.slice(0, text.indexOf('-----BEGIN CERTIFICATE')) }
}

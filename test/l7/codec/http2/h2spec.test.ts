// The conformance suite h2spec (a Go program) against the server codec. Set H2SPEC_BIN to its path; without it these are skipped.

import { execFile } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { selfSigned, startEchoServer } from '../../../support/http2-echo-server.js'

const H2SPEC = process.env['H2SPEC_BIN'] ?? ''

function runH2spec(port: number, ...more: string[]): Promise<string> {
  return new Promise(resolve => {
    execFile(H2SPEC, ['-p', String(port), '--strict', ...more], { maxBuffer: 1 << 24 }, (_error, stdout) => resolve(stdout))
  })
}

describe('h2spec', () => {
  it.skipIf(H2SPEC === '')('--strict has no failure in the clear (needs H2SPEC_BIN)', async () => {
    const server = await startEchoServer()
    const report = await runH2spec(server.port)
    await server.close()
    expect(report).toMatch(/\d{3} tests, \d{3} passed, 0 skipped, 0 failed/)
  })

  it.skipIf(H2SPEC === '')('--strict has no failure over TLS (needs H2SPEC_BIN)', async () => {
    const server = await startEchoServer(await selfSigned())
    const report = await runH2spec(server.port, '--tls', '--insecure')
    await server.close()
    expect(report).toMatch(/\d{3} tests, \d{3} passed, 0 skipped, 0 failed/)
  })
})

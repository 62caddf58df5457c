// The conformance suite h2spec against the whole proxy, in the clear and over TLS. H2SPEC_BIN names it; with ENVOY_BIN too, what fails here
// must also fail with the real Envoy (without it: nothing may fail).
import { execFile } from 'node:child_process'
import { afterAll, describe, expect, it } from 'vitest'
import { AnyCa, downstreamTls, spiffe } from '../support/mesh-certificates.js'
import { HttpOrigin, http } from '../support/origins.js'
import { freePort, hcm, listener, ProxyProcess, routesTo, staticCluster, stopAll } from '../support/proxy-process.js'

const h2spec = process.env['H2SPEC_BIN'] ?? ''
const envoy = process.env['ENVOY_BIN'] ?? ''

afterAll(stopAll)

interface Report {
  readonly total: number
  /** Section and title of each failed case. */
  readonly failed: readonly string[]
}

function run(port: number, secure: boolean): Promise<Report> {
  const argv = ['-h', '127.0.0.1', '-p', String(port), '--strict', '-o', '3', ...(secure ? ['--tls', '--insecure'] : [])]
  return new Promise(resolve => execFile(h2spec, argv, { maxBuffer: 1 << 24 }, (_error, stdout) => resolve(parse(stdout))))
}

function parse(text: string): Report {
  const total = Number(/(\d+) tests, /.exec(text)?.[1] ?? 0)
  const failures = text.slice(text.indexOf('Failures:'))
  const failed: string[] = []
  let section = ''
  for (const line of text.includes('Failures:') ? failures.split('\n') : []) {
    const heading = /^\s+([0-9.]+\. .+)$/.exec(line)
    if (heading !== null) section = heading[1]!
    const title = /^\s+(?:×|✗)\s*(?:\d+: )?(.+)$/.exec(line)
    if (title !== null) failed.push(`${section}: ${title[1]}`)
  }
  return { total, failed }
}

async function reportOf(secure: boolean, bin?: string): Promise<Report> {
  const origin = await new HttpOrigin(
    (request, socket) => void socket.write(http(request.method === 'HEAD' ? '' : 'hello from the origin')),
  ).listen()
  const port = await freePort()
  const ca = new AnyCa()
  const leaf = ca.leaf({ uris: [spiffe('api')], dns: ['localhost'], usages: ['serverAuth'] })
  const tls = downstreamTls(leaf, ca.pem, { alpn_protocols: ['h2'] }) as { typed_config: Record<string, unknown> }
  tls.typed_config['require_client_certificate'] = false
  const proxy = await ProxyProcess.start({
    ...(bin === undefined ? {} : { bin }),
    bootstrap: {
      static_resources: {
        listeners: [
          listener(
            'in',
            port,
            [hcm({ codec_type: 'HTTP2', route_config: routesTo('origin') })],
            {},
            secure ? { transport_socket: tls } : {},
          ),
        ],
        clusters: [staticCluster('origin', origin.port)],
      },
    },
  })
  const report = await run(port, secure)
  await proxy.kill()
  await origin.close()
  return report
}

describe('h2spec --strict against the proxy', () => {
  it.skipIf(h2spec === '').each([
    ['in the clear', false],
    ['over TLS', true],
  ])(
    'fails nothing that Envoy does not fail, %s (needs H2SPEC_BIN)',
    async (_label, secure) => {
      const ours = await reportOf(secure)
      expect(ours.total).toBeGreaterThan(140)
      if (ours.failed.length === 0) return
      const theirs = envoy === '' ? [] : (await reportOf(secure, envoy)).failed
      expect(ours.failed.filter(one => !theirs.includes(one))).toEqual([])
    },
    240_000,
  )
})

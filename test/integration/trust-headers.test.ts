// Which requests count as internal, and what is taken off the others (Envoy: x-envoy-internal, internal_only_headers, use_remote_address,
// xff_num_trusted_hops). A request that came through another proxy is not internal, whoever that proxy is.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Lane } from '../support/attack-lane.js'
import { RecordingOrigin } from '../support/attack-origin.js'
import { freePort, hcm, httpRbac, listener, ProxyProcess, router, staticCluster, stopAll } from '../support/proxy-process.js'

const LOOPBACK = { cidr_ranges: [{ address_prefix: '127.0.0.0', prefix_len: 8 }] }
const MANAGERS = {
  plain: {},
  edge: { use_remote_address: true, skip_xff_append: true },
  internalEdge: { use_remote_address: true, skip_xff_append: true, internal_address_config: LOOPBACK },
  internal: { internal_address_config: LOOPBACK },
  behindOne: { use_remote_address: true, skip_xff_append: true, xff_num_trusted_hops: 1 },
} as const

const DENY_LOOPBACK = {
  action: 'DENY',
  policies: {
    loopback: {
      permissions: [{ header: { name: 'x-deny-loopback', present_match: true } }],
      principals: [{ remote_ip: { address_prefix: '127.0.0.0', prefix_len: 8 } }],
    },
  },
}

const lanes = new Map<string, Lane>()

/** What the origin saw, or the status when it saw nothing. */
async function through(manager: keyof typeof MANAGERS, ...lines: string[]): Promise<string> {
  const request = `GET /x HTTP/1.1\r\nHost: h\r\n${lines.map(line => `${line}\r\n`).join('')}\r\n`
  const { seen, statuses } = await lanes.get(manager)!.attack([request])
  return seen[0]?.replace('GET /x | host: h', '').replace(/^ \| /, '') ?? statuses
}

describe('trust headers', () => {
  beforeAll(async () => {
    const listeners: object[] = []
    const clusters: object[] = []
    for (const [name, config] of Object.entries(MANAGERS)) {
      const origin = await RecordingOrigin.start()
      const port = await freePort()
      lanes.set(name, new Lane(origin, port))
      clusters.push(staticCluster(name, origin.port))
      const virtual_hosts = [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: name, timeout: '0s' } }] }]
      const route_config = { name, internal_only_headers: ['X-Only'], virtual_hosts }
      listeners.push(listener(name, port, [hcm({ ...config, route_config }, [httpRbac(DENY_LOOPBACK), router])]))
    }
    await ProxyProcess.start({ bootstrap: { static_resources: { listeners, clusters } } })
  })
  afterAll(async () => {
    for (const lane of lanes.values()) {
      lane.stop()
      lane.origin.stop()
    }
    await stopAll()
  })

  it('internal_only_headers are taken off, also when no x-envoy- header stands beside them', async () => {
    expect(await through('plain', 'x-only: 1')).toBe('')
    expect(await through('plain', 'X-ONLY: 1', 'x-envoy-max-retries: 9')).toBe('')
    expect(await through('edge', 'x-only: 1')).toBe('x-envoy-external-address: 127.0.0.1')
    expect(await through('internalEdge', 'x-only: 1')).toBe('x-envoy-internal: true | x-only: 1')
  })

  it('a request with x-forwarded-for is not internal at an edge, and keeps no x-envoy- header of an internal one', async () => {
    expect(await through('internalEdge', 'x-envoy-decorator-operation: d')).toBe('x-envoy-decorator-operation: d | x-envoy-internal: true')
    for (const forwarded of ['1.2.3.4', '127.0.0.1', '10.0.0.1, 127.0.0.1', '']) {
      const seen = await through('internalEdge', `x-forwarded-for: ${forwarded}`, 'x-only: 1', 'x-envoy-decorator-operation: d')
      expect(seen).toBe(`x-envoy-external-address: 127.0.0.1 | x-forwarded-for: ${forwarded}`)
    }
  })

  it('behind the edge only a single internal address in x-forwarded-for makes a request internal', async () => {
    expect(await through('internal', 'x-only: 1', 'x-forwarded-for: 127.0.0.9')).toBe(
      'x-envoy-internal: true | x-forwarded-for: 127.0.0.9 | x-only: 1',
    )
    expect(await through('internal', 'x-only: 1')).toBe('')
    expect(await through('internal', 'x-only: 1', 'x-forwarded-for: 127.0.0.9, 127.0.0.9')).toBe('x-forwarded-for: 127.0.0.9, 127.0.0.9')
    expect(await through('internal', 'x-only: 1', 'x-forwarded-for: 127.0.0.9:80')).toBe('x-forwarded-for: 127.0.0.9:80')
  })

  it('what only looks like an address is none: the peer’s own counts (CVE-2026-26310, CVE-2026-73549)', async () => {
    const allowed = await through('behindOne', 'x-deny-loopback: 1', 'x-forwarded-for: 1.2.3.4')
    expect(allowed).toBe('x-deny-loopback: 1 | x-envoy-external-address: 1.2.3.4 | x-forwarded-for: 1.2.3.4')
    for (const odd of ['010.0.0.1', '1.2.3.4:80', '1.2.3', '1.2.3.04', '0x1.2.3.4', '::::', 'fe80::1%eth0', '[::1]', 'unknown'])
      expect(await through('behindOne', 'x-deny-loopback: 1', `x-forwarded-for: ${odd}`)).toMatch(/^403/)
  })
})

// `connect redirect-traffic` without the kernel: what it would do, for both tools, and what it refuses.
import { existsSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { redirectText } from '../../../src/cli/redirect/apply-redirect.js'
import type { RedirectPlan } from '../../../src/cli/redirect/redirect-plan.js'
import { CliFixture } from '../../support/cli-fixture.js'

const PLAN: RedirectPlan = {
  exemptUsers: [5995, 100],
  outboundPort: 15_001,
  exemptOutboundPorts: [3306],
  exemptOutboundRanges: ['10.0.0.0/8'],
  inboundPort: 20_000,
  exemptInboundPorts: [22],
  ipv6: false,
  dns: { host: '127.0.0.1', port: 8600 },
}
const undo = (...families: string[]): string =>
  families.map(family => `table ${family} outrigger\ndelete table ${family} outrigger\n`).join('')
const PLAIN: RedirectPlan = {
  ...PLAN,
  exemptUsers: [0],
  exemptOutboundPorts: [],
  exemptOutboundRanges: [],
  exemptInboundPorts: [],
  dns: null,
}

describe('the rules of nftables', () => {
  it('replace the table as a whole, and let the proxy out before anything else', () => {
    expect(redirectText(PLAN, 'nft', false)).toBe(`${undo('ip')}table ip outrigger {
  chain output {
    type nat hook output priority -100; policy accept;
    meta skuid { 5995, 100 } return
    udp dport 53 dnat to 127.0.0.1:8600
    tcp dport 53 dnat to 127.0.0.1:8600
    ip daddr 127.0.0.0/8 return
    ip daddr { 10.0.0.0/8 } return
    tcp dport { 3306 } return
    meta l4proto tcp redirect to :15001
  }
  chain prerouting {
    type nat hook prerouting priority -100; policy accept;
    iifname "lo" return
    tcp dport { 22 } return
    meta l4proto tcp redirect to :20000
  }
}
`)
  })

  it('name nothing that was not asked for', () => {
    expect(redirectText(PLAIN, 'nft', false)).not.toMatch(/dport|daddr \{|dnat/)
    expect(redirectText({ ...PLAIN, inboundPort: null }, 'nft', false)).not.toContain('prerouting')
    expect(redirectText(null, 'nft', false)).toBe(undo('ip'))
  })

  it('name IPv6 only where it is asked for or there: a kernel without it refuses the name, and the whole transaction', () => {
    expect(redirectText(PLAN, 'nft', false)).not.toContain('ip6')
    expect(redirectText(PLAN, 'nft', true)).toMatch(`${undo('ip', 'ip6')}table ip outrigger {`)
    expect(redirectText({ ...PLAN, ipv6: true }, 'nft', false)).toMatch(`${undo('ip', 'ip6')}table ip outrigger {`)
    expect(redirectText(null, 'nft', true)).toBe(undo('ip', 'ip6'))
  })
})

describe('IPv6', () => {
  const plan: RedirectPlan = { ...PLAN, ipv6: true, exemptOutboundRanges: ['10.0.0.0/8', 'fd00:1::/64'] }

  it('has a table of its own with nftables, with the ranges of its family and without DNS', () => {
    const [, ip6] = redirectText(plan, 'nft', true).slice(undo('ip', 'ip6').length).split('table ip6 outrigger ')
    expect(ip6).toBe(`{
  chain output {
    type nat hook output priority -100; policy accept;
    meta skuid { 5995, 100 } return
    ip6 daddr ::1/128 return
    ip6 daddr { fd00:1::/64 } return
    tcp dport { 3306 } return
    meta l4proto tcp redirect to :15001
  }
  chain prerouting {
    type nat hook prerouting priority -100; policy accept;
    iifname "lo" return
    tcp dport { 22 } return
    meta l4proto tcp redirect to :20000
  }
}
`)
    expect(redirectText({ ...plan, ipv6: false }, 'nft', false)).not.toMatch(/ip6 daddr|fd00/)
  })

  it('has commands of its own without', () => {
    const made = restored(redirectText(plan, 'iptables', true), 'ip6tables')
    expect(made).toHaveLength(15)
    expect(made).toContain('-A OUTRIGGER_OUTPUT -d fd00:1::/64 -j RETURN')
    expect(made.join()).not.toMatch(/10\.0\.0\.0|DNAT/)
    expect(redirectText({ ...plan, ipv6: false }, 'iptables', true)).not.toContain('ip6tables-restore')
    expect(redirectText(null, 'iptables', true)).toContain('ip6tables -w -t nat -X OUTRIGGER_INBOUND\n')
  })
})

/** What a command of the text gets to read. */
function restored(text: string, tool: string): string[] {
  const [, input = ''] = new RegExp(`^${tool}-restore -w --noflush <<END\n(.*?)^END$`, 'ms').exec(text) ?? []
  return input.split('\n').slice(0, -1)
}

describe('the rules of iptables', () => {
  it('say the same, at once', () => {
    const text = redirectText(PLAN, 'iptables', true)
    expect(restored(text, 'iptables')).toEqual([
      '*nat',
      ':OUTRIGGER_OUTPUT - [0:0]',
      ':OUTRIGGER_INBOUND - [0:0]',
      '-A OUTRIGGER_OUTPUT -m owner --uid-owner 5995 -j RETURN',
      '-A OUTRIGGER_OUTPUT -m owner --uid-owner 100 -j RETURN',
      '-A OUTRIGGER_OUTPUT -p udp --dport 53 -j DNAT --to-destination 127.0.0.1:8600',
      '-A OUTRIGGER_OUTPUT -p tcp --dport 53 -j DNAT --to-destination 127.0.0.1:8600',
      '-A OUTRIGGER_OUTPUT -d 127.0.0.0/8 -j RETURN',
      '-A OUTRIGGER_OUTPUT -d 10.0.0.0/8 -j RETURN',
      '-A OUTRIGGER_OUTPUT -p tcp --dport 3306 -j RETURN',
      '-A OUTRIGGER_OUTPUT -p tcp -j REDIRECT --to-ports 15001',
      '-A OUTPUT -j OUTRIGGER_OUTPUT',
      '-A OUTRIGGER_INBOUND -i lo -j RETURN',
      '-A OUTRIGGER_INBOUND -p tcp --dport 22 -j RETURN',
      '-A OUTRIGGER_INBOUND -p tcp -j REDIRECT --to-ports 20000',
      '-A PREROUTING -j OUTRIGGER_INBOUND',
      'COMMIT',
    ])
    expect(text.indexOf('iptables -w -t nat -X OUTRIGGER_OUTPUT')).toBeLessThan(text.indexOf('iptables-restore'))
  })
})

describe.runIf(process.platform === 'linux')('connect redirect-traffic', () => {
  const cli = new CliFixture()
  beforeAll(async () => {
    await cli.start()
    const proxy = {
      Config: { envoy_prometheus_bind_addr: '0.0.0.0:9102', outrigger_transparent_ipv6: true },
      TransparentProxy: { OutboundListenerPort: 16_001 },
      Expose: { Paths: [{ Path: '/health', LocalPathPort: 8080, ListenerPort: 21_500 }] },
    }
    const web = { ID: 'web', Name: 'web', Port: 8080, Connect: { SidecarService: { Port: 20_000, Proxy: proxy } } }
    const api = { ID: 'api', Name: 'api', Port: 8081, Connect: { SidecarService: {} } }
    await cli.out('services', 'register', cli.file('web.json', JSON.stringify({ services: [web, api] })))
    const defaults = { Kind: 'service-defaults', Name: 'api', TransparentProxy: { OutboundListenerPort: 17_001 } }
    await cli.out('config', 'write', cli.file('api.json', JSON.stringify(defaults)))
  })
  afterAll(() => cli.stop())
  const redirect = (...flags: string[]) => cli.call('connect', 'redirect-traffic', ...flags)

  it.each([
    [[], '-proxy-uid is required'],
    [['-proxy-uid=5995'], 'either -proxy-id or -proxy-inbound-port is required'],
    [['-proxy-uid=5995', '-proxy-id=x', '-proxy-inbound-port=1'], 'cannot be given together'],
    [['-proxy-uid=me', '-proxy-inbound-port=20000'], '-proxy-uid me: must be the number of a user'],
    [['-proxy-uid=5995', '-proxy-inbound-port=70000'], '-proxy-inbound-port 70000: must be a port'],
    [['-proxy-uid=5995', '-proxy-inbound-port=2', '-exclude-outbound-cidr=10.0.0.0/33'], '-exclude-outbound-cidr 10.0.0.0/33'],
    [['-proxy-uid=5995', '-proxy-inbound-port=2', '-exclude-outbound-cidr=fe80::1%eth0'], '-exclude-outbound-cidr fe80::1%eth0'],
    [['-proxy-uid=5995', '-proxy-inbound-port=2', '-exclude-outbound-cidr=fd00::/129'], '-exclude-outbound-cidr fd00::/129'],
    [['-proxy-uid=5995', '-proxy-inbound-port=2', '-consul-dns-ip=::1'], '-consul-dns-ip ::1: must be an IPv4 address'],
    [['-proxy-uid=5995', '-proxy-inbound-port=2', '-netns=web'], '--netns web: must be an absolute path'],
    [['-proxy-uid=5995', '-proxy-id=web', '-dry-run'], 'web: is no sidecar proxy'],
  ])('refuses %j', async (flags, reason) => {
    expect(await redirect(...flags)).toMatchObject({ code: 1, err: expect.stringContaining(reason) })
  })

  const FOUND = ['nft', 'iptables'].some(tool => process.env['PATH']!.split(':').some(folder => existsSync(`${folder}/${tool}`)))
  it.runIf(FOUND)('takes the ports of the registration, and of the config entries where it names none', async () => {
    const web = await redirect('-proxy-id=web-sidecar-proxy', '-proxy-uid=5995', '-exclude-inbound-port=22', '-dry-run')
    expect(web).toMatchObject({ code: 0, err: '' })
    for (const port of [16_001, 20_000, 22, 9_102, 21_500]) expect(web.out).toContain(String(port))
    const ip6 = /table ip6 outrigger \{|ip6tables-restore/
    expect(web.out).toMatch(ip6)
    const api = await redirect('-proxy-id=api-sidecar-proxy', '-proxy-uid=5995', '-dry-run')
    expect(api.out).toContain('17001')
    expect(api.out).not.toMatch(ip6)
    expect((await redirect('-proxy-id=api-sidecar-proxy', '-proxy-uid=5995', '-dry-run', '-ipv6')).out).toMatch(ip6)
  })
})

// The rules of a redirect plan for nftables: a table of our own for each family, replaced as a whole in one transaction, so that doing it twice is doing it
// once and no connection meets half of it. Called by apply-redirect.ts.
import { DNS_PORT, type IpFamily, LOOPBACK, type RedirectPlan, rangesOf } from './redirect-plan.js'

const FAMILIES: readonly IpFamily[] = ['ip', 'ip6']

/** Written for `nft -f -`. `hasIpv6`: as in `nftablesUndo`. */
export function nftablesRules(plan: RedirectPlan, hasIpv6: boolean): string {
  return (
    nftablesUndo(hasIpv6 || plan.ipv6) +
    familiesOf(plan.ipv6)
      .map(family => table(family, plan))
      .join('')
  )
}

/** To delete what may not be there it is made first; that of IPv6 only where it is there: a kernel without IPv6 refuses its mere name. */
export function nftablesUndo(hasIpv6: boolean): string {
  return familiesOf(hasIpv6)
    .map(family => `${nameOf(family)}\ndelete ${nameOf(family)}\n`)
    .join('')
}

/** Arguments that succeed where the table of IPv6 is there. */
export const IPV6_TABLE_QUESTION: readonly string[] = ['list', 'table', 'ip6', 'outrigger']

const familiesOf = (ipv6: boolean): readonly IpFamily[] => (ipv6 ? FAMILIES : ['ip'])

const nameOf = (family: IpFamily): string => `table ${family} outrigger`

function table(family: IpFamily, plan: RedirectPlan): string {
  return `${nameOf(family)} {
  chain output {
    type nat hook output priority -100; policy accept;
${indented(outputRules(family, plan))}
  }
${inboundChain(plan)}}
`
}

function outputRules(family: IpFamily, plan: RedirectPlan): string[] {
  const dns = family === 'ip' ? plan.dns : null
  const ranges = rangesOf(family, plan.exemptOutboundRanges)
  return [
    `meta skuid ${set(plan.exemptUsers)} return`,
    ...(dns === null ? [] : ['udp', 'tcp'].map(protocol => `${protocol} dport ${DNS_PORT} dnat to ${dns.host}:${dns.port}`)),
    `${family} daddr ${LOOPBACK[family]} return`,
    ...(ranges.length === 0 ? [] : [`${family} daddr ${set(ranges)} return`]),
    ...(plan.exemptOutboundPorts.length === 0 ? [] : [`tcp dport ${set(plan.exemptOutboundPorts)} return`]),
    `meta l4proto tcp redirect to :${plan.outboundPort}`,
  ]
}

function inboundChain({ inboundPort, exemptInboundPorts }: RedirectPlan): string {
  if (inboundPort === null) return ''
  const rules = [
    'iifname "lo" return',
    ...(exemptInboundPorts.length === 0 ? [] : [`tcp dport ${set(exemptInboundPorts)} return`]),
    `meta l4proto tcp redirect to :${inboundPort}`,
  ]
  return `  chain prerouting {
    type nat hook prerouting priority -100; policy accept;
${indented(rules)}
  }
`
}

function set(items: readonly (string | number)[]): string {
  return `{ ${items.join(', ')} }`
}

function indented(rules: readonly string[]): string {
  return rules.map(rule => `    ${rule}`).join('\n')
}

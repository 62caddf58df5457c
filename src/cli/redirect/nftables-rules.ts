// The rules of a redirect plan for nftables: one table of our own, replaced as a whole in one transaction, so that doing it twice is doing it
// once and no connection meets half of it. Called by apply-redirect.ts.
import { DNS_PORT, type RedirectPlan } from './redirect-plan.js'

const TABLE = 'table ip outrigger'

/** Written for `nft -f -`. */
export function nftablesRules(plan: RedirectPlan): string {
  return `${nftablesUndo()}${TABLE} {
  chain output {
    type nat hook output priority -100; policy accept;
${indented(outputRules(plan))}
  }
${inboundChain(plan)}}
`
}

/** To delete what may not be there it is made first. */
export function nftablesUndo(): string {
  return `${TABLE}\ndelete ${TABLE}\n`
}

function outputRules(plan: RedirectPlan): string[] {
  const { dns } = plan
  return [
    `meta skuid ${set(plan.exemptUsers)} return`,
    ...(dns === null ? [] : ['udp', 'tcp'].map(protocol => `${protocol} dport ${DNS_PORT} dnat to ${dns.host}:${dns.port}`)),
    'ip daddr 127.0.0.0/8 return',
    ...(plan.exemptOutboundRanges.length === 0 ? [] : [`ip daddr ${set(plan.exemptOutboundRanges)} return`]),
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

// The rules of a redirect plan for iptables, where there is no nftables: chains of our own in the nat table, jumped to from OUTPUT and
// PREROUTING, one command after the other. Called by apply-redirect.ts.
// Invariant: the jumps come last, so that a connection meets all of our rules or none.
import { DNS_PORT, type IpFamily, LOOPBACK, type RedirectPlan, rangesOf } from './redirect-plan.js'

const OUTPUT_CHAIN = 'OUTRIGGER_OUTPUT'
const INBOUND_CHAIN = 'OUTRIGGER_INBOUND'
const NAT = ['-w', '-t', 'nat']

/** Arguments of `iptables`, or `ip6tables`, a command each. */
export function iptablesRules(plan: RedirectPlan, family: IpFamily): string[][] {
  const { inboundPort } = plan
  const dns = family === 'ip' ? plan.dns : null
  const output = [
    ...plan.exemptUsers.map(uid => ['-m', 'owner', '--uid-owner', String(uid), '-j', 'RETURN']),
    ...(dns === null
      ? []
      : ['udp', 'tcp'].map(protocol => [
          ...['-p', protocol, '--dport', String(DNS_PORT)],
          ...['-j', 'DNAT', '--to-destination', `${dns.host}:${dns.port}`],
        ])),
    ['-d', LOOPBACK[family], '-j', 'RETURN'],
    ...rangesOf(family, plan.exemptOutboundRanges).map(range => ['-d', range, '-j', 'RETURN']),
    ...plan.exemptOutboundPorts.map(returnPort),
    redirect(plan.outboundPort),
  ]
  const inbound =
    inboundPort === null ? [] : [['-i', 'lo', '-j', 'RETURN'], ...plan.exemptInboundPorts.map(returnPort), redirect(inboundPort)]
  return [
    ['-N', OUTPUT_CHAIN],
    ...output.map(rule => ['-A', OUTPUT_CHAIN, ...rule]),
    ...(inboundPort === null
      ? []
      : [['-N', INBOUND_CHAIN], ...inbound.map(rule => ['-A', INBOUND_CHAIN, ...rule]), jump('-A', INBOUND_CHAIN)]),
    jump('-A', OUTPUT_CHAIN),
  ].map(rule => [...NAT, ...rule])
}

/** Each fails where there is nothing to undo. */
export function iptablesUndo(): string[][] {
  return [OUTPUT_CHAIN, INBOUND_CHAIN].flatMap(chain => [jump('-D', chain), ['-F', chain], ['-X', chain]]).map(rule => [...NAT, ...rule])
}

function jump(how: '-A' | '-D', chain: string): string[] {
  return [how, chain === OUTPUT_CHAIN ? 'OUTPUT' : 'PREROUTING', '-j', chain]
}

function returnPort(port: number): string[] {
  return ['-p', 'tcp', '--dport', String(port), '-j', 'RETURN']
}

function redirect(port: number): string[] {
  return ['-p', 'tcp', '-j', 'REDIRECT', '--to-ports', String(port)]
}

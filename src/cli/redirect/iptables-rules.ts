// The rules of a redirect plan for iptables, where there is no nftables: chains of our own in the nat table, jumped to from OUTPUT and
// PREROUTING, made at once by `iptables-restore`. Called by apply-redirect.ts.
// Invariant: a connection meets all of our rules or none, whatever becomes of this process meanwhile.
import { DNS_PORT, type IpFamily, LOOPBACK, type RedirectPlan, rangesOf } from './redirect-plan.js'

const OUTPUT_CHAIN = 'OUTRIGGER_OUTPUT'
const INBOUND_CHAIN = 'OUTRIGGER_INBOUND'
const NAT = ['-w', '-t', 'nat']

/** Of `iptables-restore` and `ip6tables-restore`: the rules of others stay. */
export const RESTORE = ['-w', '--noflush']

/** Their input. */
export function iptablesRules(plan: RedirectPlan, family: IpFamily): string {
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
  const chains = [[OUTPUT_CHAIN, output] as const, ...(inboundPort === null ? [] : [[INBOUND_CHAIN, inbound] as const])]
  const rules = chains.flatMap(([chain, of]) => [...of.map(rule => ['-A', chain, ...rule]), jump('-A', chain)])
  const lines = ['*nat', ...chains.map(([chain]) => `:${chain} - [0:0]`), ...rules.map(rule => rule.join(' ')), 'COMMIT']
  return lines.map(line => `${line}\n`).join('')
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

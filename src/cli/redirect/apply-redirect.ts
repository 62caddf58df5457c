// Carries a redirect plan out in the kernel, with nftables where it is installed, else with iptables; in another network namespace where one
// is named. Called by commands/redirect-traffic.ts. Every failure is a `CliError` of one line with what the tool said.
import { spawnSync } from 'node:child_process'
import { CliError } from '../command-line/command-io.js'
import { iptablesRules, iptablesUndo, RESTORE } from './iptables-rules.js'
import { IPV6_TABLE_QUESTION, nftablesRules, nftablesUndo } from './nftables-rules.js'
import type { IpFamily, RedirectPlan } from './redirect-plan.js'

export type RedirectTool = 'nft' | 'iptables'

/** As it would be typed. `hasIpv6`: there may be rules of before for IPv6. */
export function redirectText(plan: RedirectPlan | null, tool: RedirectTool, hasIpv6: boolean): string {
  if (tool === 'nft') return plan === null ? nftablesUndo(hasIpv6) : nftablesRules(plan, hasIpv6)
  const undo = [...FAMILIES.values()].flatMap(command => iptablesUndo().map(args => [command, ...args]))
  const restored =
    plan === null ? [] : restoresOf(plan).map(([command, rules]) => `${[command, ...RESTORE].join(' ')} <<END\n${rules}END\n`)
  return [...undo.map(command => `${command.join(' ')}\n`), ...restored].join('')
}

const NOT_PERMITTED = /not permitted|permission denied|must be root/i
const FAMILIES: ReadonlyMap<IpFamily, IptablesCommand> = new Map([
  ['ip', 'iptables'],
  ['ip6', 'ip6tables'],
])

type IptablesCommand = 'iptables' | 'ip6tables'

function restoresOf(plan: RedirectPlan): (readonly [command: `${IptablesCommand}-restore`, rules: string])[] {
  return [...FAMILIES]
    .filter(([family]) => plan.ipv6 || family === 'ip')
    .map(([family, command]) => [`${command}-restore`, iptablesRules(plan, family)] as const)
}

/** `plan` null: what was done before is undone. */
export function applyRedirect(plan: RedirectPlan | null, tool: RedirectTool, namespace: string | undefined): void {
  if (tool === 'nft') {
    run(namespace, 'nft', ['-f', '-'], redirectText(plan, tool, hasIpv6Rules(tool, namespace)))
    return
  }
  undoIptables(namespace)
  if (plan === null) return
  try {
    for (const [command, rules] of restoresOf(plan)) run(namespace, command, RESTORE, rules)
  } catch (error) {
    undoIptables(namespace)
    throw error
  }
}

function undoIptables(namespace: string | undefined): void {
  for (const command of FAMILIES.values()) for (const args of iptablesUndo()) attempt(namespace, command, args)
}

/** Whether there may be rules for IPv6 from before: who may not ask is told yes, and so is iptables, whose undo minds nothing that is not there. */
export function hasIpv6Rules(tool: RedirectTool, namespace: string | undefined): boolean {
  if (tool === 'iptables') return true
  const { error, status, stderr } = attempt(namespace, 'nft', IPV6_TABLE_QUESTION)
  return error === undefined && (status === 0 || NOT_PERMITTED.test(stderr))
}

/** The first that is installed. */
export function installedTool(): RedirectTool {
  for (const tool of ['nft', 'iptables'] as const) if (spawnSync(tool, ['--version']).error === undefined) return tool
  throw new CliError('neither nft nor iptables is installed: one of them is needed to redirect traffic')
}

function run(
  namespace: string | undefined,
  tool: RedirectTool | IptablesCommand | `${IptablesCommand}-restore`,
  args: readonly string[],
  input = '',
): void {
  const { error, status, stderr } = attempt(namespace, tool, args, input)
  if (error !== undefined) throw new CliError(`${namespace === undefined ? tool : 'nsenter'}: ${error.message}`)
  if (status === 0) return
  const said = stderr.trim().split('\n')[0] || `exit code ${status}`
  const why = NOT_PERMITTED.test(said) ? ' (it needs root, or CAP_NET_ADMIN)' : ''
  throw new CliError(`${tool} ${args.join(' ')}: ${said}${why}`)
}

function attempt(
  namespace: string | undefined,
  tool: RedirectTool | IptablesCommand | `${IptablesCommand}-restore`,
  args: readonly string[],
  input = '',
) {
  const [command, all] = namespace === undefined ? [tool, args] : ['nsenter', [`--net=${namespace}`, tool, ...args]]
  return spawnSync(command, all, { input, encoding: 'utf8' })
}

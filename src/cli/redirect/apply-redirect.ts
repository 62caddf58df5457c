// Carries a redirect plan out in the kernel, with nftables where it is installed, else with iptables; in another network namespace where one
// is named. Called by commands/redirect-traffic.ts. Every failure is a `CliError` of one line with what the tool said.
import { spawnSync } from 'node:child_process'
import { CliError } from '../command-line/command-io.js'
import { iptablesRules, iptablesUndo } from './iptables-rules.js'
import { nftablesRules, nftablesUndo } from './nftables-rules.js'
import type { RedirectPlan } from './redirect-plan.js'

export type RedirectTool = 'nft' | 'iptables'

/** As it would be typed. */
export function redirectText(plan: RedirectPlan | null, tool: RedirectTool): string {
  if (tool === 'nft') return plan === null ? nftablesUndo() : nftablesRules(plan)
  const commands = plan === null ? iptablesUndo() : [...iptablesUndo(), ...iptablesRules(plan)]
  return commands.map(args => `iptables ${args.join(' ')}\n`).join('')
}

/** `plan` null: what was done before is undone. */
export function applyRedirect(plan: RedirectPlan | null, tool: RedirectTool, namespace: string | undefined): void {
  if (tool === 'nft') {
    run(namespace, 'nft', ['-f', '-'], redirectText(plan, tool))
    return
  }
  for (const args of iptablesUndo()) attempt(namespace, 'iptables', args)
  if (plan === null) return
  try {
    for (const args of iptablesRules(plan)) run(namespace, 'iptables', args)
  } catch (error) {
    for (const args of iptablesUndo()) attempt(namespace, 'iptables', args)
    throw error
  }
}

/** The first that is installed. */
export function installedTool(): RedirectTool {
  for (const tool of ['nft', 'iptables'] as const) if (spawnSync(tool, ['--version']).error === undefined) return tool
  throw new CliError('neither nft nor iptables is installed: one of them is needed to redirect traffic')
}

function run(namespace: string | undefined, tool: RedirectTool, args: readonly string[], input = ''): void {
  const { error, status, stderr } = attempt(namespace, tool, args, input)
  if (error !== undefined) throw new CliError(`${namespace === undefined ? tool : 'nsenter'}: ${error.message}`)
  if (status === 0) return
  const said = stderr.trim().split('\n')[0] || `exit code ${status}`
  const why = /not permitted|permission denied|must be root/i.test(said) ? ' (it needs root, or CAP_NET_ADMIN)' : ''
  throw new CliError(`${tool} ${args.join(' ')}: ${said}${why}`)
}

function attempt(namespace: string | undefined, tool: RedirectTool, args: readonly string[], input = '') {
  const [command, all] = namespace === undefined ? [tool, args] : ['nsenter', [`--net=${namespace}`, tool, ...args]]
  return spawnSync(command, all, { input, encoding: 'utf8' })
}

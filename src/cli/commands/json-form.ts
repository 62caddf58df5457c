// `--json` of the commands that have Consul's `--format json`: one word asks every command for JSON. Called by program.ts, last of all.
import type { Command } from 'commander'
import { FORMAT_OPTION, JSON_OPTION } from '../command-line/print.js'

export function addJsonForm(program: Command): void {
  for (const command of program.commands) {
    addJsonForm(command)
    const has = (flags: string): boolean => command.options.some(option => option.flags === flags)
    if (!has(FORMAT_OPTION[0]) || has(JSON_OPTION[0])) continue
    command.option(...JSON_OPTION).on('option:json', () => command.setOptionValue('format', 'json'))
  }
}

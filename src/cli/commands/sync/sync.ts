// `outrigger sync`: networks and files that follow the catalog, as Consul-Terraform-Sync and consul-template do it; and `sync task …`, which
// asks such a process. Declared for program.ts; what runs is loaded when it does.
import type { Command } from 'commander'
import { remote } from '../../command-line/api-flags.js'
import { collect } from '../../command-line/collect.js'
import type { CommandIo } from '../../command-line/command-io.js'
import type { SyncFlags } from './run-automation.js'
import { addTaskVerbs } from './task-verbs.js'

export function addSync(program: Command, io: CommandIo): void {
  const sync = program
    .command('sync')
    .description('run tasks (files from templates, Terraform, webhooks, F5 AS3, HTTP APIs) whenever the catalog changes')
    .option('--config <path>', 'file (HCL, JSON or YAML), or folder of such files; may be given several times', collect)
    .option('--config-file <path>', 'the same', collect)
    .option('--config-dir <path>', 'the same', collect)
    .option('--once', 'run each task once, and end')
    .option('--inspect', 'print what each task would change, and end')
    .option('--dry-run', 'the same')
    .option('--port <port>', 'of the status API on loopback; 0: any free one (default: that of the configuration, or 8558)')
    .option('--log-level <level>', 'over that of the configuration')
    .option('--log-json', 'log as JSON')
  remote(sync, io, async (_, flags: SyncFlags) => (await import('./run-automation.js')).runAutomation(flags, io))
  addTaskVerbs(sync, io)
}

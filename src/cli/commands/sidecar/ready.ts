// `outrigger ready`: whether a sidecar, or the control plane, serves: the health check of a container that has no shell and no curl. Declared for
// program.ts. Exit 0: it does; 1: it does not, or could not be asked.
import type { Command } from 'commander'
import { type ApiFlags, remote } from '../../command-line/api-flags.js'
import { CliError, type CommandIo } from '../../command-line/command-io.js'
import { JSON_OPTION, printDone } from '../../command-line/print.js'
import { sidecarAdmin } from './sidecar-admin.js'

/** Container engines end a check after 30 s; who is asked so often answers at once, or not. */
const TIMEOUT_MS = 5_000

interface ReadyFlags extends ApiFlags {
  readonly admin?: string
  readonly json?: boolean
}

export function addReady(program: Command, io: CommandIo): void {
  const command = program
    .command('ready')
    .description('whether the control plane serves, or with --admin a sidecar: exit 0 or 1, for the health checks of containers')
    .option('--admin <host:port>', 'the admin address of the sidecar to ask in its place')
    .option(...JSON_OPTION)
  remote(command, io, async (api, { admin, json }: ReadyFlags) => {
    if (admin !== undefined) {
      const { text } = await sidecarAdmin(admin).call({ method: 'GET', path: '/ready', timeoutMs: TIMEOUT_MS })
      return printDone(json, { State: text.trim() }, text.trim(), io)
    }
    const { text } = await api.call({ method: 'GET', path: '/v1/status/leader', timeoutMs: TIMEOUT_MS })
    if (JSON.parse(text) === '') throw new CliError('it has no leader')
    printDone(json, { State: 'LIVE' }, 'LIVE', io)
  })
}

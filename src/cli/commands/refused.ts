// Commands of Consul's that this control plane has by name only: each says why, with exit code 1, instead of "unknown command". Declared for
// program.ts; docs/consul-compatibility.md lists them as refused, which a test compares.
import type { Command } from 'commander'
import { CliError } from '../command-line/command-io.js'

const REASONS: Readonly<Record<string, string>> = {
  exec: 'exec: commands are not run on other machines by the control plane',
  'connect proxy': 'connect proxy: Consul’s built-in proxy is for tests; "outrigger connect envoy" runs a real one',
  namespace: 'namespaces are of Consul Enterprise',
  partition: 'admin partitions are of Consul Enterprise',
  license: 'there is no licence: Apache-2.0 for all of it',
}

export function addRefused(program: Command): void {
  for (const [words, reason] of Object.entries(REASONS)) {
    let parent = program
    const path = words.split(' ')
    for (const word of path.slice(0, -1))
      parent = parent.commands.find(each => each.name() === word) ?? parent.command(word).description(`refused: ${reason}`)
    parent
      .command(path.at(-1)!)
      .description(`refused: ${reason}`)
      .argument('[words...]')
      .allowUnknownOption(true)
      .action(() => {
        throw new CliError(reason)
      })
  }
}

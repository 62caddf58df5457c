// Commands that ask nobody: version, keygen, validate. Declared for program.ts.
import { randomBytes } from 'node:crypto'
import type { Command } from 'commander'
import { ENVOY_VERSION, OUTRIGGER_VERSION } from '../../sidecar/version.js'
import type { CommandIo } from '../command-line/command-io.js'
import { FORMAT_OPTION, printAs } from '../command-line/print.js'

const KEY_BYTES = 32

export function addLocal(program: Command, io: CommandIo): void {
  const version = program
    .command('version')
    .description('print the version, and the versions of Consul and Envoy that this one stands for')
    .option(...FORMAT_OPTION)
    .allowExcessArguments(false)
  version.action(async () => {
    const { CONSUL_VERSION } = await import('../../control/consul-version.js')
    const value = { Version: OUTRIGGER_VERSION, Consul: CONSUL_VERSION, Envoy: ENVOY_VERSION, Node: process.versions.node }
    const text = `Outrigger v${value.Version}\nAPI of Consul v${value.Consul}, xDS for Envoy v${value.Envoy}; Node ${value.Node}\n`
    printAs(version.opts<{ format?: string }>().format, value, () => text, io)
  })
  program
    .command('keygen')
    .description('print a random key of 32 bytes, as --ca-key-file and gossip keys are made')
    .allowExcessArguments(false)
    .action(() => io.out(`${randomBytes(KEY_BYTES).toString('base64')}\n`))
  const validate = program
    .command('validate')
    .description("check files and folders of Consul's agent configuration; exit code 1 where they are wrong")
    .argument('<paths...>')
    .option('--config-format <format>', 'hcl or json, whatever the names of the files end in')
    .option('--quiet', 'only the exit code and what is wrong')
  validate.action(async (paths: string[]) => {
    const { configFormat, quiet } = validate.opts<{ configFormat?: string; quiet?: boolean }>()
    await (await import('./validate.js')).validateConfig(paths, configFormat, quiet === true, io)
  })
}

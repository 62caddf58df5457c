// Flags as Go programs take them, as commander takes them.
import { Command } from 'commander'
import { expect, it } from 'vitest'
import { normalizeGoFlags } from '../../../src/cli/command-line/go-flags.js'

const program = new Command()
  .option('--retry-join <host[:port]>', 'a value whose form has brackets')
  .option('--node <name>', 'a value')
  .option('--tls [bool]', 'may be said to be false')
  .option('--once', 'a boolean')
program.command('kv').option('-s, --service <name=command>', 'of a command below')

it.each([
  [['-retry-join', '127.0.0.1:8500'], ['--retry-join=127.0.0.1:8500']],
  [
    ['--retry-join=127.0.0.1:8500', 'rest'],
    ['--retry-join=127.0.0.1:8500', 'rest'],
  ],
  [['-node', '-a'], ['--node=-a']],
  [
    ['-tls', 'rest'],
    ['--tls=true', 'rest'],
  ],
  [['-tls=false'], ['--tls=false']],
  [
    ['-once', 'rest'],
    ['--once', 'rest'],
  ],
  [['-once=false'], []],
  [['-once=1'], ['--once']],
  [
    ['kv', '-s', 'web=node web.js'],
    ['kv', '--service=web=node web.js'],
  ],
  [['-unknown=1'], ['--unknown=1']],
  [
    ['-once', '--', '-node'],
    ['--once', '--', '-node'],
  ],
])('%j is %j', (given, expected) => {
  expect(normalizeGoFlags(program, given)).toEqual(expected)
})

// The examples in the help of commands, held against the commands: each is of one that exists, with flags that it has.
import type { Command } from 'commander'
import { expect, it } from 'vitest'
import { buildProgram } from '../../../src/cli/program.js'
import { testIo } from '../../support/command-io.js'

/** Consul's commands that have no meaning here: they say so, and their help has nothing to show. */
const REFUSED =
  /^(exec|peering .*|namespace|partition|license|keyring|services export(ed-services)?|connect proxy|operator raft (remove-peer|transfer-leader)|operator autopilot set-config)$/

const commands: [string, Command][] = []
const walk = (command: Command, words: readonly string[]): void => {
  const below = command.commands.filter(child => child.name() !== 'help')
  if (below.length === 0) commands.push([words.join(' '), command])
  for (const next of below) walk(next, [...words, next.name()])
}
for (const command of buildProgram(testIo()).commands) if (command.name() !== 'help') walk(command, [command.name()])

function helpOf(command: Command): string {
  let text = ''
  command.configureOutput({ writeOut: part => (text += part) }).outputHelp()
  return text
}

/** What is the command's own in a line: up to the shell's part, or what it hands on. */
function flagsIn(line: string): string[] {
  const own = line.split(/ (?:--|>+|<|\.\/\S+) ?/)[0]!.replaceAll(/"[^"]*"/g, '""')
  return own.split(' ').filter(word => /^-./.test(word))
}

it.each(commands.filter(([words]) => !REFUSED.test(words)))('%s', (words, command) => {
  const [, examples = ''] = helpOf(command).split('\nExamples:\n')
  const lines = examples.trimEnd().split('\n')
  expect(lines[0]).toMatch(new RegExp(`^ {2}outrigger ${words}( |$)`))
  const known = new Set(command.options.flatMap(({ short, long }) => [short, long]).map(flag => flag?.replace(/^-+/, '')))
  for (const line of lines) for (const flag of flagsIn(line)) expect([line, known.has(flag.replace(/^-+/, ''))]).toEqual([line, true])
})

// docs/consul-compatibility.md says of each of Consul's commands, and of ours, whether it is there: this holds it against the commands.
import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { buildProgram } from '../../src/cli/program.js'
import { runCommand } from '../support/cli-fixture.js'
import { testIo } from '../support/command-io.js'

interface Row {
  readonly name: string
  readonly state: string
}

const page = readFileSync(new URL('../../docs/consul-compatibility.md', import.meta.url), 'utf8')
const table = page.slice(page.indexOf('<!-- commands -->'), page.indexOf('<!-- /commands -->'))
const rows = [...table.matchAll(/^\| `([a-z0-9 -]+)` \| (there|ours|refused|absent) \|/gm)].map(
  ([, name, state]): Row => ({ name: name!, state: state! }),
)

function leaves(command: Command, path: readonly string[] = []): Map<string, Command> {
  if (command.commands.length === 0) return new Map([[path.join(' '), command]])
  return new Map(command.commands.flatMap(below => [...leaves(below, [...path, below.name()])]))
}

const commands = leaves(buildProgram(testIo()))

describe('the table of commands', () => {
  it('names every command that there is', () => {
    expect(
      rows
        .filter(({ state }) => state !== 'absent')
        .map(({ name }) => name)
        .sort(),
    ).toEqual([...commands.keys()].sort())
  })

  it('names as absent only what is not there', () => {
    expect(rows.filter(({ name, state }) => state === 'absent' && commands.has(name))).toEqual([])
  })

  it('says of each whether it is refused', () => {
    const wrong = rows.filter(
      ({ name, state }) => (commands.get(name)?.description().startsWith('refused:') ?? false) !== (state === 'refused'),
    )
    expect(wrong).toEqual([])
  })

  it.each(rows.filter(({ state }) => state === 'refused').map(({ name }) => name))('%s says why', async name => {
    expect(await runCommand(name.split(' '))).toMatchObject({ code: 1, out: '', err: expect.stringMatching(/^outrigger: \S+/) })
  })
})

describe('--json', () => {
  const ours = rows.filter(({ state }) => state === 'ours').map(({ name }) => name)
  /** Those run until they are ended, or what they print has a form of its own. */
  const withForm = /^(bootstrap|completion|control|dev|gateway .*|k8s .*|run|sidecar|spiffe bundle)$/

  it.each(ours.filter(name => !withForm.test(name)))('is a flag of %s', name => {
    expect(commands.get(name)!.options.map(({ long }) => long)).toContain('--json')
  })

  it('stands for --format json wherever Consul has that', () => {
    const formatted = [...commands].filter(([, { options }]) => options.some(({ long }) => long === '--format'))
    expect(formatted.length).toBeGreaterThan(10)
    expect(formatted.filter(([, { options }]) => !options.some(({ long }) => long === '--json')).map(([name]) => name)).toEqual([])
  })
})

describe('help', () => {
  it.each([...commands.keys()])('of %s is there', async name => {
    const { code, out } = await runCommand([...name.split(' '), '-help'])
    expect([code, out]).toEqual([0, expect.stringContaining(`Usage: outrigger ${name}`)])
  })
})

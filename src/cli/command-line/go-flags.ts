// Command lines as Consul's users write them, made into what commander reads: `-http-addr=x`, `-recurse`, `-ssl-verify=false` and the same with
// two dashes. Called by outrigger-main.ts once for every command line, so that no command knows of it. It walks the tree of commands, because
// only an option's own definition says whether the word after it is its value.
// Invariant: a value or an operand is never changed; what no command knows is left for commander to refuse.
import type { Command, Option } from 'commander'

const TRUE = new Set(['1', 't', 'T', 'true', 'TRUE', 'True'])
const FALSE = new Set(['0', 'f', 'F', 'false', 'FALSE', 'False'])

/** Commands whose operands may begin with a dash: their own options end at the first operand, as all of Go's do. */
const STOPPING = new WeakSet<Command>()

export function stopAtOperand(command: Command): Command {
  STOPPING.add(command)
  return command
}

export function normalizeGoFlags(program: Command, argv: readonly string[]): string[] {
  const result: string[] = []
  let command = program
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!
    if (word === '--') return [...result, ...argv.slice(i)]
    const flag = /^-{1,2}([A-Za-z][^=]*)(?:=([\s\S]*))?$/.exec(word)
    if (flag === null) {
      const below = command.commands.find(candidate => candidate.name() === word)
      if (below === undefined && STOPPING.has(command)) return [...result, '--', ...argv.slice(i)]
      command = below ?? command
      result.push(word)
      continue
    }
    const name = flag[1]!
    const value = flag[2]
    const option = command.options.find(({ long, short }) => long === `--${name}` || short === `-${name}`)
    if (name === 'help' || name === 'h') result.push('--help')
    else if (option === undefined) result.push(`${name.length === 1 ? '-' : '--'}${name}${value === undefined ? '' : `=${value}`}`)
    // One that may be said to be false, over an environment or a file that say otherwise. (A value of the form <host[:port]> counts as both.)
    else if (option.optional && !option.required) result.push(`${option.long}=${value ?? 'true'}`)
    else if (!option.required) result.push(...booleanFlag(option, value))
    else if (value !== undefined) result.push(`${option.long}=${value}`)
    else if (i + 1 < argv.length) result.push(`${option.long}=${argv[++i]}`)
    else result.push(option.long!)
  }
  return result
}

/** `-x=false` is as if it had not been given; of one that is on by itself, `--no-x`. */
function booleanFlag(option: Option, value: string | undefined): readonly string[] {
  const long = option.long!
  if (value === undefined || TRUE.has(value)) return [long]
  return FALSE.has(value) ? [] : [`${long}=${value}`]
}

// `outrigger completion bash|zsh|fish`, and `-autocomplete-install`: scripts made of the tree of commands, so that they know every command and
// flag that there is. Declared for program.ts, after all others.
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Command } from 'commander'
import { AnswerCode, CliError, type CommandIo } from '../command-line/command-io.js'

const SHELLS = ['bash', 'zsh', 'fish'] as const
type Shell = (typeof SHELLS)[number]

const RC_FILES: Readonly<Record<'bash' | 'zsh', string>> = { bash: '.bashrc', zsh: '.zshrc' }
const FISH_FILE = '.config/fish/completions/outrigger.fish'

export function addCompletion(program: Command, io: CommandIo): void {
  program
    .command('completion')
    .description('print the completion script of a shell: source <(outrigger completion bash)')
    .argument('<shell>', SHELLS.join(', '))
    .allowExcessArguments(false)
    .action((shell: string) => io.out(script(shellOf(shell), program)))
  // As Consul's: flags of the program itself.
  program
    .option('--autocomplete-install', 'have bash, zsh and fish of this user complete commands')
    .option('--autocomplete-uninstall', 'have them do so no more')
    .on('option:autocomplete-install', () => {
      install(homeOf(io), program, io)
      throw new AnswerCode(0)
    })
    .on('option:autocomplete-uninstall', () => {
      uninstall(homeOf(io), io)
      throw new AnswerCode(0)
    })
}

function homeOf(io: CommandIo): string {
  const home = io.env('HOME')
  if (home === undefined) throw new CliError('HOME is not set')
  return home
}

const rcLine = (shell: 'bash' | 'zsh'): string => `source <(outrigger completion ${shell})`

function install(home: string, program: Command, io: CommandIo): void {
  for (const shell of ['bash', 'zsh'] as const) {
    const path = join(home, RC_FILES[shell])
    // Only shells that this user has set up.
    if (!existsSync(path) || readFileSync(path, 'utf8').includes(rcLine(shell))) continue
    appendFileSync(path, `${rcLine(shell)}\n`)
    io.out(`${path}: ${rcLine(shell)}\n`)
  }
  const fish = join(home, FISH_FILE)
  if (!existsSync(join(home, '.config/fish'))) return
  mkdirSync(dirname(fish), { recursive: true })
  writeFileSync(fish, script('fish', program))
  io.out(`${fish}\n`)
}

function uninstall(home: string, io: CommandIo): void {
  for (const shell of ['bash', 'zsh'] as const) {
    const path = join(home, RC_FILES[shell])
    if (!existsSync(path)) continue
    const text = readFileSync(path, 'utf8')
    if (!text.includes(`${rcLine(shell)}\n`)) continue
    writeFileSync(path, text.replace(`${rcLine(shell)}\n`, ''))
    io.out(`${path}\n`)
  }
  const fish = join(home, FISH_FILE)
  if (existsSync(fish)) rmSync(fish)
}

function shellOf(text: string): Shell {
  if ((SHELLS as readonly string[]).includes(text)) return text as Shell
  throw new CliError(`completion "${text}": must be one of ${SHELLS.join(', ')}`)
}

interface Node {
  /** Words after `outrigger`. */
  readonly path: string
  readonly commands: readonly Command[]
  readonly flags: readonly { readonly flag: string; readonly description: string }[]
}

function nodesOf(command: Command, path: readonly string[] = []): Node[] {
  const flags = command.options.filter(({ hidden }) => !hidden).map(({ long, description }) => ({ flag: long!, description }))
  const node = { path: path.join(' '), commands: command.commands, flags }
  return [node, ...command.commands.flatMap(below => nodesOf(below, [...path, below.name()]))]
}

function script(shell: Shell, program: Command): string {
  const nodes = nodesOf(program)
  if (shell === 'fish') return fishScript(nodes)
  const words = ({ commands, flags }: Node): string => [...commands.map(each => each.name()), ...flags.map(({ flag }) => flag)].join(' ')
  const cases = nodes.map(node => `    '${node.path}') words='${words(node)}' ;;`).join('\n')
  const groups = nodes.filter(({ commands }) => commands.length > 0).map(({ path }) => `'${path}'`)
  const body = `  local path='' words='' word next
  for word in "\${typed[@]}"; do
    [[ $word == -* ]] && continue
    case "$path" in ${groups.join('|')}) next="\${path:+$path }$word" ;; *) break ;; esac
    path="$next"
  done
  case "$path" in
${cases}
  esac`
  if (shell === 'bash')
    return `# Completion of outrigger for bash.
_outrigger() {
  local typed=("\${COMP_WORDS[@]:1:COMP_CWORD-1}")
${body}
  if [[ -z $words || ($words != *' '* && \${COMP_WORDS[COMP_CWORD]} != -*) ]]; then COMPREPLY=($(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}")); return; fi
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _outrigger outrigger
`
  return `#compdef outrigger
# Completion of outrigger for zsh.
_outrigger() {
  local typed=("\${(@)words_given[2,CURRENT-1]}")
${body}
  compadd -- \${=words}
  _files
}
_outrigger_start() {
  local -a words_given
  words_given=("\${(@)words}")
  _outrigger
}
compdef _outrigger_start outrigger
`
}

function fishScript(nodes: readonly Node[]): string {
  const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
  const lines = nodes.flatMap(({ path, commands, flags }) => {
    const seen =
      path === ''
        ? '__fish_use_subcommand'
        : path
            .split(' ')
            .map(word => `__fish_seen_subcommand_from ${word}`)
            .join('; and ')
    return [
      ...commands.map(each => `complete -c outrigger -f -n ${quoted(seen)} -a ${quoted(each.name())} -d ${quoted(each.description())}`),
      ...flags.map(
        ({ flag, description }) => `complete -c outrigger -n ${quoted(seen)} -l ${quoted(flag.slice(2))} -d ${quoted(description)}`,
      ),
    ]
  })
  return `# Completion of outrigger for fish.\n${lines.join('\n')}\n`
}

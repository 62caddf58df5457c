// The `outrigger` command: reads argv, hands each command to its file under commands/. Called by bin/outrigger and by tests.
// Invariant: whatever goes wrong ends in lines on stderr that begin with `outrigger:` and exit code 1, never in a stack trace.
// Exit codes above 1 are answers (`AnswerCode`): denied, no member, a child that failed.
import { CommanderError } from 'commander'
import { AnswerCode, CliError, type CommandIo, processIo } from './command-line/command-io.js'
import { normalizeGoFlags } from './command-line/go-flags.js'
import { buildProgram } from './program.js'

/** Runs the command line `argv` (without node and script) and sets the process' exit code. */
export async function outriggerMain(argv: readonly string[]): Promise<void> {
  process.stdout.on('error', ignoreClosedPipe)
  process.exitCode = await runOutrigger(argv, processIo())
}

/** Resolves with the exit code. */
export async function runOutrigger(argv: readonly string[], io: CommandIo): Promise<number> {
  try {
    const program = buildProgram(io)
    await program.parseAsync(normalizeGoFlags(program, argv), { from: 'user' })
    return 0
  } catch (error) {
    // Help and version end by an error as well, with code 0; the rest has been written by commander.
    if (error instanceof AnswerCode) return error.code
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 1
    const message = error instanceof CliError ? error.message : `internal error: ${(error as Error).stack ?? String(error)}`
    for (const line of message.split('\n')) io.err(`outrigger: ${line}\n`)
    return 1
  }
}

/** `outrigger ... | head` closes the pipe early. */
function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error
}

// What the processes that go on have in common: their pid file, the level of their log, the signal that ends them. Used by run-control.ts,
// client-agent.ts and the commands that show something until they are stopped; loads nothing.
import { writeFileSync } from 'node:fs'
import { CliError } from '../command-line/command-io.js'
import { CONTROL_LOG_LEVELS, LOG_LEVELS } from '../log-levels.js'

export function writePidFile(path: string): void {
  try {
    writeFileSync(path, `${process.pid}\n`)
  } catch (error) {
    throw new CliError(`pid_file ${path}: ${(error as Error).message}`)
  }
}

/** By Envoy's names, which the sidecar has. */
const ENVOY_LEVELS: Readonly<Record<string, string>> = { warning: 'warn', critical: 'fatal', off: 'silent' }

export function levelOf(given = 'info'): string {
  const level = ENVOY_LEVELS[given] ?? given
  if (!CONTROL_LOG_LEVELS.includes(level))
    throw new CliError(
      `--log-level "${given}": must be one of ${[...LOG_LEVELS, ...CONTROL_LOG_LEVELS.filter(name => !LOG_LEVELS.some(known => known === name))].join(', ')}`,
    )
  return level
}

/** Resolves on the first SIGTERM or SIGINT; a second one ends the process at once. */
export function stopSignal(): Promise<'SIGTERM' | 'SIGINT'> {
  return new Promise(resolve => {
    let asked = false
    const stop = (signal: 'SIGTERM' | 'SIGINT'): void => {
      if (asked) process.exit(1)
      asked = true
      resolve(signal)
    }
    process.on('SIGTERM', () => stop('SIGTERM'))
    process.on('SIGINT', () => stop('SIGINT'))
  })
}

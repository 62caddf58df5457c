// The world of one command in a test: an environment, what it wrote, and nobody at the terminal unless `answer` says otherwise.
import { type CommandIo, readBytes, readText } from '../../src/cli/command-line/command-io.js'
import { visible } from '../../src/cli/command-line/visible.js'

export interface TestIo extends CommandIo {
  readonly text: { out: string; err: string }
  /** What a progress bar was told. */
  readonly bars: readonly string[]
}

export function testIo(env: Readonly<Record<string, string>> = {}, answer?: boolean): TestIo {
  const text = { out: '', err: '' }
  const bars: string[] = []
  return {
    text,
    bars,
    env: name => env[name],
    out: part => void (text.out += typeof part === 'string' ? visible(part) : part.toString()),
    draw: part => void (text.out += part),
    err: part => void (text.err += visible(part)),
    progress: (label, done, total) => void bars.push(`${label} ${done}/${total}`),
    readText,
    readBytes,
    terminal: () => undefined,
    confirm: async () => answer,
  }
}

// The world of one command in a test: an environment, what it wrote, and nobody at the terminal unless `answer` says otherwise.
import { type CommandIo, readBytes, readText } from '../../src/cli/command-line/command-io.js'

export interface TestIo extends CommandIo {
  readonly text: { out: string; err: string }
}

export function testIo(env: Readonly<Record<string, string>> = {}, answer?: boolean): TestIo {
  const text = { out: '', err: '' }
  return {
    text,
    env: name => env[name],
    out: part => void (text.out += part.toString()),
    err: part => void (text.err += part),
    readText,
    readBytes,
    terminal: () => undefined,
    confirm: async () => answer,
  }
}

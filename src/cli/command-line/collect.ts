// Options that may be given several times: what commander collects of them, and pairs made of what it collected.
import { CliError } from './command-io.js'

export function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value]
}

/** `key=value` texts as an object. Throws `CliError` that names the flag. */
export function keyValues(texts: readonly string[], flag: string, separator = '='): Record<string, string> {
  return Object.fromEntries(texts.map(text => splitPair(text, flag, separator)))
}

function splitPair(text: string, flag: string, separator: string): [string, string] {
  const at = text.indexOf(separator)
  if (at < 1) throw new CliError(`${flag} "${text}": must be key${separator}value`)
  return [text.slice(0, at), text.slice(at + 1)]
}

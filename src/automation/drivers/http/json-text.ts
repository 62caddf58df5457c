// JSON that templates have made: checked, and in a form in which two of the same meaning are the same text. Called by the drivers of this folder.
import { isPlain } from '../../config/config-fields.js'
import { DriverError } from '../driver.js'

export function parseJsonBody(text: string, name: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new DriverError(`${name}: is no JSON: ${(error as Error).message}`, { isFinal: true })
  }
}

/** Keys in order, indented. */
export function canonicalJson(value: unknown): string {
  return `${JSON.stringify(value, (_, each: unknown) => (isPlain(each) ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1))) : each), 2)}\n`
}

/** As `canonicalJson`, or the text itself where it is no JSON. */
export function canonicalText(text: string): string {
  try {
    return canonicalJson(JSON.parse(text))
  } catch {
    return text
  }
}

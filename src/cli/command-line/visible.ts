// Text of others on a terminal: a name, a path or a reason may come from whoever wrote it into the catalog or sent it over the network, and a
// terminal obeys what stands in it. Used for everything that commands print, and for log lines. Invariant: what comes out moves no cursor, changes
// no colour and no order of reading; where it stands in a string of JSON it is the same JSON.

/**
 * Control characters but tab and newline (a return only before one), and what turns the direction of reading: each as its escape in JSON.
 */
const OBEYED = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]|\r(?!\n)/g

export function visible(text: string): string {
  return text.replace(OBEYED, character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** The same in one line. */
export function visibleLine(text: string): string {
  return visible(text).replace(/\r?\n/g, '\\n')
}

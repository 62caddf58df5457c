// The head of an HTTP/1 message, for the client and the origins of the tests.

export interface MessageHead {
  /** The first line. */
  readonly first: string
  readonly text: string
  /** Lower-case name -> values joined by `, `. */
  readonly headers: ReadonlyMap<string, string>
  /** Where the body begins. */
  readonly length: number
}

/** Null: it is not whole yet. */
export function readMessageHead(bytes: Buffer): MessageHead | null {
  const end = bytes.indexOf('\r\n\r\n')
  if (end === -1) return null
  const text = bytes.toString('latin1', 0, end)
  const [first = '', ...lines] = text.split('\r\n')
  const headers = new Map<string, string>()
  for (const line of lines) {
    const colon = line.indexOf(':')
    const name = line.slice(0, colon).toLowerCase()
    const value = line.slice(colon + 1).trim()
    headers.set(name, headers.has(name) ? `${headers.get(name)}, ${value}` : value)
  }
  return { first, text, headers, length: end + 4 }
}

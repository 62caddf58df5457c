// What the attack corpora are written in: tables of byte strings, and names for them.

/** Values between `¦` or on lines of their own, with JavaScript's escapes; a blank at either end is written \\x20. */
export function table(text: TemplateStringsArray): string[] {
  return text.raw[0]!.replace(/^\n/, '')
    .split('\n')
    .flatMap(line => line.replace(/^ +/, '').split('¦'))
    .map(unescaped)
}

const ESCAPES = new Map([
  ['0', '\0'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
])

function unescaped(raw: string): string {
  return raw.replace(/\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|(.))/g, (_all, byte?: string, unit?: string, char = '') =>
    byte === undefined && unit === undefined ? (ESCAPES.get(char) ?? char) : String.fromCharCode(Number.parseInt(byte ?? unit!, 16)),
  )
}

/** A name for the bytes: printable, and different for different bytes as far as the corpora go. */
export function show(text: string): string {
  if (text.length > 160) return `${show(text.slice(0, 120))}...${text.length}`
  return JSON.stringify(text)
    .slice(1, -1)
    .replace(/[\x7f-\xff]/g, c => `\\x${c.charCodeAt(0).toString(16)}`)
}

export const CHUNKS = '5\r\nhello\r\n0\r\n\r\n'

/** Bytes that some parser somewhere takes for a blank, a line end, a separator or nothing. */
export const ODD_BYTES = table`
      \0¦\x01¦\x08¦\t¦\n¦\x0b¦\x0c¦\r¦\x1b¦\x20¦"¦(¦,¦:¦;¦=¦@¦[¦\\¦{¦\x7f¦\x80¦\x85¦\xa0¦\xff`

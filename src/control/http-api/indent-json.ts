// `?pretty`: JSON text with line breaks and indents, as Go prints it. It works on the text, so that numbers which JavaScript can't hold (flags
// of keys are 64 bits) stay as they are. Used by server.ts for every answer.

const INDENT = '    '

/** `text` must be JSON without white space between its tokens. */
export function indentJson(text: string): string {
  let out = ''
  let depth = 0
  const newLine = (): string => `\n${INDENT.repeat(depth)}`
  for (let i = 0; i < text.length; i++) {
    const char = text[i]!
    if (char === '"') {
      const end = endOfString(text, i)
      out += text.slice(i, end)
      i = end - 1
    } else if ((char === '{' || char === '[') && (text[i + 1] === '}' || text[i + 1] === ']')) out += char + text[++i]!
    else if (char === '{' || char === '[') {
      depth++
      out += char + newLine()
    } else if (char === '}' || char === ']') {
      depth--
      out += newLine() + char
    } else if (char === ',') out += char + newLine()
    else if (char === ':') out += ': '
    else out += char
  }
  return `${out}\n`
}

/** Behind the quote that ends the string which begins at `start`. */
function endOfString(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    if (text[i] === '\\') i++
    else if (text[i] === '"') return i + 1
  }
  return text.length
}

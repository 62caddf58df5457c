// Which content types one direction of a compressor takes: a list of exact types and one of matchers; a message without a type is
// taken. Compiled once per direction; called by compressor.ts.

import type { CompressorDirection } from '../../../model/http-filter.js'
import { compileStringMatchers } from '../../match/string-matcher.js'

export function compileContentTypes({ contentTypes, contentTypeMatchers }: CompressorDirection): (header: string | undefined) => boolean {
  const exact = new Set(contentTypes)
  const matches = compileStringMatchers(contentTypeMatchers)
  return header => {
    if (header === undefined || header === '') return true
    const semicolon = header.indexOf(';')
    const type = (semicolon === -1 ? header : header.slice(0, semicolon)).trim()
    return exact.has(type.toLowerCase()) || matches?.(type) === true
  }
}

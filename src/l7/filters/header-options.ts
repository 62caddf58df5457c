// HeaderValueOptions of filter configs, compiled: static and formatted values with their append actions. Used by header_mutation and
// the rate limit filters.

import type { HeaderOption } from '../../model/header-option.js'
import type { RequestHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import { type FormatFunction, formatOrText } from '../format/header-format.js'
import type { StreamInfo } from '../stream/stream-info.js'

export class CompiledHeaderOption {
  private readonly option: HeaderOption
  private readonly lower: string
  private readonly format: FormatFunction

  constructor(option: HeaderOption) {
    this.option = option
    this.lower = option.name.toLowerCase()
    this.format = formatOrText(option.value)
  }

  /** `head`: the request head that `headers` belong to, for `:authority` and its like; null for responses. */
  apply(headers: HeaderList, info: StreamInfo, head: RequestHead | null): void {
    const { option, lower } = this
    const value = this.format(info)
    if (value === '' && !option.keepEmptyValue) return
    if (lower.startsWith(':') || lower === 'host') {
      if (head !== null) setPseudoHeader(head, lower, value, option.action === 'ADD_IF_ABSENT')
      return
    }
    applyHeader(headers, option.name, value, option.action)
  }
}

export function applyHeader(headers: HeaderList, name: string, value: string, action: HeaderOption['action']): void {
  const present = headers.has(name.toLowerCase())
  switch (action) {
    case 'APPEND_IF_EXISTS_OR_ADD':
      headers.add(name, value)
      return
    case 'ADD_IF_ABSENT':
      if (!present) headers.append(name, value)
      return
    case 'OVERWRITE_IF_EXISTS_OR_ADD':
      headers.set(name, value)
      return
    case 'OVERWRITE_IF_EXISTS':
      if (present) headers.set(name, value)
  }
}

function setPseudoHeader(head: RequestHead, name: string, value: string, onlyIfAbsent: boolean): void {
  switch (name) {
    case ':authority':
    case 'host':
      if (!onlyIfAbsent || head.authority === '') head.authority = value
      return
    case ':path':
      if (!onlyIfAbsent || head.path === '') head.path = value
      return
    case ':method':
      if (!onlyIfAbsent) head.method = value
  }
}

export function compileHeaderOptions(options: readonly HeaderOption[]): readonly CompiledHeaderOption[] {
  return options.map(option => new CompiledHeaderOption(option))
}

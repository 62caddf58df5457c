// A HeaderList as filters of the embedding program see it: names in any case, and nothing goes in that would break the message or say
// where it ends. Made by filter-call.ts, once a message that a filter looks at.

import { type HeaderList, lowerHeaderName } from '../../codec/header-list.js'
import { isSafeHeader } from '../safe-header.js'
import type { HttpHeaders } from './custom-filter.js'

export class HeaderView implements HttpHeaders {
  private readonly list: HeaderList

  constructor(list: HeaderList) {
    this.list = list
  }

  get(name: string): string | undefined {
    return this.list.get(lowerHeaderName(name))
  }

  getAll(name: string): string[] {
    return this.list.getAll(lowerHeaderName(name))
  }

  has(name: string): boolean {
    return this.list.has(lowerHeaderName(name))
  }

  set(name: string, value: string): void {
    checkField(name, value)
    this.list.set(name, value)
  }

  append(name: string, value: string): void {
    checkField(name, value)
    this.list.append(name, value)
  }

  remove(name: string): boolean {
    const lower = lowerHeaderName(name)
    if (!isSafeHeader(lower, '')) throw new TypeError(`the field '${name}' frames the message: it cannot be removed`)
    return this.list.remove(lower)
  }

  *entries(): IterableIterator<[name: string, value: string]> {
    const { lower, values } = this.list
    for (let i = 0; i < values.length; i++) yield [lower[i]!, values[i]!]
  }
}

/** Throws where the field may not be set. The host is the request's `authority`. */
export function checkField(name: string, value: string): void {
  if (isSafeHeader(name, value) && name.toLowerCase() !== 'host') return
  throw new TypeError(`the field '${name}' cannot be set to ${JSON.stringify(value)}: it frames the message, or is no header field`)
}

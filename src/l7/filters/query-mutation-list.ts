// query_parameter_mutations of header_mutation, compiled. As in Envoy the names of a query that they touch are in order afterwards; what was
// percent-encoded stays so, where Envoy writes it decoded.

import type { QueryMutation } from '../../model/http-filter.js'
import { toByteString } from '../codec/byte-string.js'
import type { RequestHead } from '../codec/codec.js'
import { type FormatFunction, formatOrText } from '../format/header-format.js'
import { decodeComponent } from '../match/query-parameter.js'
import type { StreamInfo } from '../stream/stream-info.js'

type Step = {
  readonly name: string
  readonly value: FormatFunction | null
  readonly action: (QueryMutation & { kind: 'append' })['action']
}

export class QueryMutationList {
  private readonly steps: readonly Step[]

  constructor(mutations: readonly QueryMutation[]) {
    this.steps = mutations.map(mutation => {
      const name = toByteString(mutation.name)
      if (mutation.kind === 'remove') return { name, value: null, action: 'OVERWRITE_IF_EXISTS' }
      return { name, value: formatOrText(mutation.value), action: mutation.action }
    })
  }

  get empty(): boolean {
    return this.steps.length === 0
  }

  apply(head: RequestHead, info: StreamInfo): void {
    const question = head.path.indexOf('?')
    const parameters = question === -1 ? new Map<string, string[]>() : parse(head.path.slice(question + 1))
    for (const { name, value, action } of this.steps) {
      const present = parameters.get(name)
      if (value === null) parameters.delete(name)
      else if (action === 'OVERWRITE_IF_EXISTS_OR_ADD' || (action === 'OVERWRITE_IF_EXISTS' && present !== undefined))
        parameters.set(name, [pair(name, value(info))])
      else if (action === 'APPEND_IF_EXISTS_OR_ADD' || (action === 'ADD_IF_ABSENT' && present === undefined))
        parameters.set(name, [...(present ?? []), pair(name, value(info))])
    }
    const parts = [...parameters].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([, pairs]) => pairs)
    const path = question === -1 ? head.path : head.path.slice(0, question)
    head.path = parts.length === 0 ? path : `${path}?${parts.join('&')}`
  }
}

/** By decoded names; what is said stays in its bytes. */
function parse(query: string): Map<string, string[]> {
  const parameters = new Map<string, string[]>()
  for (const part of query.split('&')) {
    if (part === '') continue
    const equals = part.indexOf('=')
    const name = decodeComponent(equals === -1 ? part : part.slice(0, equals))
    const said = equals === -1 ? `${part}=` : part
    const pairs = parameters.get(name)
    if (pairs === undefined) parameters.set(name, [said])
    else pairs.push(said)
  }
  return parameters
}

function pair(name: string, value: string): string {
  return `${encode(name)}=${encode(value)}`
}

/** The characters that Envoy leaves alone. */
const PLAIN = /[^A-Za-z0-9*_.-]/g

function encode(bytes: string): string {
  return bytes.replace(PLAIN, char => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`)
}

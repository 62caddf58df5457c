// What a format command is: a function of a request's StreamInfo. The tables of commands are in the files beside; header-format puts
// them into texts and JSON. Strings are byte strings (codec/byte-string.ts); undefined means that there is nothing to print.

import type { JsonValue } from '../../model/metadata.js'
import type { StreamInfo } from '../stream/stream-info.js'

export type OperatorValue = JsonValue | undefined
export type Operator = (info: StreamInfo) => OperatorValue

/** Makes the operator from its argument ('' without parentheses), or says what is wrong with it. */
export type OperatorFactory = (argument: string) => Operator | { readonly reason: string }

export const plain =
  (operator: Operator): OperatorFactory =>
  () =>
    operator

/** '' counts as nothing. */
export function orNothing(text: string): string | undefined {
  return text === '' ? undefined : text
}

/** Comma list without repetitions; '' for none. */
export function distinct<T>(items: readonly T[], read: (item: T) => string): string {
  return [...new Set(items.map(read))].join(',')
}

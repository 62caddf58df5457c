// `%CEL(expression)%`: the value of a CEL expression over Envoy's attributes, as text as Envoy prints it. Called by header-format.ts. What the
// expression asks for and is not there is nothing.

import { compileCelValue } from '../match/cel-test.js'
import { celText } from '../match/cel-text.js'
import type { OperatorFactory } from './operator.js'

export const CEL_OPERATORS: readonly (readonly [string, OperatorFactory])[] = [
  [
    'CEL',
    argument => {
      const value = compileCelValue(argument)
      return typeof value === 'function' ? info => celText(value(info.connection, info)) : { reason: `has ${value.reason}` }
    },
  ],
]

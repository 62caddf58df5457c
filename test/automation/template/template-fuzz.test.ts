// Whatever stands in a template: it is refused or executed, with a `TemplateError` or a text, and it ends.
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { GoMap, TemplateError } from '../../../src/automation/template/go-value.js'
import { Template } from '../../../src/automation/template/template.js'
import { TEMPLATE_TOKENS } from '../../support/template-corpus.js'

const WORDS = [
  'if',
  'else',
  'end',
  'range',
  'with',
  'define',
  'block',
  'template',
  'break',
  'continue',
  'nil',
  'true',
  'printf',
  'index',
  'slice',
  'len',
  'eq',
  'lt',
  'and',
  'not',
  'split',
  'join',
  'loop',
  'toJSON',
  'parseJSON',
  'scratch.Set',
  'add',
  'service',
]
const world = { env: () => undefined, readFile: () => '', wallNow: () => 0 }
const data = new GoMap([
  ['a', new GoMap([['b', [1n, 'x', null]]])],
  ['n', 1.5],
])

const outcome = (text: string): unknown => {
  try {
    return typeof new Template(text, world, { name: 't' }).render({ answer: () => undefined, wants() {} }, data)
  } catch (error) {
    return error instanceof TemplateError ? 'refused' : error
  }
}

it('texts of its own tokens', () => {
  const token = fc.constantFrom(...TEMPLATE_TOKENS, ...WORDS.map(word => ` ${word} `))
  fc.assert(
    fc.property(fc.array(token, { maxLength: 25 }), tokens => {
      expect(outcome(tokens.join(''))).toBeTypeOf('string')
    }),
    { numRuns: 3_000, seed: 17 },
  )
})

it('actions of operands and functions', () => {
  const operand = fc.constantFrom('.', '.a', '.a.b', '.n', '$', '1', '-2', '1.5', '"s"', 'nil', 'true', '(len .a)', '(index .a "b")')
  const action = fc
    .tuple(fc.constantFrom('', ...WORDS.slice(12)), fc.array(operand, { maxLength: 4 }))
    .map(([name, args]) => `{{ ${name} ${args.join(' ')} }}`)
  fc.assert(
    fc.property(action, text => {
      expect(outcome(text)).toBeTypeOf('string')
    }),
    { numRuns: 3_000, seed: 18 },
  )
})

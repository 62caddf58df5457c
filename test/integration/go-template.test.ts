// Templates against Go's own text/template, where Go is installed: of a corpus, and of thousands that are made of the language's own tokens,
// both outcomes are the same, texts and errors.
import { execFileSync, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromJson } from '../../src/automation/template/go-value.js'
import { Template } from '../../src/automation/template/template.js'
import { TEMPLATE_CORPUS, TEMPLATE_TOKENS, type TemplateCase } from '../support/template-corpus.js'

const judge = fileURLToPath(new URL('../support/go-template', import.meta.url))
const missing = spawnSync('go', ['list', '.'], { cwd: judge }).status === 0 ? '' : '(no go that builds it is installed)'
const ERROR = 'an error'

const WORDS = ['if', 'else', 'end', 'range', 'with', 'define', 'block', 'template', 'break', 'continue', 'nil', 'true']
const FUNCTIONS = ['printf', 'index', 'slice', 'len', 'eq', 'ne', 'lt', 'and', 'or', 'not', 'print', 'println', 'html', 'js', 'urlquery']
const OPERANDS = [
  '.',
  '.a',
  '.a.b',
  '.n',
  '.s',
  '.t',
  '.i',
  '.e',
  '.m',
  '.x',
  '$',
  '1',
  '-2',
  '1.5',
  '"s"',
  '"%v|%d|%5.1f|%q|%x"',
  'nil',
  'true',
  '(len .a)',
  '(index .a "b")',
  '(print .a.b)',
  "'a'",
]
const HEADS = ['if', 'with', 'range', 'range $i, $e :=', 'with $v :=']
const DATA = { a: { b: [1, 'x', null], c: 'y' }, n: 1.5, s: 'text', t: true, i: 7, e: [], m: {} }

const operand = fc.constantFrom(...OPERANDS)
const call = fc.tuple(fc.constantFrom(...FUNCTIONS), fc.array(operand, { maxLength: 4 })).map(([name, args]) => `${name} ${args.join(' ')}`)
const action = fc.array(fc.oneof(call, operand), { minLength: 1, maxLength: 3 }).map(commands => `{{ ${commands.join(' | ')} }}`)
const loose = fc
  .array(fc.constantFrom(...TEMPLATE_TOKENS, ...[...WORDS, ...FUNCTIONS].map(word => ` ${word} `)), { maxLength: 12 })
  .map(tokens => tokens.join(''))
const { nested } = fc.letrec<{ nested: string }>(tie => ({
  nested: fc.oneof(
    { maxDepth: 3 },
    fc.constant('text'),
    action,
    fc
      .tuple(fc.constantFrom(...HEADS), operand, tie('nested'), fc.option(tie('nested')))
      .map(([head, of, body, otherwise]) => `{{${head} ${of}}}${body}${otherwise === null ? '' : `{{else}}${otherwise}`}{{end}}`),
    fc.tuple(tie('nested'), tie('nested')).map(parts => parts.join('')),
  ),
}))

function outcomesOfGo(cases: readonly TemplateCase[]): readonly { readonly out: string; readonly error: string }[] {
  const input = JSON.stringify(cases.map(({ text, data, missingKey }) => ({ text, data, missingKey })))
  return JSON.parse(execFileSync('go', ['run', '.'], { cwd: judge, input, encoding: 'utf8', maxBuffer: 1 << 28 }))
}

function outcomeOfOurs({ text, data }: TemplateCase): string {
  const world = { env: () => undefined, readFile: () => '', wallNow: () => 0 }
  try {
    return new Template(text, world, { name: 't' }).render({ answer: () => undefined, wants() {} }, fromJson(data, true))
  } catch {
    return ERROR
  }
}

describe.skipIf(missing !== '')(`Go ${missing}`, () => {
  it('makes of the corpus what it wants', () => {
    const outcomes = outcomesOfGo(TEMPLATE_CORPUS)
    const compared = TEMPLATE_CORPUS.map(({ text, want }, i) => [
      text,
      want ?? ERROR,
      outcomes[i]!.error === '' ? outcomes[i]!.out : ERROR,
      outcomes[i]!.error,
    ])
    expect(compared.filter(([, want, out]) => want !== out)).toEqual([])
  }, 120_000)

  it('makes the same of thousands that nobody has written', () => {
    const texts = [loose, action, nested].flatMap((arbitrary, seed) => fc.sample(arbitrary, { numRuns: 2_000, seed }))
    const cases = texts.map(text => ({ text, data: DATA }))
    const outcomes = outcomesOfGo(cases)
    const compared = cases.map((one, i) => [
      one.text,
      outcomeOfOurs(one),
      outcomes[i]!.error === '' ? outcomes[i]!.out : ERROR,
      outcomes[i]!.error,
    ])
    expect(compared.filter(([, ours, theirs]) => ours !== theirs)).toEqual([])
    // Both kinds are there.
    expect(outcomes.filter(({ error }) => error === '').length).toBeGreaterThan(1_500)
  }, 120_000)
})

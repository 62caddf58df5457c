// A template in consul-template's language: Go's text/template with functions that ask the catalog. Made by the template driver, and for the
// values of a configuration that hold one. See docs/decisions/0020-template-engine.md.
// Invariant: rendering has no effect but its text: it asks `answers`, and says whether all that it asked was known.
import { BUILTIN_FUNCTIONS } from './builtin-functions.js'
import { catalogFunctions, REFUSED_FUNCTIONS, type TemplateAnswers } from './catalog-functions.js'
import { COLLECTION_FUNCTIONS } from './collection-functions.js'
import { TemplateExecutor } from './execute-template.js'
import { formatGoTime, RFC3339 } from './go-time.js'
import { type GoFunction, type GoValue, TemplateError } from './go-value.js'
import { newScratch } from './scratch.js'
import { type Delimiters, GO_DELIMITERS } from './template-lexer.js'
import type { ParsedTemplate } from './template-nodes.js'
import { parseTemplate } from './template-parser.js'
import { TEXT_FUNCTIONS } from './text-functions.js'

/** What a template may see of the world beside the catalog. */
export interface TemplateWorld {
  env(name: string): string | undefined
  /** Text of a file; throws with one line. */
  readFile(path: string): string
  /** Milliseconds since the epoch. */
  wallNow(): number
}

export interface TemplateOptions {
  readonly name: string
  readonly delimiters?: Delimiters
  readonly missingKeyFails?: boolean
}

const NO_ANSWERS: TemplateAnswers = { answer: () => undefined, wants() {} }

export class Template {
  private readonly parsed: ParsedTemplate
  private readonly missingKeyFails: boolean

  /** Throws `TemplateError`. */
  constructor(
    text: string,
    private readonly world: TemplateWorld,
    { name, delimiters = GO_DELIMITERS, missingKeyFails = false }: TemplateOptions,
  ) {
    this.parsed = parseTemplate(text, name, new Set(functionsFor(NO_ANSWERS, world, () => '').keys()), delimiters)
    this.missingKeyFails = missingKeyFails
  }

  /** Throws `TemplateError`. */
  render(answers: TemplateAnswers, data: GoValue = null): string {
    const functions = functionsFor(answers, this.world, (name, given) => executor.runDefined(name, given))
    const executor = new TemplateExecutor({ template: this.parsed, functions, missingKeyFails: this.missingKeyFails })
    return executor.run(data)
  }
}

function functionsFor(
  answers: TemplateAnswers,
  world: TemplateWorld,
  execute: (name: string, data: GoValue) => string,
): ReadonlyMap<string, GoFunction> {
  const scratch = newScratch()
  const own: Record<string, GoFunction> = {
    scratch: { params: [], call: () => scratch },
    executeTemplate: { params: ['string'], rest: 'any', call: ([name, data = null]) => execute(name as string, data) },
    env: { params: ['string'], call: ([name]) => world.env(name as string) ?? '' },
    mustEnv: { params: ['string'], call: ([name]) => world.env(name as string) || fail(`environment variable ${name} is not set`) },
    envOrDefault: { params: ['string', 'string'], call: ([name, otherwise]) => world.env(name as string) || otherwise },
    file: { params: ['string'], call: ([path]) => (path === '' ? '' : read(path as string, world)) },
    timestamp: { params: [], rest: 'string', call: ([layout]) => timestamp(layout as string | undefined, world.wallNow()) },
  }
  return new Map(
    Object.entries({
      ...BUILTIN_FUNCTIONS,
      ...TEXT_FUNCTIONS,
      ...COLLECTION_FUNCTIONS,
      ...REFUSED_FUNCTIONS,
      ...catalogFunctions(answers),
      ...own,
    }),
  )
}

function fail(reason: string): never {
  throw new TemplateError(reason)
}

function read(path: string, world: TemplateWorld): string {
  try {
    return world.readFile(path)
  } catch (error) {
    return fail((error as Error).message)
  }
}

function timestamp(layout: string | undefined, nowMs: number): string {
  return layout === 'unix' ? String(Math.floor(nowMs / 1000)) : formatGoTime(nowMs, layout ?? RFC3339)
}

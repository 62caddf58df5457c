// What a template is once it is parsed. Made by template-parser.ts, walked by execute-template.ts. Types only.
import type { GoValue } from './go-value.js'

export type TemplateNode =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'action'; readonly pipe: Pipeline }
  | ControlNode
  | { readonly kind: 'template'; readonly name: string; readonly pipe: Pipeline | null; readonly line: number }
  | { readonly kind: 'break' | 'continue' }

export interface ControlNode {
  readonly kind: 'if' | 'with' | 'range'
  readonly pipe: Pipeline
  readonly body: readonly TemplateNode[]
  readonly otherwise: readonly TemplateNode[]
}

export interface Pipeline {
  readonly line: number
  /** Names that it declares or sets, with their `$`. */
  readonly variables: readonly string[]
  readonly declares: boolean
  readonly commands: readonly Command[]
}

/** A function or method with its arguments, or one operand. */
export type Command = readonly [Operand, ...Operand[]]

export type Operand =
  | { readonly kind: 'constant'; readonly value: GoValue; readonly source: string }
  | { readonly kind: 'nil' }
  | { readonly kind: 'dot' }
  | { readonly kind: 'function'; readonly name: string }
  | { readonly kind: 'field'; readonly path: readonly string[] }
  | { readonly kind: 'variable'; readonly name: string; readonly path: readonly string[] }
  | { readonly kind: 'chain'; readonly of: Operand; readonly path: readonly string[] }
  | { readonly kind: 'pipe'; readonly pipe: Pipeline }

export interface ParsedTemplate {
  readonly name: string
  readonly root: readonly TemplateNode[]
  /** Those that `define` and `block` have made. */
  readonly templates: ReadonlyMap<string, readonly TemplateNode[]>
}

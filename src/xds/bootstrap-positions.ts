// Where the field of a proto path stands in the text of a bootstrap, YAML or JSON: what messages show beside the path. Used by the command
// line, for problems only: the text is parsed once more, with its ranges. Invariant: a field that is not in the text (it is missing, that is
// the problem) stands where the deepest field of its path does.

import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml'

export interface Position {
  readonly line: number
  readonly column: number
  /** How much of the path is in the text. */
  readonly depth: number
}

/** Longer texts are not parsed again for the sake of a line number. */
const MAX_TEXT = 8 * 1024 * 1024

export class BootstrapPositions {
  private readonly lines = new LineCounter()
  private readonly document

  constructor(text: string) {
    this.document =
      text.length > MAX_TEXT ? null : parseDocument(text, { lineCounter: this.lines, uniqueKeys: false, merge: true, logLevel: 'silent' })
  }

  /** Null: nothing of the path is there. */
  find(path: string): Position | null {
    const { document } = this
    let node: unknown = document?.contents ?? null
    let at: Node | null = null
    let depth = 0
    for (const step of stepsOf(path)) {
      if (isAlias(node)) node = document === null ? null : node.resolve(document)
      const found = below(node, step)
      if (found === null) break
      at = found.at
      node = found.value
      depth++
    }
    if (at?.range == null) return null
    const { line, col } = this.lines.linePos(at.range[0])
    return { line, column: col, depth }
  }
}

/** `a.b[0]["key"]` -> a, b, 0, key. */
function stepsOf(path: string): (string | number)[] {
  return [...path.matchAll(/\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]|([^.[\]]+)/g)].map(([, index, key, name]) =>
    index !== undefined ? Number(index) : (key ?? name ?? ''),
  )
}

function below(node: unknown, step: string | number): { readonly at: Node; readonly value: unknown } | null {
  if (typeof step === 'number') {
    // One value in place of a list is taken.
    if (isMap(node) && step === 0) return { at: node, value: node }
    const item = isSeq(node) ? node.items[step] : undefined
    return item === undefined ? null : { at: item as Node, value: item }
  }
  if (!isMap(node)) return null
  const camel = step.replace(/_([a-z0-9])/g, (_whole, letter: string) => letter.toUpperCase())
  const pair = node.items.find(({ key }) => isScalar(key) && (key.value === step || key.value === camel))
  return pair === undefined ? null : { at: pair.key as Node, value: pair.value }
}

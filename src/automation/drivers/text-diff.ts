// What would change in a text, line by line, in the form of `diff -u`. Called by the drivers' previews.
// Invariant: bounded; where two texts differ in too many lines, the part between their common ends is shown as replaced.

const MAX_CELLS = 4_000_000
const CONTEXT_LINES = 3
const MAX_DIFF_BYTES = 64 * 1024

interface Line {
  readonly mark: ' ' | '-' | '+'
  readonly text: string
}

/** '' where they are the same. */
export function textDiff(before: string, after: string, name: string): string {
  if (before === after) return ''
  const lines = changes(linesOf(before), linesOf(after))
  const hunks: string[] = []
  let [oldLine, newLine] = [1, 1]
  let hunk: { readonly oldStart: number; readonly newStart: number; readonly lines: Line[]; quiet: number } | undefined
  const close = (): void => {
    if (hunk === undefined) return
    const kept = hunk.lines.slice(0, hunk.lines.length - Math.max(0, hunk.quiet - CONTEXT_LINES))
    const count = (mark: '-' | '+'): number => kept.filter(line => line.mark !== (mark === '-' ? '+' : '-')).length
    hunks.push(`@@ -${hunk.oldStart},${count('-')} +${hunk.newStart},${count('+')} @@`, ...kept.map(({ mark, text }) => mark + text))
    hunk = undefined
  }
  lines.forEach((line, i) => {
    if (line.mark !== ' ' && hunk === undefined) {
      const context = lines.slice(Math.max(0, i - CONTEXT_LINES), i)
      hunk = { oldStart: oldLine - context.length, newStart: newLine - context.length, lines: [...context], quiet: 0 }
    }
    if (hunk !== undefined) {
      hunk.lines.push(line)
      hunk.quiet = line.mark === ' ' ? hunk.quiet + 1 : 0
      if (hunk.quiet > 2 * CONTEXT_LINES) close()
    }
    if (line.mark !== '+') oldLine++
    if (line.mark !== '-') newLine++
  })
  close()
  const text = [`--- ${name}`, `+++ ${name}`, ...hunks].join('\n')
  return text.length <= MAX_DIFF_BYTES ? `${text}\n` : `${text.slice(0, MAX_DIFF_BYTES)}\n… (more is not shown)\n`
}

function linesOf(text: string): string[] {
  return text === '' ? [] : text.replace(/\n$/, '').split('\n')
}

/** By the longest common subsequence of what is between the common ends. */
function changes(before: readonly string[], after: readonly string[]): Line[] {
  let head = 0
  while (head < before.length && head < after.length && before[head] === after[head]) head++
  let tail = 0
  while (tail < before.length - head && tail < after.length - head && before.at(-1 - tail) === after.at(-1 - tail)) tail++
  const same = (lines: readonly string[]): Line[] => lines.map(text => ({ mark: ' ', text }))
  const middle = align(before.slice(head, before.length - tail), after.slice(head, after.length - tail))
  return [...same(before.slice(0, head)), ...middle, ...same(before.slice(before.length - tail))]
}

function align(before: readonly string[], after: readonly string[]): Line[] {
  const removed = before.map((text): Line => ({ mark: '-', text }))
  const added = after.map((text): Line => ({ mark: '+', text }))
  const [rows, columns] = [before.length, after.length]
  if (rows * columns === 0 || rows * columns > MAX_CELLS) return [...removed, ...added]
  const width = columns + 1
  const longest = new Uint32Array((rows + 1) * width)
  for (let i = rows - 1; i >= 0; i--)
    for (let j = columns - 1; j >= 0; j--)
      longest[i * width + j] =
        before[i] === after[j]
          ? longest[(i + 1) * width + j + 1]! + 1
          : Math.max(longest[(i + 1) * width + j]!, longest[i * width + j + 1]!)
  const lines: Line[] = []
  let [i, j] = [0, 0]
  while (i < rows && j < columns) {
    if (before[i] === after[j]) {
      lines.push({ mark: ' ', text: before[i]! })
      i++
      j++
    } else if (longest[(i + 1) * width + j]! >= longest[i * width + j + 1]!) lines.push(removed[i++]!)
    else lines.push(added[j++]!)
  }
  return [...lines, ...removed.slice(i), ...added.slice(j)]
}

// Which rows of a long list are in the document: those in view and a few beyond. Used by virtual-table.tsx.
// Invariant: never more than MAX_ROWS, whatever the height of the view.

export const MAX_ROWS = 120
const OVERSCAN_ROWS = 6

export interface RowWindow {
  /** First row, and the one after the last. */
  readonly start: number
  readonly end: number
  /** Heights of what stands for the rows above and below. */
  readonly abovePx: number
  readonly belowPx: number
}

/** `scrolledPx`: how far the list's top is above the view's. */
export function rowWindow(count: number, rowPx: number, scrolledPx: number, viewPx: number): RowWindow {
  const visible = Math.ceil(viewPx / rowPx) + 1
  const shown = Math.min(count, MAX_ROWS, visible + 2 * OVERSCAN_ROWS)
  const first = Math.floor(scrolledPx / rowPx) - OVERSCAN_ROWS
  const start = Math.max(0, Math.min(first, count - shown))
  const end = start + shown
  return { start, end, abovePx: start * rowPx, belowPx: (count - end) * rowPx }
}

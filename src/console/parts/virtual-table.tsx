// A table of any length: the rows in view stand in the document, the others are two empty rows of the right height. Sorted by its heads.
// Scrolling draws anew only when another row comes into view, and rows that stay are kept.
import type { ComponentChildren, JSX } from 'preact'
import { useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'
import { rowWindow } from '../logic/virtual-window.js'

export interface Column<Row> {
  readonly title: string
  cell(row: Row): ComponentChildren
  /** What it is sorted by; without it the head is no button. */
  sort?(row: Row): number | string
  readonly isNumber?: boolean
  /** Left out where the screen is narrow. */
  readonly isMinor?: boolean
  /** Share of the width, 1 where it does not say. */
  readonly width?: number
}

interface Props<Row> {
  readonly label: string
  readonly rows: readonly Row[]
  readonly columns: readonly Column<Row>[]
  rowKey(row: Row): string
  readonly empty: ComponentChildren
  /** Column by which it is sorted first; a larger one first where it is a number. */
  readonly sortedBy?: string
}

const ROW_PX = 46

interface Order {
  readonly title: string
  readonly isDescending: boolean
}

export function VirtualTable<Row>({ label, rows, columns, rowKey, empty, sortedBy }: Props<Row>): JSX.Element {
  const view = useRef<HTMLDivElement>(null)
  const first = columns.find(({ title }) => title === sortedBy)
  const [order, setOrder] = useState<Order | undefined>(first && { title: first.title, isDescending: first.isNumber === true })
  const [scrolled, setScrolled] = useState({ topPx: 0, heightPx: 600 })
  useLayoutEffect(() => {
    const element = view.current
    if (element === null) return
    const measure = (): void => setScrolled({ topPx: element.scrollTop, heightPx: element.clientHeight })
    measure()
    const observer = new ResizeObserver(measure)
    observer.observe(element)
    return () => observer.disconnect()
  }, [rows.length === 0])
  const sorted = useMemo(() => inOrder(rows, columns, order), [rows, order])
  if (rows.length === 0) return <div class="empty">{empty}</div>
  const allWidths = columns.reduce((sum, { width = 1 }) => sum + width, 0)
  const { start, end, abovePx, belowPx } = rowWindow(sorted.length, ROW_PX, scrolled.topPx, scrolled.heightPx)
  const onScroll = (): void => {
    const element = view.current!
    const next = rowWindow(sorted.length, ROW_PX, element.scrollTop, element.clientHeight)
    if (next.start !== start || next.end !== end) setScrolled({ topPx: element.scrollTop, heightPx: element.clientHeight })
  }
  return (
    <section ref={view} class="table-view" tabIndex={0} aria-label={label} onScroll={onScroll}>
      <table aria-rowcount={sorted.length + 1}>
        <colgroup>
          {columns.map(({ title, width = 1, isMinor }) => (
            <col key={title} class={isMinor === true ? 'minor' : ''} style={{ width: `${(width / allWidths) * 100}%` }} />
          ))}
        </colgroup>
        <thead>
          <tr aria-rowindex={1}>
            {columns.map(column => (
              <Head key={column.title} column={column} order={order} setOrder={setOrder} />
            ))}
          </tr>
        </thead>
        <tbody>
          {abovePx > 0 && <tr class="spacer-row" style={{ height: `${abovePx}px` }} />}
          {sorted.slice(start, end).map((row, i) => (
            <tr key={rowKey(row)} aria-rowindex={start + i + 2}>
              {columns.map(({ title, cell, isNumber, isMinor }) => (
                <td key={title} class={`${isNumber === true ? 'number' : ''} ${isMinor === true ? 'minor' : ''}`}>
                  {cell(row)}
                </td>
              ))}
            </tr>
          ))}
          {belowPx > 0 && <tr class="spacer-row" style={{ height: `${belowPx}px` }} />}
        </tbody>
      </table>
    </section>
  )
}

function Head<Row>({
  column,
  order,
  setOrder,
}: {
  readonly column: Column<Row>
  readonly order: Order | undefined
  setOrder(order: Order): void
}): JSX.Element {
  const { title, isNumber = false, isMinor, sort } = column
  const isSorted = order?.title === title
  const direction = !isSorted ? undefined : order.isDescending ? 'descending' : 'ascending'
  const classes = `${isNumber ? 'number' : ''} ${isMinor === true ? 'minor' : ''}`
  if (sort === undefined)
    return (
      <th scope="col" class={classes}>
        {title}
      </th>
    )
  return (
    <th scope="col" class={classes} aria-sort={direction}>
      <button type="button" onClick={() => setOrder({ title, isDescending: isSorted ? !order.isDescending : isNumber })}>
        {title}
        <span class="sort-mark" aria-hidden="true">
          {direction === undefined ? '' : direction === 'ascending' ? '↑' : '↓'}
        </span>
      </button>
    </th>
  )
}

function inOrder<Row>(rows: readonly Row[], columns: readonly Column<Row>[], order: Order | undefined): readonly Row[] {
  const by = columns.find(({ title }) => title === order?.title)?.sort
  if (by === undefined || order === undefined) return rows
  const sign = order.isDescending ? -1 : 1
  return rows
    .map(row => ({ row, value: by(row) }))
    .sort((a, b) => (a.value < b.value ? -sign : a.value > b.value ? sign : 0))
    .map(({ row }) => row)
}

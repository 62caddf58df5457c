import { describe, expect, it } from 'vitest'
import { MAX_ROWS, rowWindow } from '../../../src/console/logic/virtual-window.js'

describe('the rows of a long list that are in the document', () => {
  it('are those in view and a few beyond, and what stands for the others is as high as they are', () => {
    const { start, end, abovePx, belowPx } = rowWindow(5_000, 40, 4_000, 600)
    expect(start).toBeLessThanOrEqual(100)
    expect(end).toBeGreaterThanOrEqual(115)
    expect(end - start).toBeLessThan(40)
    expect(abovePx + (end - start) * 40 + belowPx).toBe(5_000 * 40)
  })

  it('are never more than the limit, however high the view', () => {
    const { start, end } = rowWindow(5_000, 40, 0, 1_000_000)
    expect([start, end]).toEqual([0, MAX_ROWS])
    expect(MAX_ROWS).toBeLessThanOrEqual(200)
  })

  it('are the last ones at the end, also where the list has become shorter than the view is scrolled', () => {
    expect(rowWindow(100, 40, 1e9, 400)).toMatchObject({ end: 100, belowPx: 0 })
    expect(rowWindow(3, 40, 1e9, 400)).toEqual({ start: 0, end: 3, abovePx: 0, belowPx: 0 })
    expect(rowWindow(0, 40, 0, 400)).toEqual({ start: 0, end: 0, abovePx: 0, belowPx: 0 })
  })
})

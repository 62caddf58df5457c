// Figures over time as a picture: one or several lines over time, with the last value in words for those who cannot see it.
import type { JSX } from 'preact'
import { momentText } from '../logic/ranges.js'

export interface Line {
  readonly name: string
  readonly tone: 'accent' | 'danger' | 'muted'
  readonly values: readonly (number | null)[]
}

interface Props {
  readonly title: string
  /** Milliseconds since the epoch, one for each value. */
  readonly times: readonly number[]
  readonly lines: readonly Line[]
  format(value: number): string
}

const WIDTH = 560
const HEIGHT = 132
const LEFT = 4
const BOTTOM = 18
const TOP = 8

export function SeriesChart({ title, times, lines, format }: Props): JSX.Element {
  const values = lines.flatMap(line => line.values.flatMap(value => value ?? []))
  const top = Math.max(...values, 0)
  const [first = 0, last = 1] = [times[0], times.at(-1)]
  const x = (i: number): number => LEFT + ((times[i]! - first) / Math.max(1, last - first)) * (WIDTH - LEFT * 2)
  const y = (value: number): number => TOP + (1 - value / (top === 0 ? 1 : top * 1.08)) * (HEIGHT - TOP - BOTTOM)
  const moment = (ms: number): string => momentText(ms, last - first)
  const latest = lines.map(({ name, values: own }) => `${name} ${lastText(own, format)}`).join(', ')
  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-title">{title}</span>
        <span class="legend">
          {lines.map(({ name, tone, values: own }) => (
            <span key={name} class={`legend-entry ${tone}`}>
              {name} <b>{lastText(own, format)}</b>
            </span>
          ))}
        </span>
      </figcaption>
      {times.length < 2 ? (
        <p class="muted chart-empty">No figures yet.</p>
      ) : (
        <svg
          viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
          role="img"
          aria-label={`${title} over ${moment(first)} to ${moment(last)}: now ${latest}`}
          preserveAspectRatio="none"
        >
          {[0.5, 1].map(part => (
            <line key={part} class="grid" x1={LEFT} x2={WIDTH - LEFT} y1={y(top * part)} y2={y(top * part)} />
          ))}
          <line class="grid base" x1={LEFT} x2={WIDTH - LEFT} y1={y(0)} y2={y(0)} />
          {lines.map(({ name, tone, values: own }) => (
            <g key={name} class={`series ${tone}`}>
              {tone === 'accent' && <path class="area" d={area(own, x, y)} />}
              <path class="line" d={stroke(own, x, y)} />
            </g>
          ))}
        </svg>
      )}
      {times.length >= 2 && (
        <p class="chart-axis" aria-hidden="true">
          <span>{moment(first)}</span>
          <span>peak {format(top)}</span>
          <span>{moment(last)}</span>
        </p>
      )}
    </figure>
  )
}

/** What nobody has told (the real Envoy tells no latencies) is not zero. */
function lastText(values: readonly (number | null)[], format: (value: number) => string): string {
  const last = values.findLast(value => value !== null)
  return last === undefined || last === null ? '–' : format(last)
}

function stroke(values: readonly (number | null)[], x: (i: number) => number, y: (value: number) => number): string {
  let path = ''
  let isDrawing = false
  values.forEach((value, i) => {
    if (value === null) {
      isDrawing = false
      return
    }
    path += `${isDrawing ? 'L' : 'M'}${x(i).toFixed(1)},${y(value).toFixed(1)}`
    isDrawing = true
  })
  return path
}

function area(values: readonly (number | null)[], x: (i: number) => number, y: (value: number) => number): string {
  const line = stroke(
    values.map(value => value ?? 0),
    x,
    y,
  )
  return `${line}L${x(values.length - 1).toFixed(1)},${y(0)}L${x(0).toFixed(1)},${y(0)}Z`
}

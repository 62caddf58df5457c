// Figures of traffic as tables and cards show them.
import type { JSX } from 'preact'
import type { TrafficTotals } from '../api/answers.js'
import { millis, percent, rate } from '../logic/figures.js'

/** From here on a success rate is worth a look, or a problem. */
const SUCCESS_WARNING = 0.995
const SUCCESS_DANGER = 0.95

export function successTone(share: number | null): '' | 'warning-text' | 'danger-text' {
  if (share === null || share >= SUCCESS_WARNING) return ''
  return share >= SUCCESS_DANGER ? 'warning-text' : 'danger-text'
}

export function Rate({ totals }: { readonly totals: TrafficTotals | undefined }): JSX.Element {
  return totals === undefined || totals.Requests === 0 ? <span class="muted">–</span> : <span>{rate(totals.RequestsPerSecond)}/s</span>
}

export function Success({ totals }: { readonly totals: TrafficTotals | undefined }): JSX.Element {
  if (totals === undefined || totals.SuccessRate === null) return <span class="muted">–</span>
  return <span class={successTone(totals.SuccessRate)}>{percent(totals.SuccessRate)}</span>
}

export function Latency({ value }: { readonly value: number | null | undefined }): JSX.Element {
  return value === null || value === undefined ? <span class="muted">–</span> : <span>{millis(value)}</span>
}

export function StatCards({ totals }: { readonly totals: TrafficTotals | undefined }): JSX.Element {
  const cards: readonly (readonly [string, JSX.Element])[] = [
    ['Requests', <Rate key="r" totals={totals} />],
    ['Success', <Success key="s" totals={totals} />],
    ['p50', <Latency key="5" value={totals?.P50} />],
    ['p90', <Latency key="9" value={totals?.P90} />],
    ['p99', <Latency key="99" value={totals?.P99} />],
  ]
  return (
    <dl class="stats">
      {cards.map(([title, value]) => (
        <div key={title} class="stat">
          <dt>{title}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  )
}

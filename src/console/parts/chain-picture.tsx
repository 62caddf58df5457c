// A service's discovery chain as a picture: who a request can end at, and what takes it there.
import type { JSX } from 'preact'
import { useMemo } from 'preact/hooks'
import type { DiscoveryChain } from '../api/answers.js'
import { BOX_HEIGHT, BOX_WIDTH, layoutChain } from '../logic/chain-layout.js'

const NAMES = { router: 'Router', splitter: 'Splitter', resolver: 'Resolver', target: 'Target' } as const
const MAX_TITLE_CHARS = 21
const MAX_LABEL_CHARS = 20

export function ChainPicture({ chain }: { readonly chain: DiscoveryChain }): JSX.Element {
  const { boxes, lines, width, height } = useMemo(() => layoutChain(chain), [chain])
  const at = new Map(boxes.map(box => [box.id, box]))
  const words = lines.map(({ from, to, label }) => `${at.get(from)!.title} to ${at.get(to)!.title}${label === '' ? '' : ` (${label})`}`)
  return (
    <div class="picture-view" tabIndex={0} role="group" aria-label="Discovery chain, scrolls sideways">
      <svg
        class="chain"
        width={width}
        height={height}
        viewBox={`0 0 ${width} ${height}`}
        role="img"
        aria-label={`Discovery chain: ${words.join('; ')}`}
      >
        {lines.map(({ from, to, label, isFailover }) => {
          const a = at.get(from)!
          const b = at.get(to)!
          const [x1, y1, x2, y2] = [a.x + BOX_WIDTH, a.y + BOX_HEIGHT / 2, b.x, b.y + BOX_HEIGHT / 2]
          const bend = (x2 - x1) / 2
          return (
            <g key={`${from} ${to} ${isFailover}`} class={isFailover ? 'chain-line failover' : 'chain-line'}>
              <path d={`M${x1},${y1} C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2},${y2}`} />
              {label !== '' && (
                <text x={x1 + (x2 - x1) * 0.52} y={y1 + (y2 - y1) * 0.52 - 6} text-anchor="middle">
                  <title>{label}</title>
                  {shortened(label, MAX_LABEL_CHARS)}
                </text>
              )}
            </g>
          )
        })}
        {boxes.map(({ id, kind, title, x, y }) => (
          <g key={id} class={`chain-box ${kind}`} transform={`translate(${x},${y})`}>
            <title>{title}</title>
            <rect width={BOX_WIDTH} height={BOX_HEIGHT} rx="8" />
            <text class="kind" x="12" y="18">
              {NAMES[kind]}
            </text>
            <text class="name" x="12" y="35">
              {shortened(title, MAX_TITLE_CHARS)}
            </text>
          </g>
        ))}
      </svg>
    </div>
  )
}

const shortened = (text: string, chars: number): string => (text.length <= chars ? text : `${text.slice(0, chars - 1)}…`)

// Who calls whom, live: services as boxes, calls as lines with their rate, failures and mTLS; a chosen line says why it is allowed or not.
// Lines that sidecars declare and nobody uses are dashed. A large mesh shows its busiest services, and those that a filter names.
import type { JSX } from 'preact'
import { useMemo, useState } from 'preact/hooks'
import type { Topology, TopologyEdge, TopologyService, TrafficTotals } from '../api/answers.js'
import { useLive, useTraffic } from '../api/live.js'
import { percent, plural, rate } from '../logic/figures.js'
import { isDenied } from '../logic/states.js'
import {
  type Curve,
  LABEL_HEIGHT,
  layoutTopology,
  lowestOf,
  NODE_HEIGHT,
  NODE_WIDTH,
  pathOf,
  placeLabels,
  routeEdge,
} from '../logic/topology-layout.js'
import { byPair, intoServices, pairKey } from '../logic/traffic-figures.js'
import { go, intentionLink, to, whyLink } from '../navigation.js'
import { Empty, Loading, PageHead, Problem, Search } from '../parts/notice.js'
import { Latency, Rate, Success } from '../parts/traffic-cells.js'
import { type Column, VirtualTable } from '../parts/virtual-table.js'

/** Boxes drawn at once. */
const MAX_SERVICES = 60
const FAILING_SHARE = 0.01
const MAX_NAME_CHARS = 20

interface Edge {
  readonly source: string
  readonly destination: string
  readonly totals: TrafficTotals | undefined
  readonly declared: TopologyEdge | undefined
  /** Both ends have sidecars: what goes between them is encrypted and both are known. */
  readonly isMtls: boolean
}

type EdgeState = 'denied' | 'failing' | 'active' | 'idle'

function stateOf({ totals, declared }: Edge): EdgeState {
  if (isDenied(declared)) return 'denied'
  if (totals === undefined || totals.Requests === 0) return 'idle'
  return totals.Failures / totals.Requests >= FAILING_SHARE ? 'failing' : 'active'
}

const STATES: Readonly<Record<EdgeState, string>> = {
  denied: 'denied by intentions',
  failing: 'some requests fail',
  active: 'requests succeed',
  idle: 'declared, no requests',
}

export function TopologyPage(): JSX.Element {
  const { data, errors } = useLive<{ topology: Topology }>({ topology: '/v1/outrigger/topology' }, { watch: 'topology' })
  const traffic = useTraffic()
  const [text, setText] = useState('')
  const [view, setView] = useState<'picture' | 'table'>('picture')
  const [chosen, setChosen] = useState<string>()
  const edges = useMemo(() => allEdges(data.topology, byPair(traffic?.Edges ?? [])), [data.topology, traffic])
  const services = data.topology?.Services ?? []
  const shown = useMemo(() => shownServices(services, edges, text), [services, edges, text])
  const names = new Set(shown)
  const drawn = edges.filter(({ source, destination }) => names.has(source) && names.has(destination))
  const edge = drawn.find(({ source, destination }) => pairKey(source, destination) === chosen)
  return (
    <>
      <PageHead
        title="Topology"
        lead={
          data.topology &&
          `${plural(edges.filter(one => stateOf(one) === 'active' || stateOf(one) === 'failing').length, 'active edge')} of ${edges.length}${shown.length < services.length ? `, ${shown.length} of ${services.length} services shown` : ''}`
        }
      >
        <fieldset class="segments">
          <legend class="hidden">Show as</legend>
          {(['picture', 'table'] as const).map(name => (
            <label key={name} class={view === name ? 'chosen' : ''}>
              <input type="radio" name="view" checked={view === name} onChange={() => setView(name)} />
              {name}
            </label>
          ))}
        </fieldset>
        <Search value={text} change={setText} label="Service" />
      </PageHead>
      <Problem error={errors.topology} />
      {data.topology === undefined && errors.topology === undefined && <Loading />}
      {data.topology !== undefined && view === 'table' && (
        <VirtualTable
          label="Edges"
          rows={text === '' ? edges : drawn}
          columns={COLUMNS}
          sortedBy="Requests"
          rowKey={({ source, destination }) => pairKey(source, destination)}
          empty={<Empty title="Nobody calls anybody">No sidecar declares an upstream, and none has reported traffic.</Empty>}
        />
      )}
      {data.topology !== undefined && view === 'picture' && (
        <>
          <Picture services={services} shown={shown} edges={drawn} chosen={chosen} choose={setChosen} />
          <Legend />
          {edge !== undefined && <EdgePanel edge={edge} close={() => setChosen(undefined)} />}
        </>
      )}
    </>
  )
}

function allEdges(topology: Topology | undefined, totals: ReadonlyMap<string, TrafficTotals>): Edge[] {
  const proxied = new Set((topology?.Services ?? []).filter(({ Proxies }) => Proxies > 0).map(({ Name }) => Name))
  const declared = new Map((topology?.Edges ?? []).map(edge => [pairKey(edge.Source, edge.Destination), edge]))
  return [...new Set([...declared.keys(), ...totals.keys()])].sort().map(key => {
    const [source, destination] = JSON.parse(key) as [string, string]
    return {
      source,
      destination,
      totals: totals.get(key),
      declared: declared.get(key),
      isMtls: proxied.has(source) && proxied.has(destination),
    }
  })
}

/** The busiest, then those with edges, then by name; with a filter those that fit it and their neighbours. */
function shownServices(services: readonly TopologyService[], edges: readonly Edge[], text: string): string[] {
  const wanted = text.trim().toLowerCase()
  const weight = new Map<string, number>()
  for (const { source, destination, totals } of edges)
    for (const name of [source, destination]) weight.set(name, (weight.get(name) ?? 0) + 1 + (totals?.Requests ?? 0))
  const names = [...new Set([...services.map(({ Name }) => Name), ...weight.keys()])].filter(name => name !== 'consul')
  const fits = (name: string): boolean => name.toLowerCase().includes(wanted)
  const near = new Set(edges.flatMap(({ source, destination }) => (fits(source) || fits(destination) ? [source, destination] : [])))
  return names
    .filter(name => wanted === '' || fits(name) || near.has(name))
    .sort((a, b) => (weight.get(b) ?? 0) - (weight.get(a) ?? 0) || (a < b ? -1 : 1))
    .slice(0, MAX_SERVICES)
}

interface PictureProps {
  readonly services: readonly TopologyService[]
  readonly shown: readonly string[]
  readonly edges: readonly Edge[]
  readonly chosen: string | undefined
  choose(key: string): void
}

function Picture({ services, shown, edges, chosen, choose }: PictureProps): JSX.Element {
  // Traffic that changes moves no box.
  const shape = JSON.stringify([[...shown].sort(), edges.map(({ source, destination }) => [source, destination])])
  const { nodes, width, height, curves } = useMemo(() => pictureOf([...shown].sort(), edges), [shape])
  const visible = edges.filter(({ source, destination }) => curves.has(pairKey(source, destination)))
  const curveOf = ({ source, destination }: Edge): Curve => curves.get(pairKey(source, destination))!
  const places = placeLabels(
    visible.map(edge => ({ curve: curveOf(edge), width: labelWidth(edge) })),
    nodes,
  )
  const byName = new Map(services.map(service => [service.Name, service]))
  const into = intoServices(
    edges.flatMap(({ source, destination, totals }) =>
      totals === undefined ? [] : [{ Source: source, Destination: destination, Subset: '', Totals: totals }],
    ),
    [],
  )
  if (shown.length === 0) return <Empty title="No service fits" />
  return (
    <div class="picture-view topology-view" tabIndex={0} role="group" aria-label="Topology, scrolls">
      <svg class="topology" width={width} height={height} viewBox={`0 0 ${width} ${height}`}>
        <title>Services and the calls between them</title>
        <defs>
          {(Object.keys(STATES) as EdgeState[]).map(state => (
            <marker
              key={state}
              id={`arrow-${state}`}
              class={`arrow ${state}`}
              viewBox="0 0 8 8"
              refX="7"
              refY="4"
              markerWidth="7"
              markerHeight="7"
              orient="auto"
              markerUnits="userSpaceOnUse"
            >
              <path d="M0,0L8,4L0,8z" />
            </marker>
          ))}
        </defs>
        {visible.map(edge => (
          <EdgeLine
            key={pairKey(edge.source, edge.destination)}
            edge={edge}
            path={pathOf(curveOf(edge))}
            isChosen={pairKey(edge.source, edge.destination) === chosen}
            choose={choose}
          />
        ))}
        {visible.map((edge, i) => (
          <EdgeLabel key={pairKey(edge.source, edge.destination)} edge={edge} at={places[i]!} />
        ))}
        {[...nodes.values()].map(({ name, x, y }) => {
          const service = byName.get(name)
          const isDown = service !== undefined && service.Instances > 0 && service.Passing === 0
          const totals = into.get(name)
          return (
            <g key={name} transform={`translate(${x},${y})`}>
              <a class={`node ${isDown ? 'danger' : ''}`} href={to('services', name)} aria-label={`${name}, ${describe(service)}`}>
                <rect width={NODE_WIDTH} height={NODE_HEIGHT} rx="10" />
                <circle
                  class={`dot ${service === undefined ? 'neutral' : isDown ? 'danger' : service.Critical > 0 ? 'warning' : 'good'}`}
                  cx="18"
                  cy="24"
                  r="5"
                />
                <text class="name" x="32" y="28">
                  {name.length > MAX_NAME_CHARS ? `${name.slice(0, MAX_NAME_CHARS - 1)}…` : name}
                </text>
                <text class="detail" x="18" y="49">
                  {describe(service)}
                  {totals === undefined || totals.Requests === 0 ? '' : ` · ${rate(totals.RequestsPerSecond)}/s`}
                </text>
              </a>
            </g>
          )
        })}
      </svg>
    </div>
  )
}

/** What changes with who is there and who calls whom alone. */
function pictureOf(names: readonly string[], edges: readonly Edge[]) {
  const { nodes, width, height } = layoutTopology(names, edges)
  const curves = new Map<string, Curve>()
  for (const { source, destination } of edges) {
    const [from, to] = [nodes.get(source), nodes.get(destination)]
    if (from !== undefined && to !== undefined) curves.set(pairKey(source, destination), routeEdge(from, to, nodes))
  }
  return { nodes, width, height: Math.max(height, ...[...curves.values()].map(curve => lowestOf(curve) + LABEL_HEIGHT)), curves }
}

function describe(service: TopologyService | undefined): string {
  if (service === undefined) return 'not registered'
  if (service.Instances === 0) return 'no instance'
  return `${service.Passing}/${service.Instances} healthy${service.Proxies === 0 ? ', no sidecar' : ''}`
}

/** What stands on an edge: its rate, and what fails of it. */
function labelOf({ totals, declared }: Edge): string {
  const perSecond = totals?.RequestsPerSecond ?? 0
  if (perSecond === 0) return isDenied(declared) ? 'denied' : ''
  const failed = totals!.Requests === 0 ? 0 : totals!.Failures / totals!.Requests
  return `${rate(perSecond)}/s${failed > 0 ? ` · ${percent(failed)} fail` : ''}`
}

const LOCK_PX = 18
const CHAR_PX = 7
const hasLock = (edge: Edge): boolean => edge.isMtls && stateOf(edge) !== 'denied'
const labelWidth = (edge: Edge): number => labelOf(edge).length * CHAR_PX + (hasLock(edge) ? LOCK_PX : 0) + 12

interface EdgeLineProps {
  readonly edge: Edge
  readonly path: string
  readonly isChosen: boolean
  choose(key: string): void
}

function EdgeLine({ edge, path, isChosen, choose }: EdgeLineProps): JSX.Element {
  const key = pairKey(edge.source, edge.destination)
  const state = stateOf(edge)
  const perSecond = edge.totals?.RequestsPerSecond ?? 0
  const strokeWidth = state === 'idle' ? 1.5 : Math.min(7, 1.8 + Math.log10(1 + perSecond) * 1.5)
  const label = labelOf(edge)
  const isMoving = state === 'active' || state === 'failing'
  return (
    <g
      class={`edge ${state} ${isChosen ? 'chosen' : ''}`}
      role="button"
      tabIndex={0}
      aria-pressed={isChosen}
      aria-label={`${edge.source} calls ${edge.destination}: ${STATES[state]}${label === '' ? '' : `, ${label}`}${edge.isMtls ? ', mTLS' : ''}`}
      onClick={() => choose(key)}
      onKeyDown={event => {
        if (event.key !== 'Enter' && event.key !== ' ') return
        event.preventDefault()
        choose(key)
      }}
    >
      <path class="hit" d={path} />
      <path class="line" d={path} stroke-width={strokeWidth} marker-end={`url(#arrow-${state})`} />
      {isMoving && <path class="flow" d={path} stroke-width={Math.max(2, strokeWidth - 1)} />}
    </g>
  )
}

/** Above all lines, so that none crosses it out; what it says is in the name of its edge. */
function EdgeLabel({ edge, at: [x, y] }: { readonly edge: Edge; readonly at: readonly [number, number] }): JSX.Element | null {
  const label = labelOf(edge)
  if (label === '' && !hasLock(edge)) return null
  const width = labelWidth(edge)
  return (
    <g class={`edge-label ${stateOf(edge)}`} transform={`translate(${x},${y})`} aria-hidden="true">
      <rect x={-width / 2} y={-LABEL_HEIGHT / 2} width={width} height={LABEL_HEIGHT} rx={LABEL_HEIGHT / 2} />
      {hasLock(edge) && <path class="lock" transform={`translate(${-width / 2 + 6},-8) scale(.8)`} d="M5 9h10v8H5zM7 9V6a3 3 0 016 0v3" />}
      {label !== '' && (
        <text x={hasLock(edge) ? LOCK_PX / 2 : 0} y="4" text-anchor="middle">
          {label}
        </text>
      )}
    </g>
  )
}

function Legend(): JSX.Element {
  return (
    <ul class="legend-row" aria-label="Legend">
      {(Object.keys(STATES) as EdgeState[]).map(state => (
        <li key={state} class={`edge ${state}`}>
          <svg width="34" height="8" aria-hidden="true">
            <path class="line" d="M1,4H33" stroke-width="2.500" />
          </svg>
          {STATES[state]}
        </li>
      ))}
      <li>
        <svg class="icon" viewBox="0 0 20 20" aria-hidden="true">
          <path d="M5 9h10v8H5zM7 9V6a3 3 0 016 0v3" />
        </svg>
        mTLS between sidecars
      </li>
    </ul>
  )
}

function EdgePanel({ edge, close }: { readonly edge: Edge; close(): void }): JSX.Element {
  const { source, destination, totals, declared, isMtls } = edge
  return (
    <section class="panel edge-panel" aria-live="polite">
      <h2>
        {source} → {destination}
      </h2>
      <dl class="facts">
        <dt>Requests</dt>
        <dd>
          <Rate totals={totals} />
        </dd>
        <dt>Success</dt>
        <dd>
          <Success totals={totals} />
        </dd>
        <dt>p50 / p99</dt>
        <dd>
          <Latency value={totals?.P50} /> / <Latency value={totals?.P99} />
        </dd>
        <dt>Encryption</dt>
        <dd>{isMtls ? 'mTLS between two sidecars' : 'one end has no sidecar'}</dd>
        <dt>Intentions</dt>
        <dd class={isDenied(declared) ? 'danger-text' : ''}>
          {declared === undefined ? 'no sidecar declares this edge' : declared.Reason}
        </dd>
      </dl>
      <p class="panel-actions">
        <a class="button primary" href={whyLink(source, destination)}>
          Why?
        </a>
        <button type="button" class="button" onClick={() => go(intentionLink(destination, source))}>
          Change the intention
        </button>
        <button type="button" class="button" onClick={close}>
          Close
        </button>
      </p>
    </section>
  )
}

const COLUMNS: readonly Column<Edge>[] = [
  { title: 'From', sort: ({ source }) => source, cell: ({ source }) => <a href={to('services', source)}>{source}</a> },
  {
    title: 'To',
    sort: ({ destination }) => destination,
    cell: ({ destination }) => <a href={to('services', destination)}>{destination}</a>,
  },
  {
    title: 'State',
    sort: stateOf,
    cell: edge => (
      <span class={stateOf(edge) === 'denied' || stateOf(edge) === 'failing' ? 'danger-text' : ''}>{STATES[stateOf(edge)]}</span>
    ),
  },
  {
    title: 'Requests',
    isNumber: true,
    width: 0.8,
    sort: ({ totals }) => totals?.RequestsPerSecond ?? -1,
    cell: ({ totals }) => <Rate totals={totals} />,
  },
  {
    title: 'Success',
    isNumber: true,
    width: 0.8,
    sort: ({ totals }) => totals?.SuccessRate ?? 2,
    cell: ({ totals }) => <Success totals={totals} />,
  },
  {
    title: 'p99',
    isNumber: true,
    width: 0.8,
    isMinor: true,
    sort: ({ totals }) => totals?.P99 ?? -1,
    cell: ({ totals }) => <Latency value={totals?.P99} />,
  },
  { title: 'mTLS', width: 0.6, isMinor: true, cell: ({ isMtls }) => (isMtls ? 'yes' : 'no') },
  { title: 'Reason', width: 0.7, cell: ({ source, destination }) => <a href={whyLink(source, destination)}>why?</a> },
]

// Who may call whom. A matrix of callers and called that is walked with the arrow keys; the chosen pair says why, and is changed below it
// after a look at what the change would do to the traffic that was observed.
import type { JSX } from 'preact'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { Explanation, IntentionShape, Topology } from '../api/answers.js'
import { type ApiError, ask } from '../api/client.js'
import { useLive } from '../api/live.js'
import { plural } from '../logic/figures.js'
import { type Decision, IntentionMatrix, isInShadow, movedCell } from '../logic/intention-matrix.js'
import { go, intentionLink, to, whyLink } from '../navigation.js'
import { Badge } from '../parts/badge.js'
import { Icon } from '../parts/icon.js'
import { IntentionEditor } from '../parts/intention-editor.js'
import { Empty, Loading, PageHead, Problem, Search } from '../parts/notice.js'
import type { PageProps } from './page-props.js'

/** Of the matrix, in one picture; a filter shows others. */
const MAX_ROWS = 40
const MAX_COLUMNS = 24

interface Reads {
  readonly intentions: readonly IntentionShape[]
  readonly topology: Topology
}

const WORDS: Readonly<Record<Decision['verdict'], string>> = { allow: 'allowed', deny: 'denied', 'by-request': 'by request' }

export function Intentions({ query, server }: PageProps): JSX.Element {
  const { data, errors, refresh } = useLive<Reads>(
    { intentions: '/v1/connect/intentions', topology: '/v1/outrigger/topology' },
    { watch: 'intentions' },
  )
  const [caller, setCaller] = useState('')
  const [callee, setCallee] = useState('')
  const source = query.get('source') ?? ''
  const destination = query.get('destination') ?? ''
  const isNew = query.has('new')
  const isPair = source !== '' && destination !== '' && !isNew
  const choose = (from: string, called: string): void => go(intentionLink(called, from), true)
  const matrix = useMemo(
    () => new IntentionMatrix(data.intentions ?? [], server?.DefaultIntentionPolicy ?? 'deny'),
    [data.intentions, server],
  )
  const names = useMemo(() => meshNames(data.topology, data.intentions ?? []), [data])
  const fits = (name: string, text: string): boolean => name.toLowerCase().includes(text.toLowerCase())
  const callers = names.filter(name => fits(name, caller))
  const called = names.filter(name => fits(name, callee))
  return (
    <>
      <PageHead
        title="Intentions"
        lead={
          data.intentions && (
            <>
              {plural(data.intentions.length, 'intention')}; what none speaks of is{' '}
              <b>{server?.DefaultIntentionPolicy === 'allow' ? 'allowed' : 'denied'}</b>
            </>
          )
        }
      >
        <Search value={caller} change={setCaller} label="Caller" />
        <Search value={callee} change={setCallee} label="Called service" />
        <a class="button primary" href={`${to('intentions')}?new`}>
          <Icon name="plus" /> New intention
        </a>
      </PageHead>
      <Problem error={errors.intentions ?? errors.topology} />
      {isNew && (
        <IntentionEditor
          key="new"
          names={names}
          source=""
          destination=""
          done={(from, called) => {
            refresh()
            choose(from, called)
          }}
        />
      )}
      {data.intentions === undefined || data.topology === undefined ? (
        errors.intentions === undefined && errors.topology === undefined && <Loading />
      ) : names.length === 0 ? (
        <Empty title="No service is in the mesh">A service is in the mesh once a sidecar is registered for it.</Empty>
      ) : (
        <div class={isPair ? 'beside' : ''}>
          <Matrix
            matrix={matrix}
            rows={callers.slice(0, MAX_ROWS)}
            columns={called.slice(0, MAX_COLUMNS)}
            source={source}
            destination={destination}
            choose={choose}
          />
          {isPair && (
            <Pair
              key={`${source} ${destination}`}
              names={names}
              source={source}
              destination={destination}
              decision={matrix.decide(source, destination)}
              refresh={refresh}
            />
          )}
        </div>
      )}
      {(callers.length > MAX_ROWS || called.length > MAX_COLUMNS) && (
        <p class="muted">
          The first {MAX_ROWS} callers and {MAX_COLUMNS} called services of {names.length} are shown; the search shows others.
        </p>
      )}
      {data.intentions !== undefined && data.intentions.length > 0 && <IntentionList intentions={data.intentions} choose={choose} />}
    </>
  )
}

function meshNames(topology: Topology | undefined, intentions: readonly IntentionShape[]): string[] {
  const inMesh = (topology?.Services ?? []).filter(({ Proxies, Kind }) => Proxies > 0 || Kind !== '').map(({ Name }) => Name)
  const spoken = intentions.flatMap(({ SourceName, SourcePeer, DestinationName }) =>
    SourcePeer === undefined ? [SourceName, DestinationName] : [DestinationName],
  )
  return [...new Set([...inMesh, ...spoken])].filter(name => name !== '*').sort()
}

interface MatrixProps {
  readonly matrix: IntentionMatrix
  readonly rows: readonly string[]
  readonly columns: readonly string[]
  readonly source: string
  readonly destination: string
  choose(source: string, destination: string): void
}

function Matrix({ matrix, rows, columns, source, destination, choose }: MatrixProps): JSX.Element {
  const table = useRef<HTMLTableElement>(null)
  const [active, setActive] = useState<readonly [number, number]>([
    Math.max(0, rows.indexOf(source)),
    Math.max(0, columns.indexOf(destination)),
  ])
  const onKeyDown = (event: KeyboardEvent): void => {
    const next = movedCell(event.key, active[0], active[1], rows.length, columns.length)
    if (next === undefined) return
    event.preventDefault()
    setActive(next)
    table.current?.querySelector<HTMLButtonElement>(`[data-cell="${next[0]} ${next[1]}"]`)?.focus()
  }
  return (
    <div class="picture-view matrix-view">
      <table class="matrix" ref={table} aria-label="Intentions: callers in rows, called services in columns" onKeyDown={onKeyDown}>
        <thead>
          <tr>
            <td class="corner">
              <span>caller ↓</span> <span>called →</span>
            </td>
            {columns.map(name => (
              <th key={name} scope="col" title={name}>
                <span>{name}</span>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((from, r) => (
            <tr key={from}>
              <th scope="row" title={from}>
                {from}
              </th>
              {columns.map((called, c) => {
                const decision = matrix.decide(from, called)
                const isChosen = from === source && called === destination
                const why =
                  decision.intention === undefined
                    ? 'by default'
                    : decision.exact
                      ? 'by its own intention'
                      : `by ${decision.intention.SourceName} → ${decision.intention.DestinationName}`
                const aside = decision.shadow === undefined ? '' : ', its own intention is in shadow'
                return (
                  <td key={called}>
                    <button
                      type="button"
                      aria-pressed={isChosen}
                      data-cell={`${r} ${c}`}
                      class={`cell ${decision.verdict} ${decision.exact ? 'exact' : ''} ${isChosen ? 'chosen' : ''}`}
                      tabIndex={r === active[0] && c === active[1] ? 0 : -1}
                      aria-label={`${from} to ${called}: ${WORDS[decision.verdict]} ${why}${aside}`}
                      title={`${from} → ${called}: ${WORDS[decision.verdict]} ${why}${aside}`}
                      onFocus={() => setActive([r, c])}
                      onClick={() => choose(from, called)}
                    >
                      <Icon name={decision.verdict === 'allow' ? 'check' : decision.verdict === 'deny' ? 'cross' : 'request'} />
                    </button>
                  </td>
                )
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

interface PairProps {
  readonly names: readonly string[]
  readonly source: string
  readonly destination: string
  readonly decision: Decision
  refresh(): void
}

function Pair({ names, source, destination, decision, refresh }: PairProps): JSX.Element {
  const [explained, setExplained] = useState<Explanation>()
  const [problem, setProblem] = useState<ApiError>()
  useEffect(() => {
    const query = `from=${encodeURIComponent(source)}&to=${encodeURIComponent(destination)}`
    ask<Explanation>(`/v1/outrigger/explain?${query}`).then(({ value }) => setExplained(value), setProblem)
  }, [source, destination, JSON.stringify(decision)])
  return (
    <section class="panel" aria-label={`${source} to ${destination}`}>
      <h2>
        {source} → {destination}{' '}
        <Badge tone={decision.verdict === 'allow' ? 'good' : decision.verdict === 'deny' ? 'danger' : 'warning'}>
          {WORDS[decision.verdict]}
        </Badge>{' '}
        {decision.shadow !== undefined && <Badge tone="neutral">its own intention is in shadow</Badge>}
      </h2>
      <p role="status">{explained?.reason ?? (problem === undefined ? '…' : problem.message)}</p>
      <p>
        <a href={whyLink(source, destination)}>Everything that decides a request from {source}</a>
      </p>
      <IntentionEditor
        names={names}
        source={source}
        destination={destination}
        current={decision.shadow ?? (decision.exact ? decision.intention : undefined)}
        done={refresh}
      />
    </section>
  )
}

function IntentionList({
  intentions,
  choose,
}: {
  readonly intentions: readonly IntentionShape[]
  choose(source: string, destination: string): void
}): JSX.Element {
  return (
    <section>
      <h2>In order of precedence</h2>
      <ol class="intention-list">
        {intentions.slice(0, 100).map(intention => {
          const { SourceName, SourcePeer, DestinationName, Action, Permissions, Precedence, Description } = intention
          return (
            <li key={`${SourcePeer ?? ''} ${SourceName} ${DestinationName}`}>
              {SourcePeer === undefined ? (
                <button type="button" class="link" onClick={() => choose(SourceName, DestinationName)}>
                  {SourceName} → {DestinationName}
                </button>
              ) : (
                <a href={to('config', 'service-intentions', DestinationName)}>
                  {SourceName} of peer {SourcePeer} → {DestinationName}
                </a>
              )}
              {(Permissions?.length ?? 0) > 0 ? (
                <Badge tone="warning">{plural(Permissions!.length, 'permission')}</Badge>
              ) : (
                <Badge tone={Action === 'allow' ? 'good' : 'danger'}>{Action === 'allow' ? 'allow' : 'deny'}</Badge>
              )}
              {isInShadow(intention) && <Badge tone="neutral">in shadow</Badge>}
              <span class="muted">
                precedence {Precedence}
                {Description === undefined || Description === '' ? '' : ` · ${Description}`}
              </span>
            </li>
          )
        })}
      </ol>
    </section>
  )
}

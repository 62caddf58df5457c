// Writes the intention of one pair of services, and shows before what it would change: every pair that sidecars declare or that had traffic
// in the last minutes is decided once as it is and once as it would be, by the server that compiles what the sidecars enforce.
import type { JSX } from 'preact'
import { useEffect, useId, useState } from 'preact/hooks'
import type { ConfigEntry, IntentionShape, PreviewEdge, SourceIntention } from '../api/answers.js'
import { type ApiError, ask, segment, send } from '../api/client.js'
import { useTraffic } from '../api/live.js'
import { plural, rate } from '../logic/figures.js'
import { byPair, pairKey } from '../logic/traffic-figures.js'
import { Problem } from './notice.js'

type Choice = 'allow' | 'deny' | 'none'

interface Props {
  readonly names: readonly string[]
  readonly source: string
  readonly destination: string
  /** The pair's own intention. */
  readonly current?: IntentionShape | undefined
  done(source: string, destination: string): void
}

const PREVIEW_DELAY_MS = 250

/** The destination's entry as it would be; permissions of other sources stay as they are. */
async function changedEntry(
  source: string,
  destination: string,
  choice: Choice,
): Promise<ConfigEntry & { readonly Sources: readonly SourceIntention[] }> {
  const before = await ask<ConfigEntry>(`/v1/config/service-intentions/${segment(destination)}`).then(
    ({ value }) => value,
    (error: ApiError) => {
      if (error.status === 404) return undefined
      throw error
    },
  )
  const others = (before?.Sources ?? []).filter(({ Name, Peer }) => Name !== source || Peer !== undefined)
  const own = choice === 'none' ? [] : [{ Name: source, Action: choice }]
  return { ...before, Kind: 'service-intentions', Name: destination, Sources: [...others, ...own] }
}

export function IntentionEditor({ names, source: givenSource, destination: givenDestination, current, done }: Props): JSX.Element {
  const [source, setSource] = useState(givenSource)
  const [destination, setDestination] = useState(givenDestination)
  const [choice, setChoice] = useState<Choice>(current?.Action ?? (givenSource === '' ? 'allow' : 'none'))
  const [description, setDescription] = useState(current?.Description ?? '')
  const [problem, setProblem] = useState<ApiError>()
  const [saved, setSaved] = useState('')
  const id = useId()
  const isPairGiven = givenSource !== ''
  const hasPermissions = (current?.Permissions?.length ?? 0) > 0
  const save = async (event: Event): Promise<void> => {
    event.preventDefault()
    try {
      // One source is written, so that nothing is lost that others say of the destination meanwhile.
      const pair = `/v1/connect/intentions/exact?${new URLSearchParams({ source, destination })}`
      const own = { Action: choice, ...(description === '' ? {} : { Description: description }) }
      const { warnings } = choice === 'none' ? await send('DELETE', pair) : await send('PUT', pair, own)
      setProblem(undefined)
      setSaved(`Saved${warnings.length === 0 ? '' : `: ${warnings.join('; ')}`}.`)
      done(source, destination)
    } catch (error) {
      setProblem(error as ApiError)
    }
  }
  return (
    <form class="editor" onSubmit={event => void save(event)}>
      {!isPairGiven && <h2>New intention</h2>}
      <div class="fields">
        {!isPairGiven && (
          <>
            <ServiceField id={`${id}-source`} label="Caller (* for any)" names={names} value={source} change={setSource} />
            <ServiceField
              id={`${id}-destination`}
              label="Called service (* for any)"
              names={names}
              value={destination}
              change={setDestination}
            />
          </>
        )}
        <fieldset class="segments">
          <legend>Its own intention</legend>
          {(['allow', 'deny', ...(isPairGiven ? (['none'] as const) : [])] as const).map(one => (
            <label key={one} class={choice === one ? 'chosen' : ''}>
              <input type="radio" name={`${id}-action`} value={one} checked={choice === one} onChange={() => setChoice(one)} />
              {one}
            </label>
          ))}
        </fieldset>
        <label class="field grow">
          Description
          <input type="text" value={description} maxLength={512} onInput={event => setDescription(event.currentTarget.value)} />
        </label>
      </div>
      {hasPermissions && (
        <p class="notice warning">
          This pair has permissions by path and method. What is saved here replaces them; to change them, edit the entry in Configuration.
        </p>
      )}
      <Preview source={source} destination={destination} choice={choice} />
      <Problem error={problem} />
      <p class="panel-actions">
        <button type="submit" class="button primary" disabled={source === '' || destination === ''}>
          Save
        </button>
        <span role="status" class="muted">
          {saved}
        </span>
      </p>
    </form>
  )
}

interface ServiceFieldProps {
  readonly id: string
  readonly label: string
  readonly names: readonly string[]
  readonly value: string
  change(value: string): void
}

function ServiceField({ id, label, names, value, change }: ServiceFieldProps): JSX.Element {
  return (
    <label class="field">
      {label}
      <input
        type="text"
        list={`${id}-names`}
        required
        autocomplete="off"
        spellcheck={false}
        value={value}
        onInput={event => change(event.currentTarget.value.trim())}
      />
      <datalist id={`${id}-names`}>
        {['*', ...names].slice(0, 200).map(name => (
          <option key={name} value={name} />
        ))}
      </datalist>
    </label>
  )
}

function Preview({
  source,
  destination,
  choice,
}: {
  readonly source: string
  readonly destination: string
  readonly choice: Choice
}): JSX.Element | null {
  const traffic = useTraffic()
  const observed = byPair(traffic?.Edges ?? [])
  const pairs = JSON.stringify([...observed.keys()].sort())
  const [edges, setEdges] = useState<readonly PreviewEdge[]>()
  const [problem, setProblem] = useState('')
  useEffect(() => {
    if (source === '' || destination === '') return
    let ended = false
    const timer = setTimeout(async () => {
      try {
        const entry = await changedEntry(source, destination, choice)
        const asked = [
          ...(JSON.parse(pairs) as string[]).map(key => JSON.parse(key) as [string, string]),
          ...(source === '*' || destination === '*' ? [] : [[source, destination] as const]),
        ]
        const body = { Entry: entry, Edges: asked.slice(0, 1_000).map(([Source, Destination]) => ({ Source, Destination })) }
        const { value } = await send<{ readonly Edges: readonly PreviewEdge[] }>('PUT', '/v1/outrigger/intentions/preview', body)
        if (ended) return
        setEdges(value.Edges)
        setProblem('')
      } catch (error) {
        if (!ended) setProblem((error as Error).message)
      }
    }, PREVIEW_DELAY_MS)
    return () => {
      ended = true
      clearTimeout(timer)
    }
  }, [source, destination, choice, pairs])
  if (source === '' || destination === '') return null
  const changed = (edges ?? []).filter(({ Changed }) => Changed)
  return (
    <div class="preview" role="status" aria-label="Preview">
      <strong>What this changes</strong>
      {problem !== '' && <p class="danger-text">{problem}</p>}
      {problem === '' && edges !== undefined && changed.length === 0 && (
        <p class="muted">Nothing: none of {plural(edges.length, 'known pair')} of services would be decided otherwise.</p>
      )}
      <ul>
        {changed.slice(0, 50).map(({ Source, Destination, After }) => {
          const totals = observed.get(pairKey(Source, Destination))
          const effect = After.ByRequest ? 'decided by request' : After.Allowed ? 'allowed from now on' : 'denied from now on (403)'
          return (
            <li key={pairKey(Source, Destination)} class={After.Allowed ? '' : 'danger-text'}>
              <b>
                {Source} → {Destination}
              </b>
              : {effect}
              {totals === undefined || totals.Requests === 0
                ? ', no traffic seen'
                : `, ${rate(totals.RequestsPerSecond)} requests per second now`}
            </li>
          )
        })}
      </ul>
    </div>
  )
}

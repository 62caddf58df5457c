// Config entries: a list by kind, and an editor that asks the server at each pause of typing what it would say to the entry.
import type { JSX } from 'preact'
import { useEffect, useMemo, useState } from 'preact/hooks'
import type { ConfigEntry, EntryCheck } from '../api/answers.js'
import { type ApiError, segment, send } from '../api/client.js'
import { useLive } from '../api/live.js'
import { editable, KINDS, templateOf } from '../logic/config-templates.js'
import { plural } from '../logic/figures.js'
import { go, to } from '../navigation.js'
import { Badge } from '../parts/badge.js'
import { Icon } from '../parts/icon.js'
import { Empty, Loading, PageHead, Problem, Search } from '../parts/notice.js'
import { type Column, VirtualTable } from '../parts/virtual-table.js'
import type { PageProps } from './page-props.js'

const CHECK_DELAY_MS = 250

const COLUMNS: readonly Column<ConfigEntry>[] = [
  { title: 'Kind', sort: ({ Kind }) => Kind, cell: ({ Kind }) => Kind },
  {
    title: 'Name',
    width: 1.6,
    sort: ({ Name }) => Name,
    cell: ({ Kind, Name }) => (
      <a class="row-link" href={to('config', Kind, Name)}>
        {Name}
      </a>
    ),
  },
  {
    title: 'Says',
    width: 2.4,
    isMinor: true,
    cell: entry => (
      <span class="muted">
        {Object.keys(JSON.parse(editable(entry)) as object)
          .filter(key => key !== 'Kind' && key !== 'Name')
          .join(', ')}
      </span>
    ),
  },
  { title: 'Changed at index', isNumber: true, sort: ({ ModifyIndex = 0 }) => ModifyIndex, cell: ({ ModifyIndex = 0 }) => ModifyIndex },
]

export function ConfigPage({ rest: [kind, ...names], query }: PageProps): JSX.Element {
  const { data, errors, refresh } = useLive<{ entries: readonly ConfigEntry[] }>({ entries: '/v1/config' }, { watch: 'entries' })
  const [text, setText] = useState('')
  const name = names.join('/')
  const entries = data.entries ?? []
  const chosen = entries.find(entry => entry.Kind === kind && entry.Name === name)
  const newKind = query.get('new')
  const wanted = text.toLowerCase()
  const rows = useMemo(
    () => entries.filter(entry => wanted === '' || `${entry.Kind} ${entry.Name}`.toLowerCase().includes(wanted)),
    [data.entries, wanted],
  )
  if (newKind !== null)
    return (
      <>
        <PageHead title="New config entry">
          <label class="field inline">
            Kind
            <select value={newKind} onChange={event => go(`${to('config')}?new=${event.currentTarget.value}`, true)}>
              {KINDS.map(each => (
                <option key={each}>{each}</option>
              ))}
            </select>
          </label>
        </PageHead>
        <EntryEditor key={newKind} begin={templateOf(newKind)} entry={undefined} done={refresh} />
      </>
    )
  if (kind !== undefined)
    return (
      <>
        <PageHead title={`${kind}/${name}`} lead={chosen && `changed at index ${chosen.ModifyIndex ?? 0}`}>
          <a class="button" href={to('config')}>
            All entries
          </a>
        </PageHead>
        <Problem error={errors.entries} />
        {chosen !== undefined && <EntryEditor key={`${kind}/${name}`} begin={editable(chosen)} entry={chosen} done={refresh} />}
        {data.entries !== undefined && chosen === undefined && <Empty title="There is no such entry" />}
      </>
    )
  return (
    <>
      <PageHead title="Configuration" lead={data.entries && plural(entries.length, 'config entry', 'config entries')}>
        <Search value={text} change={setText} label="Kind or name" />
        <a class="button primary" href={`${to('config')}?new=service-defaults`}>
          <Icon name="plus" /> New entry
        </a>
      </PageHead>
      <Problem error={errors.entries} />
      {data.entries === undefined ? (
        errors.entries === undefined && <Loading />
      ) : (
        <VirtualTable
          label="Config entries"
          rows={rows}
          columns={COLUMNS}
          sortedBy="Kind"
          rowKey={({ Kind, Name }) => `${Kind}/${Name}`}
          empty={<Empty title="No config entry">Services work without; entries say what is different.</Empty>}
        />
      )}
    </>
  )
}

interface Judgement {
  readonly errors: EntryCheck['Errors']
  readonly warnings: readonly string[]
  readonly isPending: boolean
}

/** What the server would say; at each pause of typing. */
function useJudgement(text: string): Judgement {
  const [judgement, setJudgement] = useState<Judgement>({ errors: [], warnings: [], isPending: true })
  useEffect(() => {
    const abort = new AbortController()
    const timer = setTimeout(async () => {
      try {
        const { value } = await send<EntryCheck>('PUT', '/v1/outrigger/config-entries/check', JSON.parse(text), abort.signal)
        setJudgement({ errors: value.Errors, warnings: value.Warnings, isPending: false })
      } catch (error) {
        if ((error as Error).name === 'AbortError') return
        setJudgement({ errors: [{ Path: '', Reason: (error as Error).message }], warnings: [], isPending: false })
      }
    }, CHECK_DELAY_MS)
    return () => {
      clearTimeout(timer)
      abort.abort()
    }
  }, [text])
  return judgement
}

function EntryEditor({
  begin,
  entry,
  done,
}: {
  readonly begin: string
  readonly entry: ConfigEntry | undefined
  done(): void
}): JSX.Element {
  const index = entry?.ModifyIndex ?? 0
  const [text, setText] = useState(begin)
  /** What is being edited: what was typed is kept when somebody else writes the entry meanwhile, and does not write over it. */
  const [base, setBase] = useState({ text: begin, index })
  const [problem, setProblem] = useState<ApiError>()
  const [isSure, setSure] = useState(false)
  const [saved, setSaved] = useState('')
  const { errors, warnings, isPending } = useJudgement(text)
  const isOutdated = base.index !== index
  const takeTheirs = (): void => {
    setText(begin)
    setBase({ text: begin, index })
  }
  useEffect(() => {
    if (isOutdated && (text === base.text || text === begin)) takeTheirs()
  }, [index])
  const save = async (event: Event): Promise<void> => {
    event.preventDefault()
    try {
      const body = JSON.parse(text) as ConfigEntry
      const { value } = await send<boolean>('PUT', `/v1/config?cas=${base.index}`, body)
      setProblem(undefined)
      // The index that comes next is that of what stands here.
      if (value) setBase({ ...base, text })
      setSaved(
        value
          ? 'Saved.'
          : entry === undefined
            ? 'There is an entry of this name already.'
            : 'Somebody else has changed it meanwhile: nothing was written.',
      )
      done()
      if (value) go(to('config', body.Kind, body.Name ?? 'mesh'), true)
    } catch (error) {
      setProblem(error as ApiError)
    }
  }
  const remove = async (): Promise<void> => {
    if (!isSure) return setSure(true)
    try {
      await send('DELETE', `/v1/config/${segment(entry!.Kind)}/${entry!.Name.split('/').map(segment).join('/')}`)
      done()
      go(to('config'))
    } catch (error) {
      setProblem(error as ApiError)
    }
  }
  return (
    <form class="editor panel" onSubmit={event => void save(event)}>
      <label class="field">
        Entry, in JSON
        <textarea
          class="code"
          rows={Math.min(30, Math.max(12, text.split('\n').length + 1))}
          spellcheck={false}
          value={text}
          aria-invalid={errors.length > 0}
          aria-describedby="judgement"
          onInput={event => setText(event.currentTarget.value)}
        />
      </label>
      {isOutdated && text !== base.text && (
        <p class="notice warning" role="alert">
          Somebody else has changed this entry meanwhile (index {index}); what you have typed would write over it.
          <button type="button" class="button" onClick={takeTheirs}>
            Show theirs
          </button>
        </p>
      )}
      <div id="judgement" role="status" class="judgement">
        {isPending ? (
          <span class="muted">Checking …</span>
        ) : errors.length === 0 ? (
          <Badge tone="good">the server would take it</Badge>
        ) : (
          <ul>
            {errors.map(({ Path, Reason }) => (
              <li key={Path + Reason} class="danger-text">
                {Path !== '' && <code>{Path}</code>} {Reason}
              </li>
            ))}
          </ul>
        )}
        {warnings.map(warning => (
          <p key={warning} class="warning-text">
            {warning}
          </p>
        ))}
      </div>
      <Problem error={problem} />
      <p class="panel-actions">
        <button type="submit" class="button primary" disabled={errors.length > 0 || isPending || (text === begin && entry !== undefined)}>
          Save
        </button>
        {entry !== undefined && (
          <button type="button" class="button danger" onClick={() => void remove()}>
            {isSure ? 'Really delete it' : 'Delete'}
          </button>
        )}
        <span role="status" class="muted">
          {saved}
        </span>
      </p>
    </form>
  )
}

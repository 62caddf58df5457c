// The key-value store as folders: keys end at slashes. A key is read, written with check-and-set, and deleted.
import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import type { KvPair } from '../api/answers.js'
import { type ApiError, send } from '../api/client.js'
import { useLive } from '../api/live.js'
import { plural } from '../logic/figures.js'
import { fromBase64, keyPath, levelOf } from '../logic/kv-keys.js'
import { go, to } from '../navigation.js'
import { Icon } from '../parts/icon.js'
import { Empty, Loading, PageHead, Problem } from '../parts/notice.js'
import { type Column, VirtualTable } from '../parts/virtual-table.js'

/** Longer values are bytes for programs, not for a text field. */
const MAX_SHOWN_CHARS = 200_000

const isAbsent = (error: ApiError | undefined): boolean => error?.status === 404

export function KeyValue({ steps }: { readonly steps: readonly string[] }): JSX.Element {
  // The last step begins with `=` where it is a key and no folder.
  const last = steps.at(-1) ?? ''
  const isKey = last.startsWith('=')
  const folder = (isKey ? steps.slice(0, -1) : steps).map(step => `${step}/`).join('')
  if (isKey) return <Key key={folder + last} folder={folder} name={last.slice(1)} />
  return <Folder key={folder} folder={folder} steps={steps} />
}

function Crumbs({ steps }: { readonly steps: readonly string[] }): JSX.Element {
  return (
    <nav class="crumbs" aria-label="Folder">
      <a href={to('kv')}>all keys</a>
      {steps.map((step, i) => (
        <span key={steps.slice(0, i + 1).join('/')}>
          {' / '}
          <a href={to('kv', ...steps.slice(0, i + 1))}>{step}</a>
        </span>
      ))}
    </nav>
  )
}

function Folder({ folder, steps }: { readonly folder: string; readonly steps: readonly string[] }): JSX.Element {
  const { data, errors } = useLive<{ keys: readonly string[] }>({ keys: `/v1/kv/${keyPath(folder)}?keys&separator=/` }, { watch: 'keys' })
  const [name, setName] = useState('')
  const rows = levelOf(data.keys ?? [], folder)
  const columns: readonly Column<(typeof rows)[number]>[] = [
    {
      title: 'Key',
      width: 4,
      sort: row => row.name,
      cell: row => (
        <a class="row-link" href={row.isFolder ? to('kv', ...steps, row.name) : to('kv', ...steps, `=${row.name}`)}>
          {row.name}
          {row.isFolder ? '/' : ''}
        </a>
      ),
    },
    { title: 'Kind', cell: row => <span class="muted">{row.isFolder ? 'folder' : 'key'}</span> },
  ]
  const isLoading = data.keys === undefined && errors.keys === undefined
  return (
    <>
      <PageHead title="Key/Value" lead={<Crumbs steps={steps} />}>
        <form
          class="inline-form"
          onSubmit={event => {
            event.preventDefault()
            const parts = name.split('/').filter(part => part !== '')
            if (parts.length > 0) go(to('kv', ...steps, ...parts.slice(0, -1), `=${parts.at(-1)!}`))
          }}
        >
          <label class="field inline">
            New key
            <input
              type="text"
              value={name}
              placeholder={`${folder}name`}
              onInput={event => setName(event.currentTarget.value)}
              spellcheck={false}
              autocomplete="off"
            />
          </label>
          <button type="submit" class="button primary">
            <Icon name="plus" /> Add
          </button>
        </form>
      </PageHead>
      {!isAbsent(errors.keys) && <Problem error={errors.keys} />}
      {isLoading ? (
        <Loading />
      ) : (
        <VirtualTable
          label="Keys"
          rows={rows}
          columns={columns}
          rowKey={row => `${row.isFolder} ${row.name}`}
          empty={<Empty title={folder === '' ? 'No key is stored' : 'Nothing is here'} />}
        />
      )}
      {rows.length > 0 && <p class="muted">{plural(rows.length, 'entry', 'entries')}</p>}
    </>
  )
}

function Key({ folder, name }: { readonly folder: string; readonly name: string }): JSX.Element {
  const path = `/v1/kv/${keyPath(folder + name)}`
  const { data, errors, refresh } = useLive<{ pairs: readonly KvPair[] }>({ pairs: path }, { watch: 'pairs' })
  const [edited, setEdited] = useState<string>()
  const [problem, setProblem] = useState<ApiError>()
  const [said, setSaid] = useState('')
  const [isSure, setSure] = useState(false)
  const steps = folder.split('/').filter(step => step !== '')
  const pair = isAbsent(errors.pairs) ? undefined : data.pairs?.[0]
  const value = fromBase64(pair?.Value ?? '')
  if (pair === undefined && !isAbsent(errors.pairs))
    return (
      <>
        <PageHead title={name} lead={<Crumbs steps={steps} />} />
        <Problem error={errors.pairs} />
        {errors.pairs === undefined && <Loading />}
      </>
    )
  const isText = value !== undefined && value.length <= MAX_SHOWN_CHARS
  const save = async (event: Event): Promise<void> => {
    event.preventDefault()
    try {
      const { value: taken } = await send<boolean>('PUT', `${path}?cas=${pair?.ModifyIndex ?? 0}`, edited ?? value ?? '')
      setSaid(taken ? 'Saved.' : 'Somebody else has changed it meanwhile: nothing was written.')
      setProblem(undefined)
      if (taken) setEdited(undefined)
      refresh()
    } catch (error) {
      setProblem(error as ApiError)
    }
  }
  const remove = async (): Promise<void> => {
    if (!isSure) return setSure(true)
    try {
      await send('DELETE', path)
      go(to('kv', ...steps))
    } catch (error) {
      setProblem(error as ApiError)
    }
  }
  return (
    <>
      <PageHead title={name} lead={<Crumbs steps={steps} />} />
      <form class="editor panel" onSubmit={event => void save(event)}>
        {isText ? (
          <label class="field">
            Value
            <textarea
              class="code"
              rows={14}
              spellcheck={false}
              value={edited ?? value}
              onInput={event => setEdited(event.currentTarget.value)}
            />
          </label>
        ) : (
          <p class="muted">This value is no text, or too long to be edited here.</p>
        )}
        <p class="muted">
          {pair === undefined
            ? 'The key is not there yet.'
            : `Changed at index ${pair.ModifyIndex}, flags ${pair.Flags}${pair.Session === undefined ? '' : `, locked by session ${pair.Session}`}.`}
        </p>
        <Problem error={problem} />
        <p class="panel-actions">
          {isText && (
            <button type="submit" class="button primary" disabled={pair !== undefined && (edited === undefined || edited === value)}>
              Save
            </button>
          )}
          {pair !== undefined && (
            <button type="button" class="button danger" onClick={() => void remove()}>
              {isSure ? 'Really delete it' : 'Delete'}
            </button>
          )}
          <span role="status" class="muted">
            {said}
          </span>
        </p>
      </form>
    </>
  )
}

// The key-value store as folders: keys end at slashes. A key is read, written with check-and-set, and deleted.
import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import type { KvPair } from '../api/answers.js'
import { type ApiError, send } from '../api/client.js'
import { useLive } from '../api/live.js'
import { plural } from '../logic/figures.js'
import { foldersTo, fromBase64, isEditable, keyPath, keyStep, levelOf, placeOfSteps, withEndsOf } from '../logic/kv-keys.js'
import { go, to } from '../navigation.js'
import { Icon } from '../parts/icon.js'
import { Empty, Loading, PageHead, Problem } from '../parts/notice.js'
import { type Column, VirtualTable } from '../parts/virtual-table.js'

/** Longer values are bytes for programs, not for a text field. */
const MAX_SHOWN_CHARS = 200_000

const isAbsent = (error: ApiError | undefined): boolean => error?.status === 404

export function KeyValue({ steps }: { readonly steps: readonly string[] }): JSX.Element {
  const { folder, name } = placeOfSteps(steps)
  if (name === undefined) return <Folder key={folder} folder={folder} />
  return <Key key={folder + name} folder={folder} name={name} />
}

const folderLink = (folder: string): string => (folder === '' ? to('kv') : to('kv', folder))
const keyLink = (key: string): string => to('kv', keyStep(key))

function Crumbs({ folder }: { readonly folder: string }): JSX.Element {
  return (
    <nav class="crumbs" aria-label="Folder">
      <a href={to('kv')}>all keys</a>
      {foldersTo(folder).map(({ folder: path, name }) => (
        <span key={path}>
          {' / '}
          <a href={folderLink(path)}>{name === '' ? '(no name)' : name}</a>
        </span>
      ))}
    </nav>
  )
}

function Folder({ folder }: { readonly folder: string }): JSX.Element {
  const { data, errors } = useLive<{ keys: readonly string[] }>({ keys: `/v1/kv/${keyPath(folder)}?keys&separator=/` }, { watch: 'keys' })
  const [name, setName] = useState('')
  const rows = levelOf(data.keys ?? [], folder)
  const columns: readonly Column<(typeof rows)[number]>[] = [
    {
      title: 'Key',
      width: 4,
      sort: row => row.name,
      cell: row => (
        <a class="row-link" href={row.isFolder ? folderLink(`${folder}${row.name}/`) : keyLink(folder + row.name)}>
          {row.name === '' ? '(no name)' : row.name}
          {row.isFolder ? '/' : ''}
        </a>
      ),
    },
    { title: 'Kind', cell: row => <span class="muted">{row.isFolder ? 'folder' : 'key'}</span> },
  ]
  const isLoading = data.keys === undefined && errors.keys === undefined
  return (
    <>
      <PageHead title="Key/Value" lead={<Crumbs folder={folder} />}>
        <form
          class="inline-form"
          onSubmit={event => {
            event.preventDefault()
            if (name !== '') go(keyLink(folder + name))
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
  const pair = isAbsent(errors.pairs) ? undefined : data.pairs?.[0]
  const value = fromBase64(pair?.Value ?? '')
  if (pair === undefined && !isAbsent(errors.pairs))
    return (
      <>
        <PageHead title={name} lead={<Crumbs folder={folder} />} />
        <Problem error={errors.pairs} />
        {errors.pairs === undefined && <Loading />}
      </>
    )
  // Flags beyond what a number holds would be written back as others.
  const isText =
    value !== undefined && value.length <= MAX_SHOWN_CHARS && isEditable(value) && Number.isSafeInteger(pair === undefined ? 0 : pair.Flags)
  const save = async (event: Event): Promise<void> => {
    event.preventDefault()
    try {
      const at = `cas=${pair?.ModifyIndex ?? 0}&flags=${pair?.Flags ?? 0}`
      const { value: taken } = await send<boolean>('PUT', `${path}?${at}`, withEndsOf(value ?? '', edited ?? value ?? ''))
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
      const { value: taken } = await send<boolean>('DELETE', `${path}?cas=${pair!.ModifyIndex}`)
      if (taken) return go(folderLink(folder))
      setSaid('Somebody else has changed it meanwhile: it is still there.')
      setSure(false)
      refresh()
    } catch (error) {
      setProblem(error as ApiError)
    }
  }
  return (
    <>
      <PageHead title={name} lead={<Crumbs folder={folder} />} />
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
          <p class="muted">This value is no plain text, or too long, or its flags are: it is not edited here.</p>
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

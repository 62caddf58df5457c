// Who changed what, when, and by which token: the last changes of this control plane, newest first.
import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import type { AuditEvent } from '../api/answers.js'
import { useLive } from '../api/live.js'
import { ago } from '../logic/figures.js'
import { Badge, type Tone } from '../parts/badge.js'
import { Empty, Loading, PageHead, Problem, Search } from '../parts/notice.js'
import { type Column, VirtualTable } from '../parts/virtual-table.js'

const TONES: Readonly<Record<AuditEvent['Outcome'], Tone>> = { done: 'good', refused: 'warning', denied: 'danger', failed: 'danger' }

const COLUMNS: readonly Column<AuditEvent>[] = [
  {
    title: 'When',
    width: 0.9,
    sort: ({ Index }) => Index,
    cell: ({ At }) => (
      <time dateTime={At} title={new Date(At).toLocaleString()}>
        {ago(At, Date.now())}
      </time>
    ),
  },
  { title: 'Area', width: 0.8, sort: ({ Area }) => Area, cell: ({ Area }) => Area },
  {
    title: 'What',
    width: 2.6,
    cell: ({ Action, Subject, Times }) => (
      <span title={Subject}>
        <code class="verb">{Action}</code> {Subject}
        {Times > 1 && <span class="muted"> × {Times}</span>}
      </span>
    ),
  },
  { title: 'Outcome', width: 0.8, sort: ({ Outcome }) => Outcome, cell: ({ Outcome }) => <Badge tone={TONES[Outcome]}>{Outcome}</Badge> },
  {
    title: 'By',
    width: 1.4,
    sort: ({ By, AccessorID }) => By + AccessorID,
    cell: ({ By, AccessorID }) => (
      <span title={AccessorID}>{By !== '' ? By : AccessorID === '' ? <span class="muted">no token</span> : AccessorID}</span>
    ),
  },
  { title: 'From', width: 0.9, isMinor: true, cell: ({ From }) => <code>{From === '' ? '–' : From}</code> },
]

export function Events(): JSX.Element {
  const { data, errors } = useLive<{ events: readonly AuditEvent[] }>({ events: '/v1/outrigger/audit' }, { watch: 'events' })
  const [text, setText] = useState('')
  const wanted = text.toLowerCase()
  const rows = (data.events ?? []).filter(
    event =>
      wanted === '' ||
      [event.Area, event.Action, event.Subject, event.By, event.AccessorID, event.Outcome].some(value =>
        value.toLowerCase().includes(wanted),
      ),
  )
  return (
    <>
      <PageHead title="Events" lead="Changes since this control plane started; each area keeps its last 250">
        <Search value={text} change={setText} label="What, who, how" />
      </PageHead>
      <Problem error={errors.events} />
      {data.events === undefined ? (
        errors.events === undefined && <Loading />
      ) : (
        <VirtualTable
          label="Events"
          rows={rows}
          columns={COLUMNS}
          rowKey={({ Index }) => String(Index)}
          empty={<Empty title="Nothing has been changed" />}
        />
      )}
    </>
  )
}

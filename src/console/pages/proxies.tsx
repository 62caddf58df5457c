// Every sidecar and gateway: whether it has taken its configuration, is being told it, or refuses it, and why.
import type { JSX } from 'preact'
import { useMemo, useState } from 'preact/hooks'
import type { ProxyState } from '../api/answers.js'
import { useLive } from '../api/live.js'
import { ago, plural } from '../logic/figures.js'
import { type ProxyStatus, proxyStatus, rejection } from '../logic/states.js'
import { to } from '../navigation.js'
import { ProxyBadge } from '../parts/badge.js'
import { Empty, Loading, PageHead, Problem, Search } from '../parts/notice.js'
import { type Column, VirtualTable } from '../parts/virtual-table.js'

const ORDER: readonly ProxyStatus[] = ['rejected', 'away', 'warming', 'accepted']
const EVERY_MS = 3_000

const COLUMNS: readonly Column<ProxyState>[] = [
  { title: 'Proxy', width: 1.7, sort: ({ ID }) => ID, cell: ({ ID }) => ID },
  {
    title: 'Service',
    sort: ({ Service }) => Service,
    cell: ({ Service }) => <a href={to('services', Service)}>{Service}</a>,
  },
  {
    title: 'Configuration',
    width: 1.15,
    sort: proxy => ORDER.indexOf(proxyStatus(proxy)),
    cell: proxy => <ProxyBadge status={proxyStatus(proxy)} />,
  },
  { title: 'Reason', width: 2.4, cell: proxy => <Reason proxy={proxy} /> },
  {
    title: 'Index',
    isNumber: true,
    isMinor: true,
    width: 0.6,
    sort: ({ AcknowledgedIndex }) => AcknowledgedIndex,
    cell: ({ AcknowledgedIndex }) => AcknowledgedIndex,
  },
  {
    title: 'Connected',
    isMinor: true,
    width: 0.8,
    cell: ({ Streams: [stream] }) => (stream === undefined ? '–' : ago(stream.OpenedAt, Date.now())),
  },
  {
    title: 'Node',
    isMinor: true,
    width: 0.8,
    sort: ({ Node = '' }) => Node,
    cell: ({ Node = '' }) => (Node === '' ? '–' : <a href={to('nodes', Node)}>{Node}</a>),
  },
]

function Reason({ proxy }: { readonly proxy: ProxyState }): JSX.Element {
  switch (proxyStatus(proxy)) {
    case 'rejected':
      return (
        <span class="danger-text" title={rejection(proxy)}>
          {rejection(proxy)}
        </span>
      )
    case 'warming':
      return <span>waits for an answer to what it was sent</span>
    case 'away':
      return <span class="muted">no stream to this control plane</span>
    case 'accepted':
      return <span class="muted">all that it should have</span>
  }
}

export function Proxies(): JSX.Element {
  const { data, errors } = useLive<{ proxies: readonly ProxyState[] }>({ proxies: '/v1/outrigger/proxies' }, { everyMs: EVERY_MS })
  const [text, setText] = useState('')
  const proxies = data.proxies ?? []
  const counts = useMemo(
    () => ORDER.map(status => [status, proxies.filter(proxy => proxyStatus(proxy) === status).length] as const),
    [data.proxies],
  )
  const wanted = text.toLowerCase()
  const rows = proxies.filter(
    ({ ID, Service }) => wanted === '' || ID.toLowerCase().includes(wanted) || Service.toLowerCase().includes(wanted),
  )
  return (
    <>
      <PageHead
        title="Proxies"
        lead={
          data.proxies &&
          `${plural(proxies.length, 'proxy', 'proxies')}: ${counts
            .filter(([, n]) => n > 0)
            .map(([status, n]) => `${n} ${status === 'away' ? 'not connected' : status}`)
            .join(', ')}`
        }
      >
        <Search value={text} change={setText} label="Proxy or service" />
      </PageHead>
      <Problem error={errors.proxies} />
      {data.proxies === undefined ? (
        errors.proxies === undefined && <Loading />
      ) : (
        <VirtualTable
          label="Proxies"
          rows={rows}
          columns={COLUMNS}
          sortedBy="Configuration"
          rowKey={({ ID, Node = '' }) => `${Node}/${ID}`}
          empty={<Empty title="No proxy is registered" />}
        />
      )}
    </>
  )
}

// The machines of the mesh, and what is registered on the one that is chosen.
import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import type { NodeDump } from '../api/answers.js'
import { useLive } from '../api/live.js'
import { plural } from '../logic/figures.js'
import { healthOf } from '../logic/states.js'
import { to } from '../navigation.js'
import { HealthBadge } from '../parts/badge.js'
import { Empty, Loading, PageHead, Problem, Search } from '../parts/notice.js'
import { type Column, VirtualTable } from '../parts/virtual-table.js'

const COLUMNS: readonly Column<NodeDump>[] = [
  {
    title: 'Node',
    width: 1.6,
    sort: ({ Node }) => Node,
    cell: ({ Node }) => (
      <a class="row-link" href={to('nodes', Node)}>
        {Node}
      </a>
    ),
  },
  { title: 'Health', sort: ({ Checks }) => healthOf(Checks), cell: ({ Checks }) => <HealthBadge health={healthOf(Checks)} /> },
  { title: 'Address', cell: ({ Address }) => <code>{Address}</code> },
  { title: 'Services', isNumber: true, width: 0.8, sort: ({ Services }) => Services.length, cell: ({ Services }) => Services.length },
  { title: 'Checks', isNumber: true, width: 0.8, isMinor: true, sort: ({ Checks }) => Checks.length, cell: ({ Checks }) => Checks.length },
]

type Registered = NodeDump['Services'][number] & { readonly checks: NodeDump['Checks'] }

const SERVICE_COLUMNS: readonly Column<Registered>[] = [
  { title: 'Instance', width: 1.6, sort: ({ ID }) => ID, cell: ({ ID }) => ID },
  {
    title: 'Service',
    width: 1.2,
    sort: ({ Service }) => Service,
    cell: ({ Service, Proxy: proxy }) => <a href={to('services', proxy?.DestinationServiceName ?? Service)}>{Service}</a>,
  },
  { title: 'Health', sort: ({ checks }) => healthOf(checks), cell: ({ checks }) => <HealthBadge health={healthOf(checks)} /> },
  { title: 'Port', isNumber: true, width: 0.6, sort: ({ Port }) => Port, cell: ({ Port }) => Port },
  {
    title: 'Checks that fail',
    width: 2,
    isMinor: true,
    cell: ({ checks }) => {
      const failing = checks.filter(({ Status }) => Status !== 'passing')
      return failing.length === 0 ? (
        <span class="muted">none</span>
      ) : (
        <span title={failing.map(({ Output }) => Output).join('\n')}>{failing.map(({ Name }) => Name).join(', ')}</span>
      )
    },
  },
]

export function Nodes({ selected }: { readonly selected: string | undefined }): JSX.Element {
  const { data, errors } = useLive<{ nodes: readonly NodeDump[] }>({ nodes: '/v1/internal/ui/nodes' }, { watch: 'nodes' })
  const [text, setText] = useState('')
  const nodes = data.nodes ?? []
  const chosen = nodes.find(({ Node }) => Node === selected)
  const wanted = text.toLowerCase()
  return (
    <>
      <PageHead
        title={selected ?? 'Nodes'}
        lead={
          selected === undefined
            ? data.nodes && plural(nodes.length, 'node')
            : chosen && `${chosen.Address}, ${plural(chosen.Services.length, 'service instance')}`
        }
      >
        {selected === undefined ? (
          <Search value={text} change={setText} label="Node or address" />
        ) : (
          <a class="button" href={to('nodes')}>
            All nodes
          </a>
        )}
      </PageHead>
      <Problem error={errors.nodes} />
      {data.nodes === undefined && errors.nodes === undefined && <Loading />}
      {data.nodes !== undefined && selected === undefined && (
        <VirtualTable
          label="Nodes"
          rows={nodes.filter(({ Node, Address }) => wanted === '' || Node.toLowerCase().includes(wanted) || Address.includes(wanted))}
          columns={COLUMNS}
          rowKey={({ Node }) => Node}
          empty={<Empty title="No node fits" />}
        />
      )}
      {data.nodes !== undefined && selected !== undefined && (
        <>
          {chosen === undefined && <Empty title={`There is no node ${selected}`} />}
          {chosen !== undefined && (
            <>
              <VirtualTable
                label={`Registered on ${chosen.Node}`}
                rows={chosen.Services.map(service => ({
                  ...service,
                  checks: chosen.Checks.filter(({ ServiceID }) => ServiceID === service.ID),
                }))}
                columns={SERVICE_COLUMNS}
                rowKey={({ ID }) => ID}
                empty={<Empty title="Nothing is registered here" />}
              />
              <section class="panel">
                <h2>About this node</h2>
                <dl class="facts">
                  <dt>ID</dt>
                  <dd>
                    <code>{chosen.ID}</code>
                  </dd>
                  {Object.entries(chosen.Meta ?? {}).map(([name, value]) => [
                    <dt key={name}>{name}</dt>,
                    <dd key={`${name}=`}>{value === '' ? '–' : value}</dd>,
                  ])}
                </dl>
              </section>
            </>
          )}
        </>
      )}
    </>
  )
}

// All services: health, instances, versions, tags and the traffic of the last minute.
import type { JSX } from 'preact'
import { useMemo, useState } from 'preact/hooks'
import type { ServiceSummary, TrafficTotals } from '../api/answers.js'
import { useLive, useTraffic } from '../api/live.js'
import { count, plural } from '../logic/figures.js'
import { intoServices } from '../logic/traffic-figures.js'
import { to } from '../navigation.js'
import { Badge, HealthBar } from '../parts/badge.js'
import { Empty, Loading, PageHead, Problem, Search } from '../parts/notice.js'
import { Tags } from '../parts/tags.js'
import { Latency, Rate, Success } from '../parts/traffic-cells.js'
import { type Column, VirtualTable } from '../parts/virtual-table.js'

interface Row extends ServiceSummary {
  readonly totals: TrafficTotals | undefined
}

const worstFirst = ({ ChecksCritical, ChecksWarning }: ServiceSummary): number => ChecksCritical * 1_000_000 + ChecksWarning

const COLUMNS: readonly Column<Row>[] = [
  {
    title: 'Service',
    width: 1.5,
    sort: ({ Name }) => Name,
    cell: ({ Name, Kind }) => (
      <>
        <a class="row-link" href={to('services', Name)}>
          {Name}
        </a>
        {Kind !== '' && <Badge tone="accent">{Kind.replace('-', ' ')}</Badge>}
      </>
    ),
  },
  {
    title: 'Health',
    width: 1.9,
    sort: worstFirst,
    cell: row => <HealthBar passing={row.ChecksPassing} warning={row.ChecksWarning} critical={row.ChecksCritical} />,
  },
  { title: 'Instances', isNumber: true, isMinor: true, width: 0.7, sort: row => row.InstanceCount, cell: row => count(row.InstanceCount) },
  {
    title: 'Requests',
    isNumber: true,
    width: 0.75,
    sort: row => row.totals?.RequestsPerSecond ?? -1,
    cell: row => <Rate totals={row.totals} />,
  },
  {
    title: 'Success',
    isNumber: true,
    width: 0.75,
    sort: row => row.totals?.SuccessRate ?? 2,
    cell: row => <Success totals={row.totals} />,
  },
  {
    title: 'p99',
    isNumber: true,
    isMinor: true,
    width: 0.7,
    sort: row => row.totals?.P99 ?? -1,
    cell: row => <Latency value={row.totals?.P99} />,
  },
  {
    title: 'Mesh',
    isMinor: true,
    width: 0.9,
    sort: row => Number(row.ConnectedWithProxy || row.ConnectNative),
    cell: row =>
      row.ConnectedWithProxy ? (
        <Badge tone="good">mTLS</Badge>
      ) : row.ConnectNative ? (
        <Badge tone="good">native</Badge>
      ) : (
        <span class="muted">–</span>
      ),
  },
  { title: 'Versions', isMinor: true, width: 1.05, cell: row => <Tags tags={row.Versions} /> },
  { title: 'Tags', isMinor: true, width: 1, cell: row => <Tags tags={row.Tags} /> },
]

const HEALTH_FILTERS = ['all', 'failing', 'in the mesh'] as const

export function Services(): JSX.Element {
  const { data, errors } = useLive<{ services: readonly ServiceSummary[] }>({ services: '/v1/internal/ui/services' }, { watch: 'services' })
  const traffic = useTraffic()
  const [text, setText] = useState('')
  const [only, setOnly] = useState<(typeof HEALTH_FILTERS)[number]>('all')
  const totals = useMemo(() => intoServices(traffic?.Edges ?? [], traffic?.Inbound ?? []), [traffic])
  // Sidecars are shown with the service that they stand beside.
  const services = useMemo(() => (data.services ?? []).filter(({ Kind }) => Kind !== 'connect-proxy'), [data.services])
  const wanted = text.toLowerCase()
  const rows = useMemo(
    () =>
      services
        .filter(
          ({ Name, Tags: tags, Versions }) =>
            wanted === '' || [Name, ...tags, ...Versions].some(word => word.toLowerCase().includes(wanted)),
        )
        .filter(row => only === 'all' || (only === 'failing' ? row.ChecksCritical > 0 : row.ConnectedWithProxy || row.ConnectNative))
        .map(row => ({ ...row, totals: totals.get(row.Name) })),
    [services, wanted, only, totals],
  )
  const instances = services.reduce((sum, { InstanceCount }) => sum + InstanceCount, 0)
  return (
    <>
      <PageHead title="Services" lead={data.services && `${plural(services.length, 'service')}, ${plural(instances, 'instance')}`}>
        <fieldset class="segments">
          <legend class="hidden">Show</legend>
          {HEALTH_FILTERS.map(name => (
            <label key={name} class={only === name ? 'chosen' : ''}>
              <input type="radio" name="only" checked={only === name} onChange={() => setOnly(name)} />
              {name}
            </label>
          ))}
        </fieldset>
        <Search value={text} change={setText} label="Name, tag or version" />
      </PageHead>
      <Problem error={errors.services} />
      {data.services === undefined ? (
        errors.services === undefined && <Loading />
      ) : (
        <VirtualTable
          label="Services"
          rows={rows}
          columns={COLUMNS}
          rowKey={({ Name }) => Name}
          empty={<Empty title={services.length === 0 ? 'No service is registered' : 'No service fits'} />}
        />
      )}
    </>
  )
}

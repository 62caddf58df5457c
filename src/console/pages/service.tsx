// One service: its traffic now and over the last hour, by version; who calls it and whom it calls; its discovery chain; its instances.
import type { JSX } from 'preact'
import { useMemo } from 'preact/hooks'
import { instanceVersion } from '../../model/instance-version.js'
import type { DiscoveryChain, HealthEntry, InboundTraffic, ServerInfo, Topology, Traffic, TrafficTotals } from '../api/answers.js'
import { segment } from '../api/client.js'
import { useLive, useSeries, useTraffic } from '../api/live.js'
import { millis, plural, rate } from '../logic/figures.js'
import { RANGE_WORDS, RANGES, type Range, rangeOf } from '../logic/ranges.js'
import { healthOf, isDenied } from '../logic/states.js'
import { byPair, byVersion, intoServices, outlierReason, pairKey, sidecarKey } from '../logic/traffic-figures.js'
import { go, intentionLink, to, whyLink } from '../navigation.js'
import { Badge, HealthBadge } from '../parts/badge.js'
import { ChainPicture } from '../parts/chain-picture.js'
import { Icon } from '../parts/icon.js'
import { Empty, Loading, PageHead, Problem } from '../parts/notice.js'
import { SeriesChart } from '../parts/series-chart.js'
import { Tags } from '../parts/tags.js'
import { Latency, Rate, StatCards, Success } from '../parts/traffic-cells.js'
import { type Column, VirtualTable } from '../parts/virtual-table.js'
import type { PageProps } from './page-props.js'

interface Reads {
  readonly instances: readonly HealthEntry[]
  readonly sidecars: readonly HealthEntry[]
  readonly chain: DiscoveryChain
  readonly topology: Topology
}

interface InstanceRow extends HealthEntry {
  readonly totals: TrafficTotals | undefined
  readonly outlier: string | undefined
}

export function versionOf({ Service }: HealthEntry): string {
  return instanceVersion(Service.Meta, Service.Tags) ?? 'no version'
}

const instanceKey = ({ Service, Node }: HealthEntry): string => JSON.stringify([Node.Node, Service.ID])

/** Instance -> the key of the sidecar beside it. */
function sidecarKeys(sidecars: readonly HealthEntry[]): Map<string, string> {
  const keys = new Map<string, string>()
  for (const { Service, Node } of sidecars) {
    const destination = Service.Proxy?.DestinationServiceID ?? Service.ID.replace(/-sidecar-proxy$/, '')
    keys.set(JSON.stringify([Node.Node, destination]), sidecarKey(Service.ID, Node.Node))
  }
  return keys
}

const COLUMNS: readonly Column<InstanceRow>[] = [
  {
    title: 'Instance',
    width: 1.5,
    sort: ({ Service }) => Service.ID,
    cell: ({ Service, outlier }) => (
      <>
        {Service.ID}
        {outlier !== undefined && (
          <span title={outlier}>
            <Badge tone="warning">outlier</Badge>
          </span>
        )}
      </>
    ),
  },
  { title: 'Health', sort: ({ Checks }) => healthOf(Checks), cell: ({ Checks }) => <CheckSummary checks={Checks} /> },
  { title: 'Version', width: 0.7, sort: versionOf, cell: entry => versionOf(entry) },
  {
    title: 'Requests',
    isNumber: true,
    width: 0.7,
    sort: row => row.totals?.RequestsPerSecond ?? -1,
    cell: row => <Rate totals={row.totals} />,
  },
  { title: 'Success', isNumber: true, width: 0.7, sort: row => row.totals?.SuccessRate ?? 2, cell: row => <Success totals={row.totals} /> },
  {
    title: 'p99',
    isNumber: true,
    width: 0.7,
    isMinor: true,
    sort: row => row.totals?.P99 ?? -1,
    cell: row => <Latency value={row.totals?.P99} />,
  },
  {
    title: 'Address',
    isMinor: true,
    cell: ({ Service, Node }) => <code>{`${Service.Address === '' ? Node.Address : Service.Address}:${Service.Port}`}</code>,
  },
  { title: 'Node', isMinor: true, sort: ({ Node }) => Node.Node, cell: ({ Node }) => <a href={to('nodes', Node.Node)}>{Node.Node}</a> },
  { title: 'Tags', isMinor: true, cell: ({ Service }) => <Tags tags={Service.Tags ?? []} /> },
]

function CheckSummary({ checks }: { readonly checks: HealthEntry['Checks'] }): JSX.Element {
  const failing = checks.filter(({ Status }) => Status !== 'passing')
  return (
    <span title={failing.map(({ Name, Output }) => `${Name}: ${Output}`).join('\n')}>
      <HealthBadge health={healthOf(checks)} />
    </span>
  )
}

export function ServicePage({ name, query, server }: Omit<PageProps, 'rest'> & { readonly name: string }): JSX.Element {
  const { data, errors } = useLive<Reads>(
    {
      instances: `/v1/health/service/${segment(name)}`,
      sidecars: `/v1/health/connect/${segment(name)}`,
      chain: `/v1/discovery-chain/${segment(name)}`,
      topology: '/v1/outrigger/topology',
    },
    { watch: 'instances' },
  )
  const traffic = useTraffic()
  const inbound = useMemo(() => traffic?.Inbound.filter(({ Service }) => Service === name) ?? [], [traffic, name])
  const rows = useMemo(() => instanceRows(data.instances ?? [], data.sidecars ?? [], inbound), [data.instances, data.sidecars, inbound])
  const totals = useMemo(() => intoServices(traffic?.Edges ?? [], inbound).get(name), [traffic, inbound, name])
  if (data.instances === undefined)
    return (
      <>
        <PageHead title={name} />
        <Problem error={errors.instances} />
        {errors.instances === undefined && <Loading />}
      </>
    )
  const health = rows.map(({ Checks }) => healthOf(Checks))
  const worst = health.includes('critical') ? 'critical' : health.includes('warning') ? 'warning' : 'passing'
  return (
    <>
      <PageHead
        title={
          <>
            {name} {rows.length > 0 && <HealthBadge health={worst} />}
          </>
        }
        lead={`${plural(rows.length, 'instance')}${data.chain === undefined ? '' : `, speaks ${data.chain.Chain.Protocol}`}${(data.sidecars ?? []).length > 0 ? ', in the mesh' : ', without a sidecar'}`}
      >
        <a class="button" href={intentionLink(name)}>
          Who may call it
        </a>
      </PageHead>
      {traffic !== undefined && <StatCards totals={totals} />}
      {traffic !== undefined && <Charts name={name} range={rangeOf(query.get('range'), server?.LongRanges === true)} server={server} />}
      <div class="columns">
        <Neighbours title="Called by" name={name} end="Destination" traffic={traffic} topology={data.topology} />
        <Neighbours title="Calls" name={name} end="Source" traffic={traffic} topology={data.topology} />
      </div>
      <Versions rows={rows} sidecars={data.sidecars ?? []} inbound={inbound} />
      <section class="panel">
        <h2>Where requests go</h2>
        <Problem error={errors.chain} />
        {data.chain !== undefined && <ChainPicture chain={data.chain} />}
      </section>
      <section>
        <h2>Instances</h2>
        <VirtualTable
          label={`Instances of ${name}`}
          rows={rows}
          columns={COLUMNS}
          rowKey={instanceKey}
          empty={<Empty title="No instance is registered">Who calls it gets 503.</Empty>}
        />
      </section>
    </>
  )
}

function instanceRows(
  instances: readonly HealthEntry[],
  sidecars: readonly HealthEntry[],
  inbound: readonly InboundTraffic[],
): InstanceRow[] {
  const keys = sidecarKeys(sidecars)
  const totals = new Map(inbound.map(one => [sidecarKey(one.Proxy, one.Node), one.Totals]))
  const own = instances.map(entry => ({ entry, totals: totals.get(keys.get(instanceKey(entry)) ?? '') }))
  const all = own.flatMap(one => one.totals ?? [])
  return own.map(one => ({ ...one.entry, totals: one.totals, outlier: one.totals && outlierReason(one.totals, all) }))
}

interface ChartsProps {
  readonly name: string
  readonly range: Range
  readonly server: ServerInfo | undefined
}

function Charts({ name, range, server }: ChartsProps): JSX.Element {
  const { points, error } = useSeries(`destination=${encodeURIComponent(name)}`, range)
  const times = points.map(({ At }) => (typeof At === 'number' ? At : Date.parse(At)))
  const failures = points.map(({ Totals }) => (Totals.Requests === 0 ? 0 : (Totals.RequestsPerSecond * Totals.Failures) / Totals.Requests))
  return (
    <>
      {server?.LongRanges === true && (
        <fieldset class="segments">
          <legend class="hidden">Time that is shown</legend>
          {RANGES.map(each => (
            <label key={each} class={each === range ? 'chosen' : ''}>
              <input
                type="radio"
                name="range"
                checked={each === range}
                onChange={() => go(`${to('services', name)}?range=${each}`, true)}
              />
              {RANGE_WORDS[each]}
            </label>
          ))}
        </fieldset>
      )}
      <Problem error={error?.status === 404 ? undefined : error} />
      <div class="columns">
        <SeriesChart
          title="Requests per second"
          times={times}
          format={rate}
          lines={[
            { name: 'requests', tone: 'accent', values: points.map(({ Totals }) => Totals.RequestsPerSecond) },
            { name: 'failures', tone: 'danger', values: failures },
          ]}
        />
        <SeriesChart
          title="Latency"
          times={times}
          format={millis}
          lines={[
            { name: 'p50', tone: 'muted', values: points.map(({ Totals }) => Totals.P50) },
            { name: 'p99', tone: 'accent', values: points.map(({ Totals }) => Totals.P99) },
          ]}
        />
      </div>
    </>
  )
}

interface NeighbourProps {
  readonly title: string
  readonly name: string
  /** Which end of the edges this service is. */
  readonly end: 'Source' | 'Destination'
  readonly traffic: Traffic | undefined
  readonly topology: Topology | undefined
}

function Neighbours({ title, name, end, traffic, topology }: NeighbourProps): JSX.Element {
  const other = end === 'Source' ? 'Destination' : 'Source'
  const totals = byPair(traffic?.Edges ?? [])
  const declared = (topology?.Edges ?? []).filter(edge => edge[end] === name)
  const names = [
    ...new Set([
      ...declared.map(edge => edge[other]),
      ...(traffic?.Edges ?? []).filter(edge => edge[end] === name).map(edge => edge[other]),
    ]),
  ].sort()
  return (
    <section class="panel">
      <h2>{title}</h2>
      {names.length === 0 ? (
        <p class="muted">Nobody that is known.</p>
      ) : (
        <ul class="neighbours">
          {names.map(each => {
            const [source, destination] = end === 'Source' ? [name, each] : [each, name]
            const row = totals.get(pairKey(source, destination))
            const verdict = declared.find(edge => edge[other] === each)
            const denied = isDenied(verdict)
            return (
              <li key={each}>
                <a href={to('services', each)}>{each}</a>
                <span class="neighbour-figures">
                  <Rate totals={row} /> <Success totals={row} /> <Latency value={row?.P99} />
                </span>
                <a class={denied ? 'why danger-text' : 'why'} href={whyLink(source, destination)}>
                  {denied ? 'denied, why?' : 'why?'}
                  <span class="hidden">{` ${source} to ${destination}`}</span>
                </a>
              </li>
            )
          })}
        </ul>
      )}
    </section>
  )
}

function Versions({
  rows,
  sidecars,
  inbound,
}: {
  readonly rows: readonly HealthEntry[]
  readonly sidecars: readonly HealthEntry[]
  readonly inbound: readonly InboundTraffic[]
}): JSX.Element | null {
  const keys = sidecarKeys(sidecars)
  const versions = new Map(
    rows.flatMap(entry => {
      const key = keys.get(instanceKey(entry))
      return key === undefined ? [] : [[key, versionOf(entry)] as const]
    }),
  )
  const list = byVersion(inbound, versions)
  if (list.length === 0) return null
  const all = list.reduce((sum, { totals }) => sum + totals.RequestsPerSecond, 0)
  return (
    <section class="panel">
      <h2>By version</h2>
      <div class="scroll-x" tabIndex={0} role="group" aria-label="Traffic by version">
        <table class="plain">
          <thead>
            <tr>
              <th scope="col">Version</th>
              <th scope="col">Share</th>
              {['Instances', 'Requests', 'Success', 'p50', 'p90', 'p99'].map(title => (
                <th key={title} scope="col" class="number">
                  {title}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {list.map(({ version, instances, totals }) => {
              const share = all === 0 ? 0 : totals.RequestsPerSecond / all
              return (
                <tr key={version}>
                  <th scope="row">{version}</th>
                  <td>
                    <span class="share">
                      <span class="bar" aria-hidden="true">
                        <i class="accent" style={{ flexGrow: share }} />
                        <i style={{ flexGrow: 1 - share }} />
                      </span>
                      {(share * 100).toFixed(0)} %
                    </span>
                  </td>
                  <td class="number">{instances}</td>
                  <td class="number">
                    <Rate totals={totals} />
                  </td>
                  <td class="number">
                    <Success totals={totals} />
                  </td>
                  <td class="number">
                    <Latency value={totals.P50} />
                  </td>
                  <td class="number">
                    <Latency value={totals.P90} />
                  </td>
                  <td class="number">
                    <Latency value={totals.P99} />
                  </td>
                </tr>
              )
            })}
          </tbody>
        </table>
      </div>
      {inbound.length === 0 && (
        <p class="muted">
          <Icon name="events" /> Figures come with the first reports of the sidecars.
        </p>
      )}
    </section>
  )
}

// Who holds which certificate, until when, and how far a rotation of the root has come.
import type { JSX } from 'preact'
import type { Certificates } from '../api/answers.js'
import { useLive } from '../api/live.js'
import { plural, span } from '../logic/figures.js'
import { to } from '../navigation.js'
import { Badge } from '../parts/badge.js'
import { Empty, Loading, PageHead, Problem } from '../parts/notice.js'
import { type Column, VirtualTable } from '../parts/virtual-table.js'

type Leaf = Certificates['Leaves'][number]

const COLUMNS: readonly Column<Leaf>[] = [
  { title: 'Service', width: 1.1, sort: ({ Service }) => Service, cell: ({ Service }) => <a href={to('services', Service)}>{Service}</a> },
  {
    title: 'Valid',
    width: 1.6,
    sort: ({ ValidBefore }) => ValidBefore,
    cell: leaf => <Validity from={leaf.ValidAfter} until={leaf.ValidBefore} />,
  },
  {
    title: 'Held by',
    width: 1.1,
    sort: ({ Proxies }) => Proxies.length,
    cell: ({ Proxies }) => (
      <span title={Proxies.join(', ')}>
        {Proxies.length === 0 ? <span class="muted">nobody now</span> : plural(Proxies.length, 'proxy', 'proxies')}
      </span>
    ),
  },
  {
    title: 'Root',
    width: 0.8,
    sort: ({ Outdated }) => Number(Outdated),
    cell: ({ Outdated }) => (Outdated ? <Badge tone="warning">of before</Badge> : <Badge tone="good">active</Badge>),
  },
  { title: 'Identity', width: 2.4, isMinor: true, cell: ({ URI }) => <code title={URI}>{URI}</code> },
  { title: 'Serial', width: 1, isMinor: true, cell: ({ SerialNumber }) => <code title={SerialNumber}>{SerialNumber.slice(0, 17)}…</code> },
]

/** A leaf is renewed at 60 to 90 % of its life: one beyond that is late. */
const LATE_SHARE = 0.92

export function Validity({ from, until }: { readonly from: string; readonly until: string }): JSX.Element {
  const [start, end, now] = [Date.parse(from), Date.parse(until), Date.now()]
  const passed = Math.max(0, Math.min(1, (now - start) / (end - start)))
  const tone = now >= end ? 'danger' : passed > LATE_SHARE ? 'warning' : 'accent'
  return (
    <span class="share" title={`${new Date(start).toLocaleString()} to ${new Date(end).toLocaleString()}`}>
      <span class="bar" aria-hidden="true">
        <i class={tone} style={{ flexGrow: passed }} />
        <i style={{ flexGrow: 1 - passed }} />
      </span>
      <span class={tone === 'danger' ? 'danger-text' : ''}>
        {now >= end ? `expired ${span(now - end)} ago` : `${span(end - now)} left`}
      </span>
    </span>
  )
}

export function CertificatesPage(): JSX.Element {
  const { data, errors } = useLive<{ certificates: Certificates }>(
    { certificates: '/v1/outrigger/certificates' },
    { watch: 'certificates', everyMs: 5_000 },
  )
  const { certificates } = data
  if (certificates === undefined)
    return (
      <>
        <PageHead title="Certificates" />
        <Problem error={errors.certificates} />
        {errors.certificates === undefined && <Loading />}
      </>
    )
  const { Leaves, OutdatedLeaves, Roots, TrustDomain, Provider } = certificates
  return (
    <>
      <PageHead title="Certificates" lead={`${plural(Leaves.length, 'leaf', 'leaves')} of ${TrustDomain}, provider ${Provider}`} />
      {OutdatedLeaves > 0 && (
        <div class="notice warning" role="status">
          <div>
            <strong>A rotation is under way</strong>
            <p>
              {Leaves.length - OutdatedLeaves} of {plural(Leaves.length, 'leaf', 'leaves')} are of the active root. Both roots are trusted
              until the last one is replaced.
            </p>
            <progress max={Leaves.length} value={Leaves.length - OutdatedLeaves} aria-label="Leaves of the active root" />
          </div>
        </div>
      )}
      <section class="panel">
        <h2>Trusted roots</h2>
        <ul class="roots">
          {Roots.map(root => (
            <li key={root.ID}>
              <span>
                <strong>{root.Name}</strong> {root.Active ? <Badge tone="good">active</Badge> : <Badge tone="neutral">trusted still</Badge>}
              </span>
              <span class="muted">
                {root.PrivateKeyType.toUpperCase()} {root.PrivateKeyBits}
              </span>
              <Validity from={root.NotBefore} until={root.NotAfter} />
              <code title={root.ID}>{root.ID.slice(0, 23)}…</code>
            </li>
          ))}
        </ul>
      </section>
      <VirtualTable
        label="Leaf certificates"
        rows={Leaves}
        columns={COLUMNS}
        rowKey={({ Service }) => Service}
        empty={<Empty title="No certificate has been issued">The first sidecar that is registered gets one.</Empty>}
      />
    </>
  )
}

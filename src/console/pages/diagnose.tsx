// Why is a request refused (403), or why does it find nobody (503)? Two names, and everything that decides it, in the order in which the
// request meets it.
import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import type { Explanation, HealthEntry, ProxyState, Topology } from '../api/answers.js'
import { segment } from '../api/client.js'
import { useLive, useTraffic } from '../api/live.js'
import { diagnose, type Finding } from '../logic/diagnosis.js'
import { isDenied } from '../logic/states.js'
import { byPair, pairKey } from '../logic/traffic-figures.js'
import { go, intentionLink, to } from '../navigation.js'
import { Badge, type Tone } from '../parts/badge.js'
import { Loading, PageHead, Problem } from '../parts/notice.js'
import type { PageProps } from './page-props.js'

const METHODS = ['', 'GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const
const TONES: Readonly<Record<Finding['level'], Tone>> = { ok: 'good', warning: 'warning', problem: 'danger' }

export function Diagnose({ query }: PageProps): JSX.Element {
  const { data } = useLive<{ topology: Topology }>({ topology: '/v1/outrigger/topology' }, { watch: 'topology' })
  const traffic = useTraffic()
  const from = query.get('from') ?? ''
  const destination = query.get('to') ?? ''
  const names = (data.topology?.Services ?? []).map(({ Name }) => Name)
  const failing = [...byPair(traffic?.Edges ?? [])]
    .filter(([, { Failures }]) => Failures > 0)
    .map(([key]) => JSON.parse(key) as [string, string])
  const denied = (data.topology?.Edges ?? []).filter(isDenied).map(({ Source, Destination }) => [Source, Destination] as const)
  const suspects = [...new Map([...failing, ...denied].map(pair => [pairKey(...pair), pair])).values()]
  return (
    <>
      <PageHead title="Why 403 or 503?" lead="Everything that decides a request between two services" />
      <Question key={`${from} ${destination}`} names={names} query={query} />
      {suspects.length > 0 && (
        <section class="panel">
          <h2>Worth asking about now</h2>
          <ul class="chips">
            {suspects.slice(0, 30).map(([source, called]) => (
              <li key={pairKey(source, called)}>
                <a class="chip" href={`${to('diagnose')}?from=${encodeURIComponent(source)}&to=${encodeURIComponent(called)}`}>
                  {source} → {called}
                </a>
              </li>
            ))}
          </ul>
        </section>
      )}
      {from !== '' && destination !== '' && (
        <Answer from={from} destination={destination} method={query.get('method') ?? ''} path={query.get('path') ?? ''} />
      )}
    </>
  )
}

function Question({ names, query }: { readonly names: readonly string[]; readonly query: URLSearchParams }): JSX.Element {
  const [asked, setAsked] = useState({
    from: query.get('from') ?? '',
    to: query.get('to') ?? '',
    method: query.get('method') ?? '',
    path: query.get('path') ?? '',
  })
  const set = (field: keyof typeof asked) => (event: { readonly currentTarget: { readonly value: string } }) =>
    setAsked({ ...asked, [field]: event.currentTarget.value })
  return (
    <form
      class="panel editor"
      onSubmit={event => {
        event.preventDefault()
        go(`${to('diagnose')}?${new URLSearchParams(Object.entries(asked).filter(([, value]) => value !== ''))}`)
      }}
    >
      <datalist id="service-names">
        {names.slice(0, 500).map(name => (
          <option key={name} value={name} />
        ))}
      </datalist>
      <div class="fields">
        <label class="field">
          From
          <input type="text" list="service-names" required value={asked.from} onInput={set('from')} autocomplete="off" />
        </label>
        <label class="field">
          To
          <input type="text" list="service-names" required value={asked.to} onInput={set('to')} autocomplete="off" />
        </label>
        <label class="field narrow">
          Method
          <select value={asked.method} onChange={set('method')}>
            {METHODS.map(method => (
              <option key={method} value={method}>
                {method === '' ? 'any' : method}
              </option>
            ))}
          </select>
        </label>
        <label class="field grow">
          Path
          <input type="text" placeholder="/orders/1" value={asked.path} onInput={set('path')} />
        </label>
        <button type="submit" class="button primary">
          Ask
        </button>
      </div>
    </form>
  )
}

interface Reads {
  readonly explanation: Explanation
  readonly instances: readonly HealthEntry[]
  readonly proxies: readonly ProxyState[]
}

function Answer({
  from,
  destination,
  method,
  path,
}: {
  readonly from: string
  readonly destination: string
  readonly method: string
  readonly path: string
}): JSX.Element {
  const asked = new URLSearchParams({ from, to: destination, ...(method === '' ? {} : { method }), ...(path === '' ? {} : { path }) })
  const { data, errors } = useLive<Reads>(
    {
      explanation: `/v1/outrigger/explain?${asked}`,
      instances: `/v1/health/service/${segment(destination)}`,
      proxies: '/v1/outrigger/proxies',
    },
    { watch: 'instances' },
  )
  const traffic = useTraffic()
  const { explanation, instances, proxies } = data
  if (explanation === undefined || instances === undefined)
    return (
      <>
        <Problem error={errors.explanation ?? errors.instances} />
        {errors.explanation === undefined && errors.instances === undefined && <Loading />}
      </>
    )
  const findings = diagnose({ explanation, instances, proxies, traffic: byPair(traffic?.Edges ?? []).get(pairKey(from, destination)) })
  const status = findings.find(finding => finding.status !== undefined)?.status
  return (
    <section class="panel" aria-label="Answer">
      <h2>
        {from} → {destination}{' '}
        <Badge tone={status === undefined ? 'good' : 'danger'}>
          {status === undefined ? 'a request should arrive' : `a request gets ${status}`}
        </Badge>
      </h2>
      <ol class="findings">
        {findings.map(({ level, title, detail, status: own }) => (
          <li key={title}>
            <Badge tone={TONES[level]}>{level === 'problem' ? (own === undefined ? 'problem' : String(own)) : level}</Badge>
            <div>
              <strong>{title}</strong>
              <p>{detail}</p>
            </div>
          </li>
        ))}
      </ol>
      {explanation.precedence.length > 0 && (
        <>
          <h3>Intentions for {destination}, in order of precedence</h3>
          <ol class="intention-list">
            {explanation.precedence.slice(0, 100).map(({ name, precedence, action, matches, decides }) => (
              <li key={name} class={matches ? '' : 'muted'}>
                <code>{name}</code> <Badge tone={action === 'allow' ? 'good' : action === 'deny' ? 'danger' : 'warning'}>{action}</Badge>
                <span class="muted">precedence {precedence}</span>
                {decides && <Badge tone="accent">decides</Badge>}
              </li>
            ))}
          </ol>
        </>
      )}
      <p class="panel-actions">
        <a class="button" href={intentionLink(destination, from)}>
          Change the intention
        </a>
        <a class="button" href={to('services', destination)}>
          Instances of {destination}
        </a>
        <a class="button" href={to('proxies')}>
          Proxies
        </a>
      </p>
    </section>
  )
}

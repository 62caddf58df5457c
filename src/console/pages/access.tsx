// ACL tokens and policies: who may do what. Tokens are shown by their accessor; the secret of a new one is shown once, when it is made.
import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import type { AclPolicy, AclToken } from '../api/answers.js'
import { type ApiError, ask, segment, send } from '../api/client.js'
import { useLive } from '../api/live.js'
import { plural, span } from '../logic/figures.js'
import { to } from '../navigation.js'
import { Badge } from '../parts/badge.js'
import { Empty, Loading, PageHead, Problem } from '../parts/notice.js'
import { Tags } from '../parts/tags.js'
import { type Column, VirtualTable } from '../parts/virtual-table.js'
import type { PageProps } from './page-props.js'

interface Reads {
  readonly tokens: readonly AclToken[]
  readonly policies: readonly Omit<AclPolicy, 'Rules'>[]
}

const EVERY_MS = 5_000
const ANONYMOUS = '00000000-0000-0000-0000-000000000002'

function grants({ Policies, Roles, ServiceIdentities, NodeIdentities }: AclToken): string[] {
  return [
    ...(Policies ?? []).map(({ Name }) => Name),
    ...(Roles ?? []).map(({ Name }) => `role ${Name}`),
    ...(ServiceIdentities ?? []).map(({ ServiceName }) => `service ${ServiceName}`),
    ...(NodeIdentities ?? []).map(({ NodeName }) => `node ${NodeName}`),
  ]
}

export function Access({ rest: [view, id], server }: PageProps): JSX.Element {
  if (server === undefined) return <Loading />
  if (!server.ACLsEnabled)
    return (
      <>
        <PageHead title="Access" />
        <Empty title="ACLs are off">
          Everyone who reaches this API may do everything. <code>outrigger control --acl</code> turns them on.
        </Empty>
      </>
    )
  if (view === 'policies' && id !== undefined) return <Policy id={id} />
  return <Lists />
}

function Lists(): JSX.Element {
  const { data, errors, refresh } = useLive<Reads>({ tokens: '/v1/acl/tokens', policies: '/v1/acl/policies' }, { everyMs: EVERY_MS })
  const [problem, setProblem] = useState<ApiError>()
  const remove = (accessor: string): void => {
    send('DELETE', `/v1/acl/token/${segment(accessor)}`).then(() => {
      setProblem(undefined)
      refresh()
    }, setProblem)
  }
  const columns: readonly Column<AclToken>[] = [
    {
      title: 'Token',
      width: 1.6,
      sort: ({ Description }) => Description,
      cell: ({ Description, AccessorID }) => <span title={AccessorID}>{Description === '' ? AccessorID : Description}</span>,
    },
    { title: 'May', width: 2, cell: token => <Tags tags={grants(token)} none="nothing of its own" /> },
    {
      title: 'Ends',
      width: 0.8,
      sort: ({ ExpirationTime = '9' }) => ExpirationTime,
      cell: ({ ExpirationTime }) =>
        ExpirationTime === undefined ? <span class="muted">never</span> : `in ${span(Date.parse(ExpirationTime) - Date.now())}`,
    },
    { title: 'Accessor', width: 1.6, isMinor: true, cell: ({ AccessorID }) => <code>{AccessorID}</code> },
    {
      title: 'Actions',
      width: 0.8,
      cell: ({ AccessorID, Description }) =>
        AccessorID === ANONYMOUS ? (
          <span class="muted">–</span>
        ) : (
          <ConfirmButton what={`token ${Description === '' ? AccessorID : Description}`} act={() => remove(AccessorID)} />
        ),
    },
  ]
  return (
    <>
      <PageHead
        title="Access"
        lead={
          data.tokens && data.policies && `${plural(data.tokens.length, 'token')}, ${plural(data.policies.length, 'policy', 'policies')}`
        }
      />
      <Problem error={problem ?? errors.tokens ?? errors.policies} />
      {data.tokens === undefined && errors.tokens === undefined && <Loading />}
      {data.tokens !== undefined && (
        <>
          <h2>Tokens</h2>
          <VirtualTable
            label="Tokens"
            rows={data.tokens}
            columns={columns}
            rowKey={({ AccessorID }) => AccessorID}
            empty={<Empty title="No token may be seen" />}
          />
          <NewToken policies={data.policies ?? []} done={refresh} />
        </>
      )}
      {data.policies !== undefined && (
        <section class="panel">
          <h2>Policies</h2>
          <ul class="chips">
            {data.policies.map(({ ID, Name, Description }) => (
              <li key={ID}>
                <a class="chip" href={to('access', 'policies', ID)} title={Description}>
                  {Name}
                </a>
              </li>
            ))}
          </ul>
        </section>
      )}
    </>
  )
}

function ConfirmButton({ what, act }: { readonly what: string; act(): void }): JSX.Element {
  const [isSure, setSure] = useState(false)
  return (
    <button
      type="button"
      class="button small danger"
      onClick={() => (isSure ? act() : setSure(true))}
      onBlur={() => setSure(false)}
      aria-label={`${isSure ? 'Really delete' : 'Delete'} ${what}`}
    >
      {isSure ? 'Really?' : 'Delete'}
    </button>
  )
}

function NewToken({ policies, done }: { readonly policies: Reads['policies']; done(): void }): JSX.Element {
  const [description, setDescription] = useState('')
  const [chosen, setChosen] = useState<readonly string[]>([])
  const [made, setMade] = useState<{ readonly SecretID: string; readonly AccessorID: string }>()
  const [problem, setProblem] = useState<ApiError>()
  const create = (event: Event): void => {
    event.preventDefault()
    const body = { Description: description, Policies: chosen.map(ID => ({ ID })) }
    send<{ SecretID: string; AccessorID: string }>('PUT', '/v1/acl/token', body).then(({ value }) => {
      setMade(value)
      setProblem(undefined)
      setDescription('')
      setChosen([])
      done()
    }, setProblem)
  }
  return (
    <form class="panel editor" onSubmit={create}>
      <h2>New token</h2>
      <div class="fields">
        <label class="field grow">
          Description
          <input type="text" required value={description} maxLength={256} onInput={event => setDescription(event.currentTarget.value)} />
        </label>
        <fieldset class="checks">
          <legend>Policies</legend>
          {policies.slice(0, 50).map(({ ID, Name }) => (
            <label key={ID}>
              <input
                type="checkbox"
                checked={chosen.includes(ID)}
                onChange={() => setChosen(chosen.includes(ID) ? chosen.filter(one => one !== ID) : [...chosen, ID])}
              />{' '}
              {Name}
            </label>
          ))}
        </fieldset>
        <button type="submit" class="button primary">
          Create
        </button>
      </div>
      <Problem error={problem} />
      {made !== undefined && (
        <div class="notice good" role="status">
          <div>
            <strong>Made. Its secret is shown this once:</strong>
            <p>
              <code>{made.SecretID}</code>
            </p>
            <p class="muted">Accessor {made.AccessorID}</p>
          </div>
        </div>
      )}
    </form>
  )
}

function Policy({ id }: { readonly id: string }): JSX.Element {
  const { data, errors, refresh } = useLive<{ policy: AclPolicy }>({ policy: `/v1/acl/policy/${segment(id)}` }, { everyMs: EVERY_MS * 6 })
  const [edited, setEdited] = useState<string>()
  /** The rules that the editing began with. */
  const [begun, setBegun] = useState<string>()
  const [problem, setProblem] = useState<ApiError>()
  const [said, setSaid] = useState('')
  const { policy } = data
  if (policy === undefined)
    return (
      <>
        <PageHead title="Policy" />
        <Problem error={errors.policy} />
        {errors.policy === undefined && <Loading />}
      </>
    )
  const save = async (event: Event): Promise<void> => {
    event.preventDefault()
    try {
      const { value } = await ask<AclPolicy>(`/v1/acl/policy/${segment(id)}`)
      if (value.Rules !== begun) return setSaid('Somebody else has changed it meanwhile: nothing was written.')
      await send('PUT', `/v1/acl/policy/${segment(id)}`, { ...value, Rules: edited })
      setProblem(undefined)
      setSaid('Saved.')
      setBegun(edited)
      refresh()
    } catch (error) {
      setProblem(error as ApiError)
    }
  }
  return (
    <>
      <PageHead title={policy.Name} lead={policy.Description}>
        <a class="button" href={to('access')}>
          All of access
        </a>
      </PageHead>
      <form class="panel editor" onSubmit={event => void save(event)}>
        <label class="field">
          Rules <Badge tone="neutral">HCL or JSON</Badge>
          <textarea
            class="code"
            rows={16}
            spellcheck={false}
            value={edited ?? policy.Rules}
            onInput={event => {
              if (edited === undefined) setBegun(policy.Rules)
              setEdited(event.currentTarget.value)
            }}
          />
        </label>
        <Problem error={problem} />
        <p class="panel-actions">
          <button type="submit" class="button primary" disabled={edited === undefined || edited === policy.Rules}>
            Save
          </button>
          <span role="status" class="muted">
            {said}
          </span>
        </p>
      </form>
    </>
  )
}

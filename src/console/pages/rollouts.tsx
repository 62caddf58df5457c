// Rollouts: how far each has come, why it stands where it stands, and the hand on it.
import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import type { Rollout } from '../api/answers.js'
import { type ApiError, segment, send } from '../api/client.js'
import { useLive } from '../api/live.js'
import { ago } from '../logic/figures.js'
import { to } from '../navigation.js'
import { Badge, type Tone } from '../parts/badge.js'
import { Empty, Loading, PageHead, Problem } from '../parts/notice.js'

const TONES: Readonly<Record<string, Tone>> = {
  Succeeded: 'good',
  RollingBack: 'danger',
  RolledBack: 'danger',
  Conflicted: 'danger',
  Paused: 'warning',
  Gated: 'warning',
}

/** What may be asked of it, by where it stands. */
function actionsOf({ Phase, Active }: Rollout): readonly string[] {
  if (!Active) return ['start']
  switch (Phase) {
    case 'Gated':
      return ['promote', 'pause', 'abort']
    case 'Paused':
      return ['resume', 'abort']
    case 'Mirroring':
    case 'Stepping':
      return ['pause', 'abort']
    case 'Starting':
      return ['abort']
    default:
      return []
  }
}

export function Rollouts(): JSX.Element {
  const { data, errors, refresh } = useLive<{ rollouts: readonly Rollout[] }>({ rollouts: '/v1/outrigger/rollouts' }, { watch: 'rollouts' })
  const [problem, setProblem] = useState<ApiError>()
  const act = (name: string, action: string): void => {
    send('PUT', `/v1/outrigger/rollout/${segment(name)}/${action}`).then(() => {
      setProblem(undefined)
      refresh()
    }, setProblem)
  }
  return (
    <>
      <PageHead title="Rollouts" lead="A new version takes its share step by step, and goes back by itself when it is not good" />
      <Problem error={problem ?? errors.rollouts} />
      {data.rollouts === undefined && errors.rollouts === undefined && <Loading />}
      {data.rollouts?.length === 0 && (
        <Empty title="No rollout is written">
          <code>outrigger rollout start</code> begins one.
        </Empty>
      )}
      <div class="cards">
        {(data.rollouts ?? []).map(rollout => (
          <section key={rollout.Name} class="panel" aria-label={rollout.Name}>
            <h2>
              {rollout.Name} <Badge tone={TONES[rollout.Phase] ?? 'accent'}>{rollout.Phase}</Badge>
            </h2>
            <p>
              <a href={to('services', rollout.Service)}>{rollout.Service}</a>: {rollout.From} → {rollout.To}
              {rollout.Steps > 0 && `, step ${rollout.Step} of ${rollout.Steps}`}
            </p>
            <span class="share wide">
              <span class="bar" aria-hidden="true">
                <i
                  class={rollout.Phase === 'RolledBack' || rollout.Phase === 'Conflicted' ? 'danger' : 'accent'}
                  style={{ flexGrow: rollout.Weight }}
                />
                <i style={{ flexGrow: 100 - rollout.Weight }} />
              </span>
              {rollout.Weight} % to {rollout.To}
            </span>
            {(rollout.VerdictReason || rollout.Reason) && (
              <p class={TONES[rollout.Phase] === 'danger' ? 'danger-text' : 'muted'}>{rollout.Reason || rollout.VerdictReason}</p>
            )}
            {rollout.Since !== null && <p class="muted">since {ago(rollout.Since, Date.now())}</p>}
            <p class="panel-actions">
              {actionsOf(rollout).map(action => (
                <button
                  key={action}
                  type="button"
                  class={action === 'abort' ? 'button danger' : 'button'}
                  onClick={() => act(rollout.Name, action)}
                >
                  {action}
                  <span class="hidden"> {rollout.Name}</span>
                </button>
              ))}
            </p>
          </section>
        ))}
      </div>
    </>
  )
}

// A state in a word, a colour and a shape: colour alone tells nothing to many eyes.
import type { ComponentChildren, JSX } from 'preact'
import type { Health, ProxyStatus } from '../logic/states.js'
import { Icon, type IconName } from './icon.js'

export type Tone = 'good' | 'warning' | 'danger' | 'neutral' | 'accent'

const ICONS: Readonly<Record<Tone, IconName | undefined>> = {
  good: 'check',
  warning: 'warning',
  danger: 'cross',
  neutral: undefined,
  accent: undefined,
}

export function Badge({ tone, children }: { readonly tone: Tone; readonly children: ComponentChildren }): JSX.Element {
  const icon = ICONS[tone]
  return (
    <span class={`badge ${tone}`}>
      {icon !== undefined && <Icon name={icon} />}
      {children}
    </span>
  )
}

const HEALTH: Readonly<Record<Health, Tone>> = { passing: 'good', warning: 'warning', critical: 'danger' }

export function HealthBadge({ health }: { readonly health: Health }): JSX.Element {
  return <Badge tone={HEALTH[health]}>{health}</Badge>
}

const PROXY: Readonly<Record<ProxyStatus, Tone>> = { accepted: 'good', warming: 'warning', rejected: 'danger', away: 'neutral' }

export function ProxyBadge({ status }: { readonly status: ProxyStatus }): JSX.Element {
  return <Badge tone={PROXY[status]}>{status === 'away' ? 'not connected' : status}</Badge>
}

/** How many of a service's checks are in which state, as a bar and in words. */
export function HealthBar({
  passing,
  warning,
  critical,
}: {
  readonly passing: number
  readonly warning: number
  readonly critical: number
}): JSX.Element {
  const all = passing + warning + critical
  const words = [
    [critical, 'critical'],
    [warning, 'warning'],
    [passing, 'passing'],
  ]
    .filter(([n]) => n !== 0)
    .map(([n, name]) => `${n} ${name}`)
    .join(', ')
  if (all === 0) return <span class="muted">no checks</span>
  return (
    <span class="health-bar" title={words}>
      <span class="bar" aria-hidden="true">
        <i class="good" style={{ flexGrow: passing }} />
        <i class="warning" style={{ flexGrow: warning }} />
        <i class="danger" style={{ flexGrow: critical }} />
      </span>
      <span class={critical > 0 ? 'danger-text' : warning > 0 ? 'warning-text' : ''}>{words}</span>
    </span>
  )
}

// What stands where something cannot be shown: the server's own words, and what to do about them.
import type { ComponentChildren, JSX } from 'preact'
import type { ApiError } from '../api/client.js'
import { Icon } from './icon.js'

export function openLogin(): void {
  window.dispatchEvent(new Event('outrigger-login'))
}

/** Nothing where there is no error. */
export function Problem({ error }: { readonly error: ApiError | undefined }): JSX.Element | null {
  if (error === undefined) return null
  const isDenied = error.status === 401 || error.status === 403
  return (
    <div class={isDenied ? 'notice warning' : 'notice danger'} role="alert">
      <Icon name={isDenied ? 'lock' : 'warning'} />
      <div>
        <strong>{isDenied ? 'This token may not see it' : error.status === 0 ? 'No answer' : 'It did not work'}</strong>
        <p>{error.message}</p>
        {isDenied && (
          <button type="button" class="button small" onClick={openLogin}>
            Use another token
          </button>
        )}
      </div>
    </div>
  )
}

export function Empty({ title, children }: { readonly title: string; readonly children?: ComponentChildren }): JSX.Element {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children !== undefined && <p>{children}</p>}
    </div>
  )
}

export function Loading(): JSX.Element {
  return (
    <p class="loading" role="status">
      Loading …
    </p>
  )
}

export function PageHead({
  title,
  lead,
  children,
}: {
  readonly title: ComponentChildren
  readonly lead?: ComponentChildren
  readonly children?: ComponentChildren
}): JSX.Element {
  return (
    <header class="page-head">
      <div>
        <h1>{title}</h1>
        {lead !== undefined && <p class="lead">{lead}</p>}
      </div>
      {children !== undefined && <div class="page-actions">{children}</div>}
    </header>
  )
}

export function Search({
  value,
  change,
  label,
}: {
  readonly value: string
  change(value: string): void
  readonly label: string
}): JSX.Element {
  return (
    <label class="search">
      <Icon name="search" />
      <input type="search" aria-label={label} placeholder={label} value={value} onInput={event => change(event.currentTarget.value)} />
    </label>
  )
}

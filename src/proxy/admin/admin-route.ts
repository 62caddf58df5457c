// One path of the admin API: what it does, its parameters, its handler; and the text of /help. The routes stand in admin-routes.ts,
// AdminServer dispatches to them, admin-page.ts makes a form of each.

import type { AdminResponse } from './admin-answer.js'

export interface AdminParameter {
  readonly name: string
  readonly help: string
  /** A text, a flag (there or not), or one of some values. */
  readonly kind: 'text' | 'flag' | readonly string[]
}

export interface AdminRequest {
  /** Without its query. */
  readonly path: string
  readonly query: URLSearchParams
  readonly accept: string
  readonly response: AdminResponse
}

export type AdminHandler = (request: AdminRequest) => void

export interface AdminRoute {
  readonly path: string
  readonly help: string
  /** Changes something: refused by other methods than POST. */
  readonly post: boolean
  readonly parameters: readonly AdminParameter[]
  readonly handle: AdminHandler
}

/** The commands of /help and of a path that is none, in Envoy's form. */
export function helpText(routes: Iterable<AdminRoute>): string {
  return [...routes]
    .map(({ path, help, post, parameters }) => `  ${path}${post ? ' (POST)' : ''}: ${help}\n${parameters.map(parameterText).join('')}`)
    .join('')
}

function parameterText({ name, help, kind }: AdminParameter): string {
  return `      ${name}: ${help}${typeof kind === 'string' ? '' : `; One of (${kind.join(', ')})`}\n`
}

// What a page is told by the address and by the server. Made by app.tsx.
import type { ServerInfo } from '../api/answers.js'

export interface PageProps {
  /** The steps of the path after the page's own. */
  readonly rest: readonly string[]
  readonly query: URLSearchParams
  readonly server: ServerInfo | undefined
}

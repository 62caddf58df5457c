// Tells once when files below some paths have changed, after they have been quiet for a moment: editors write in several steps. Used by dev.ts.
import { type FSWatcher, watch } from 'node:fs'

const SETTLE_MS = 150
const IGNORED = /(?:^|[/\\])(?:node_modules|\.git)(?:[/\\]|$)/

/** Returns the way out. `onProblem`: a path that cannot be watched. */
export function watchFiles(paths: readonly string[], onChange: () => void, onProblem: (reason: string) => void): () => void {
  const watchers: FSWatcher[] = []
  let timer: NodeJS.Timeout | undefined
  const changed = (_event: string, name: string | Buffer | null): void => {
    if (name !== null && IGNORED.test(String(name))) return
    clearTimeout(timer)
    timer = setTimeout(onChange, SETTLE_MS)
  }
  for (const path of paths) {
    try {
      const watcher = watch(path, { recursive: true }, changed)
      watcher.on('error', error => onProblem(`${path}: ${error.message}`))
      watchers.push(watcher)
    } catch (error) {
      onProblem(`${path} is not watched: ${(error as Error).message}`)
    }
  }
  return () => {
    clearTimeout(timer)
    for (const watcher of watchers) watcher.close()
  }
}

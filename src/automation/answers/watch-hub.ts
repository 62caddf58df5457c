// All that the tasks ask of the catalog: one blocking watch for each path, shared by all that ask it, ended when nobody does any more.
// Asked by task-runner.ts for answers, told by it what a task has asked. Invariant: the number of watches, and of first reads at one time, is
// bounded; what goes over the bound is a problem of the task that asked last, and of no other.
import type { Clock } from '../../io/clock.js'
import { Places } from '../places.js'
import { SECRET_PREFIX, type TemplateAnswers } from '../template/catalog-functions.js'
import { BlockingWatch } from './blocking-watch.js'
import type { ConsulApi } from './consul-reads.js'
import type { SecretReads } from './secret-reads.js'
import { TimedRead, type Watch } from './timed-read.js'

export const MAX_WATCHES = 1_000
const MAX_FIRST_READS = 16

export interface WatchOwner {
  /** Something that it asked has another answer, or has a problem. */
  onChange(): void
}

/** What one evaluation has asked, and what it got. */
export interface AskedAnswers extends TemplateAnswers {
  readonly asked: ReadonlySet<string>
  /** Paths without an answer yet, or with too little of one. */
  readonly missing: ReadonlySet<string>
}

export class WatchHub {
  private readonly watches = new Map<string, Watch>()
  private readonly owned = new Map<WatchOwner, ReadonlySet<string>>()
  private readonly firstReads = new Places(MAX_FIRST_READS)

  constructor(
    private readonly api: ConsulApi,
    private readonly clock: Clock,
    private readonly random: () => number,
    private readonly secrets: SecretReads,
  ) {}

  /** For one evaluation. */
  answers(): AskedAnswers {
    const asked = new Set<string>()
    const missing = new Set<string>()
    return {
      asked,
      missing,
      answer: path => {
        asked.add(path)
        const value = this.watches.get(path)?.value
        if (value === undefined) missing.add(path)
        return value
      },
      wants: path => void missing.add(path),
    }
  }

  /** What `owner` asks from now on; what nobody asks any more ends. Returns why some of it cannot be had. */
  hold(owner: WatchOwner, paths: ReadonlySet<string>): string {
    if (paths.size === 0) this.owned.delete(owner)
    else this.owned.set(owner, paths)
    const held = new Set([...this.owned.values()].flatMap(each => [...each]))
    for (const [path, watch] of this.watches) {
      if (held.has(path)) continue
      watch.stop()
      this.watches.delete(path)
    }
    let problem = ''
    for (const path of paths) {
      if (this.watches.has(path)) continue
      if (this.watches.size >= MAX_WATCHES) problem = `more than ${MAX_WATCHES} paths are watched: ${path} is not`
      else this.watches.set(path, this.start(path))
    }
    return problem
  }

  /** Of the paths of `owner`, those that cannot be read. */
  problems(owner: WatchOwner): readonly string[] {
    return [...(this.owned.get(owner) ?? [])].flatMap(path => {
      const problem = this.watches.get(path)?.problem ?? ''
      return problem === '' ? [] : [`${path}: ${problem}`]
    })
  }

  stop(): void {
    for (const watch of this.watches.values()) watch.stop()
    this.watches.clear()
    this.owned.clear()
  }

  private start(path: string): Watch {
    const { clock, random } = this
    const onChange = (): void => {
      for (const [owner, paths] of this.owned) if (paths.has(path)) owner.onChange()
    }
    if (path.startsWith(SECRET_PREFIX))
      return new TimedRead({ clock, random, onChange, read: () => this.secrets.read(path.slice(SECRET_PREFIX.length)) })
    return new BlockingWatch(path, {
      api: this.api,
      clock,
      random,
      turn: read => this.firstReads.run(read),
      onChange,
    })
  }
}

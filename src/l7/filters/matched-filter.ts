// A filter behind a matcher: which filters it is for a request is what the tree finds in it, when its turn in the chain comes. Made by
// compile-filters as one factory for each filter of the longest action, so that several of an action stand in the chain like any others.
// Invariant: the tree is asked once for a request, by the first of these factories; the others follow what it found.

import type { Counter } from '../../metrics/stat.js'
import type { FilterMatchAction } from '../../model/http-filter.js'
import type { MatchTree } from '../../model/match-tree.js'
import { compileMatchTree } from '../match/match-tree.js'
import { compileRuntimeFraction, type FractionTest } from '../match/runtime-fraction.js'
import { RBAC_READER } from '../rbac/matcher-rbac.js'
import type { RbacInput } from '../rbac/rbac-input.js'
import type { FilterContext } from './filter-environment.js'
import type { FilterCall, FilterFactory, StreamFilter } from './http-filter.js'

type Decide = (subject: RbacInput) => FilterMatchAction | null

/** What an action runs, compiled. */
interface RunAction {
  readonly action: FilterMatchAction
  readonly filters: readonly FilterFactory[]
}

const NO_FILTERS: readonly FilterFactory[] = []

/**
 * `whenUnmatched`: what runs where the tree finds nothing; of a composite nothing. `runs`: what each of the tree's actions runs.
 * At least one factory, since a route may enable what is disabled here.
 */
export function matchedFilters(
  name: string,
  disabled: boolean,
  tree: MatchTree<FilterMatchAction> | null,
  whenUnmatched: readonly FilterFactory[],
  runs: readonly RunAction[],
  ctx: FilterContext,
): FilterFactory[] {
  const choice = new FilterChoice(name, tree, whenUnmatched, runs, ctx)
  const longest = Math.max(1, whenUnmatched.length, ...runs.map(({ filters }) => filters.length))
  return Array.from({ length: longest }, (_, place) => new MatchedFilterPlace(name, disabled, choice, place))
}

class FilterChoice {
  private readonly name: string
  private readonly decide: Decide | null
  readonly whenUnmatched: readonly FilterFactory[]
  private readonly byAction: ReadonlyMap<
    FilterMatchAction,
    { readonly filters: readonly FilterFactory[]; readonly sample: FractionTest | null }
  >
  private readonly random: () => number
  /** Trees of routes, compiled when a request first meets them. */
  private readonly ofRoutes = new WeakMap<MatchTree<FilterMatchAction>, Decide>()
  /** Of composites: actions that came to filters. */
  private readonly delegated: Counter | null
  /** Of requests whose action has more than one filter. */
  private readonly chosen = new WeakMap<FilterCall, readonly FilterFactory[]>()

  constructor(
    name: string,
    tree: MatchTree<FilterMatchAction> | null,
    whenUnmatched: readonly FilterFactory[],
    runs: readonly RunAction[],
    ctx: FilterContext,
  ) {
    const { runtime, random } = ctx
    this.name = name
    this.decide = tree === null ? null : compileMatchTree(tree, RBAC_READER)
    this.whenUnmatched = whenUnmatched
    this.random = random
    const counters =
      whenUnmatched.length > 0 ? null : ctx.httpCounters('composite', ['filter_delegation_success', 'filter_delegation_error'])
    this.delegated = counters?.filter_delegation_success ?? null
    this.byAction = new Map(
      runs.map(({ action, filters }) => [
        action,
        { filters, sample: action.kind === 'run' ? compileRuntimeFraction(action.sample, runtime) : null },
      ]),
    )
  }

  /** HOT: once a request that passes here. */
  choose(call: FilterCall): readonly FilterFactory[] {
    const decide = this.ofRoute(call) ?? this.decide
    const action = decide === null ? null : decide({ connection: call.info.connection, head: call.request, info: call.info })
    const filters = this.filtersOf(action)
    if (action !== null && filters.length > 0 && this.delegated !== null && call.imagined !== true) this.delegated.value++
    if (filters.length > 1) this.chosen.set(call, filters)
    return filters
  }

  chosenFor(call: FilterCall): readonly FilterFactory[] {
    return this.chosen.get(call) ?? NO_FILTERS
  }

  private filtersOf(action: FilterMatchAction | null): readonly FilterFactory[] {
    if (action === null) return this.whenUnmatched
    const run = this.byAction.get(action)
    if (run === undefined) return NO_FILTERS
    return run.sample === null || run.sample(this.random()) ? run.filters : NO_FILTERS
  }

  private ofRoute(call: FilterCall): Decide | null {
    const override = call.overrideFor(this.name)
    if (override?.kind !== 'matched' || override.tree === null) return null
    let decide = this.ofRoutes.get(override.tree)
    if (decide === undefined) this.ofRoutes.set(override.tree, (decide = compileMatchTree(override.tree, RBAC_READER)))
    return decide
  }
}

class MatchedFilterPlace implements FilterFactory {
  readonly name: string
  readonly disabled: boolean
  private readonly choice: FilterChoice
  private readonly place: number

  constructor(name: string, disabled: boolean, choice: FilterChoice, place: number) {
    this.name = name
    this.disabled = disabled
    this.choice = choice
    this.place = place
  }

  /** Of an answer by a filter before it. A composite, which has no filter unless its tree finds one, sees none of them, as in Envoy. */
  get seesLocalReplies(): boolean {
    return this.choice.whenUnmatched[this.place]?.seesLocalReplies === true
  }

  create(call: FilterCall): StreamFilter | null {
    const filters = this.place === 0 ? this.choice.choose(call) : this.choice.chosenFor(call)
    return filters[this.place]?.create(call) ?? null
  }
}

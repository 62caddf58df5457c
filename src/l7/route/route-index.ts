// Which of many routes of a virtual host may match a path: a radix tree over the literal paths and prefixes of its routes, since asking a thousand
// of them in turn costs more than the rest of a request. Filled by the route table while it compiles, asked once or a few times a request.
// Invariant: the answer is that of asking all in order. The tree only leaves out whom the path's first bytes rule out; those who are left
// are asked all their conditions, and whatever is no literal (a regex, CONNECT, any case) is asked always.

import type { RequestHead } from '../codec/codec.js'
import type { CompiledRouteMatch } from '../match/route-match.js'
import type { StreamInfo } from '../stream/stream-info.js'

/** With fewer routes than this asking all of them is as quick. */
export const INDEXED_FROM = 16

interface IndexedRoute {
  readonly match: CompiledRouteMatch
}

class Branch {
  /** Of the routes whose literal ends here, rising. */
  readonly positions: number[] = []
  private children: Map<number, Branch> | null = null

  /** `label`: what it adds to the literal of its parent. */
  constructor(private label: string) {}

  /** The child whose label `text` goes on with from `at`; null: there is none. HOT. */
  next(text: string, at: number): Branch | null {
    if (this.children === null || at === text.length) return null
    const child = this.children.get(text.charCodeAt(at))
    return child !== undefined && text.startsWith(child.label, at) ? child : null
  }

  get labelLength(): number {
    return this.label.length
  }

  /** The child on the way to `literal`, of which this branch has the first `at` bytes; made where there is none. */
  grow(literal: string, at: number): Branch {
    this.children ??= new Map()
    const first = literal.charCodeAt(at)
    const child = this.children.get(first)
    if (child === undefined) {
      const leaf = new Branch(literal.slice(at))
      this.children.set(first, leaf)
      return leaf
    }
    const { label } = child
    let shared = 1
    while (shared < label.length && label.charCodeAt(shared) === literal.charCodeAt(at + shared)) shared++
    if (shared === label.length) return child
    const between = new Branch(label.slice(0, shared))
    child.label = label.slice(shared)
    between.children = new Map([[label.charCodeAt(shared), child]])
    this.children.set(first, between)
    return between
  }
}

export class RouteIndex {
  private readonly root = new Branch('')
  /** Of those without a literal. */
  private readonly others: number[] = []
  private readonly routes: IndexedRoute[] = []

  /** In the order of the config. */
  add(route: IndexedRoute): void {
    const { literal } = route.match
    const positions = literal === null ? this.others : this.branchOf(literal).positions
    positions.push(this.routes.length)
    this.routes.push(route)
  }

  private branchOf(literal: string): Branch {
    let branch = this.root
    for (let at = 0; at < literal.length; at += branch.labelLength) branch = branch.grow(literal, at)
    return branch
  }

  /** HOT. The position of the first route that matches; -1: none does. */
  find(head: RequestHead, path: string, info: StreamInfo, random: number): number {
    const none = this.routes.length
    let found = none
    let at = 0
    for (let branch: Branch | null = this.root; branch !== null; branch = branch.next(path, at)) {
      at += branch.labelLength
      found = this.first(branch.positions, found, head, path, info, random)
    }
    found = this.first(this.others, found, head, path, info, random)
    return found === none ? -1 : found
  }

  /** The first of `positions` that matches and stands before `found`, else `found`. */
  private first(positions: readonly number[], found: number, head: RequestHead, path: string, info: StreamInfo, random: number): number {
    for (let i = 0; i < positions.length; i++) {
      const position = positions[i]!
      if (position >= found) return found
      if (this.routes[position]!.match.missed(head, path, info, random) === null) return position
    }
    return found
  }
}

// Which series a PromQL expression reads, and whether a page of Prometheus' text format has them: what the tests of dashboards and alert
// rules ask. Only selectors of our metrics are looked at; `$variables` of a dashboard stand for anything.

export interface Selector {
  readonly text: string
  readonly name: string
  readonly matchers: readonly { readonly label: string; readonly holds: (value: string) => boolean }[]
}

const SELECTOR = /\b((?:envoy|outrigger|consul)_[a-zA-Z0-9_]*)(\{[^}]*\})?/g
const MATCHER = /(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"/g

export function selectorsOf(expression: string): Selector[] {
  // Labels that results are grouped by look like metrics.
  const readable = expression.replace(/\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, '')
  return [...readable.matchAll(SELECTOR)].map(([text, name, labels = '']) => ({
    text,
    name: name!,
    matchers: [...labels.matchAll(MATCHER)].map(([, label, operator, value]) => ({ label: label!, holds: comparison(operator!, value!) })),
  }))
}

function comparison(operator: string, given: string): (value: string) => boolean {
  if (given.startsWith('$')) return () => true
  if (operator === '=') return value => value === given
  if (operator === '!=') return value => value !== given
  const pattern = new RegExp(`^(?:${given})$`)
  return operator === '=~' ? value => pattern.test(value) : value => !pattern.test(value)
}

export function hasSeries(page: string, { name, matchers }: Selector): boolean {
  return page.split('\n').some(line => {
    if (!line.startsWith(name) || !/^[ {]/.test(line.slice(name.length))) return false
    const labels = new Map([...line.matchAll(/(\w+)="([^"]*)"/g)].map(([, label, value]) => [label!, value!]))
    return matchers.every(({ label, holds }) => holds(labels.get(label) ?? ''))
  })
}

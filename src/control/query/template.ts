// The variables of a prepared query's template: `${name.full}`, `${name.prefix}`, `${name.suffix}`, `${match(N)}`, `${agent.segment}`.
// Pure; used by `prepared-query.ts`. `$${` is a dollar sign and a brace.
import { RE2JS } from 're2js'

const VARIABLE = /\$\$\{|\$\{([^}]*)\}/g
const MATCH = /^match\(\s*(\d{1,2})\s*\)$/

/** Throws for what is no variable. */
export function interpolate(text: string, name: string, prefix: string, regexp: string): string {
  if (!text.includes('${')) return text
  return text.replace(VARIABLE, (whole, expression: string | undefined) => {
    if (expression === undefined) return '${'
    const variable = expression.trim()
    switch (variable) {
      case 'name.full':
        return name
      case 'name.prefix':
        return prefix
      case 'name.suffix':
        return name.startsWith(prefix) ? name.slice(prefix.length) : ''
      case 'agent.segment':
        return ''
    }
    const group = MATCH.exec(variable)?.[1]
    if (group === undefined) throw new Error(`unknown variable in template: ${whole}`)
    return matched(name, regexp, Number(group))
  })
}

function matched(name: string, regexp: string, group: number): string {
  if (regexp === '') return ''
  const matcher = RE2JS.compile(regexp).matcher(name)
  return matcher.find() && group <= matcher.groupCount() ? (matcher.group(group) ?? '') : ''
}

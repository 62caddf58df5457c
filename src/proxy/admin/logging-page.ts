// POST /logging: Envoy's four ways to change the levels of its loggers, and its answers. Called by AdminServer.

import type { AdminLogging } from './admin-options.js'

export const LOGGING_USAGE = `usage: /logging?<name>=<level> (change single level)
usage: /logging?paths=name1:level1,name2:level2,... (change multiple levels)
usage: /logging?level=<level> (change all levels)
usage: /logging?group=<group_name>:<level> (change group of loggers)
levels: trace debug info warning error critical off 
`

export function activeLoggers(logging: AdminLogging): string {
  return `active loggers:\n${[...logging.levels()].map(([name, level]) => `  ${name}: ${level}\n`).join('')}\n`
}

/** Changes what the query asks for, all or nothing; why nothing, in Envoy's words. Without a parameter nothing is asked for. */
export function changeLogLevels(query: URLSearchParams, logging: AdminLogging): string | null {
  if (query.size === 0) return null
  if (query.size > 1) return 'invalid number of parameters'
  const [[key, value]] = [...query] as [[string, string]]
  switch (key) {
    case 'level':
      return value === '' ? null : logging.setLevels([...logging.levels().keys()].map(name => [name, value]))
    case 'paths':
    case 'group': {
      const changes: [string, string][] = []
      for (const entry of value.split(',')) {
        const [name, level, more] = entry.split(':')
        if (level === undefined || more !== undefined) return 'invalid logger name and level'
        changes.push([name!, level])
      }
      return logging.setLevels(changes)
    }
    default:
      return logging.setLevels([[key, value]])
  }
}

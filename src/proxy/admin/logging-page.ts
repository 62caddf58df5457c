// POST /logging: Envoy's ways to change the levels of its loggers, and its answers. Called by the routes.

import type { AdminLogging } from './admin-options.js'

export function loggingUsage(logging: AdminLogging): string {
  return `usage: /logging?<name>=<level> (change single level)
usage: /logging?paths=name1:level1,name2:level2,... (change multiple levels)
usage: /logging?level=<level> (change all levels)
usage: /logging?group=<group_name>:<level> (change group of loggers)
levels: ${logging.levelNames.join(' ')} 
`
}

export function activeLoggers(logging: AdminLogging): string {
  return `active loggers:\n${[...logging.levels()].map(([name, level]) => `  ${name}: ${level}\n`).join('')}\n`
}

/** Changes what the query asks for, all or nothing; why nothing, in Envoy's words. Without a parameter, or a value, nothing is asked for. */
export function changeLogLevels(query: URLSearchParams, logging: AdminLogging): string | null {
  if (query.size === 0) return null
  if (new Set(query.keys()).size > 1) return 'invalid number of parameters'
  const [[key, value]] = [...query] as [[string, string]]
  if (value === '') return null
  // Of Envoy's other logger, which has one for each source file.
  if (key === 'group') return 'group parameter requires fine-grain logging to be enabled'
  if (key === 'level') return logging.setLevels([...logging.levels().keys()].map(name => [name, value]))
  if (key !== 'paths') return logging.setLevels([[key, value]])
  const changes: [string, string][] = []
  for (const entry of value.split(',').filter(entry => entry !== '')) {
    const colon = entry.indexOf(':')
    if (colon <= 0 || colon === entry.length - 1) return 'empty logger name or empty logger level'
    changes.push([entry.slice(0, colon), entry.slice(colon + 1)])
  }
  return logging.setLevels(changes)
}

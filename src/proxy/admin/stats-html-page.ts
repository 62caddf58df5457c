// /stats?format=html and active-html: the stats for people, with a form that asks again on each change. The first is the text form in a
// page; the second asks for JSON every few seconds and shows what changed most often on top. Called by the stats route.

import { statsText } from '../../metrics/stats-page.js'
import type { StatsQuery } from '../../metrics/stats-query.js'
import type { StatsStore } from '../../metrics/stats-store.js'
import { escapeHtml, page, parameterRows } from './admin-page.js'
import type { AdminParameter } from './admin-route.js'

export function statsPage(store: StatsStore, query: StatsQuery, parameters: readonly AdminParameter[], values: URLSearchParams): string {
  const text = [...statsText(store, query)].map(escapeHtml).join('')
  return page('Outrigger stats', `${form(parameters, values, 'this.form.submit()')}\n<pre>\n${text}</pre>`)
}

const SHOWN = 50
const UPDATE_SECONDS = 5

/** Counts, for each stat, how many updates changed it; those lead the table. */
const SCRIPT = `
const table = document.getElementById('stats-table')
const state = document.getElementById('state')
const known = new Map()
async function update() {
  const query = new URLSearchParams(new FormData(document.getElementById('stats')))
  const limit = Number(document.getElementById('stats-max-display-count').value) || ${SHOWN}
  query.delete('max-display-count')
  query.delete('update-interval')
  query.set('format', 'json')
  try {
    const answer = await fetch('stats?' + query.toString().replaceAll('+', '%20'))
    if (!answer.ok) throw new Error(await answer.text())
    const names = new Set()
    for (const { name, value } of (await answer.json()).stats) {
      if (name === undefined) continue
      names.add(name)
      const before = known.get(name)
      if (before === undefined) known.set(name, { name, value, changes: 0 })
      else if (before.value !== value) Object.assign(before, { value, changes: before.changes + 1 })
    }
    const rows = [...known.values()].filter(({ name }) => names.has(name))
    rows.sort((a, b) => b.changes - a.changes || (a.name < b.name ? -1 : 1))
    table.replaceChildren(...rows.slice(0, limit).map(({ name, value, changes }) => {
      const row = document.createElement('tr')
      for (const text of [name, value, changes]) row.appendChild(document.createElement('td')).textContent = text
      return row
    }))
    state.textContent = rows.length + ' stats at ' + new Date().toLocaleTimeString()
  } catch (error) {
    state.textContent = error.message
  }
  setTimeout(update, 1000 * (Number(document.getElementById('stats-update-interval').value) || ${UPDATE_SECONDS}))
}
update()
`

export function activeStatsPage(parameters: readonly AdminParameter[], values: URLSearchParams): string {
  const asked = parameters.filter(({ name }) => name !== 'format' && name !== 'histogram_buckets')
  const own: AdminParameter[] = [
    { name: 'max-display-count', help: 'Maximum number of stats to display', kind: 'text' },
    { name: 'update-interval', help: 'Number of seconds between each update', kind: 'text' },
  ]
  const shown = new URLSearchParams([...values, ['max-display-count', String(SHOWN)], ['update-interval', String(UPDATE_SECONDS)]])
  return page(
    'Outrigger stats',
    `${form([...asked, ...own], shown, '')}
<p id="state"></p>
<table><thead><tr><th>Name</th><th>Value</th><th>Changes</th></tr></thead><tbody id="stats-table"></tbody></table>
<script>${SCRIPT}</script>`,
  )
}

function form(parameters: readonly AdminParameter[], values: URLSearchParams, onChange: string): string {
  return `<h1>Stats <small><a href=".">admin</a></small></h1>
<form action="stats" method="get" id="stats"></form>
<table><tbody>
${parameterRows('stats', parameters, values, onChange)}</tbody></table>`
}

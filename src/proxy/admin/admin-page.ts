// HTML of the admin, for people: the index at `/`, a form for each command, and the frame that other pages stand in. Made of the route table,
// so that a command cannot be missing. Pure: text in, text out; everything that is not ours is escaped.

import type { AdminParameter, AdminRoute } from './admin-route.js'

const STYLE = `
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif }
body { max-width: 76rem; margin: 1.5rem auto; padding: 0 1rem }
h1 { font-size: 1.25rem } h1 small { font-weight: normal; opacity: .7 }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; vertical-align: top; padding: .3rem .6rem; border-top: 1px solid #8884 }
tr.parameter td { border: 0; padding-top: 0 } tr.parameter td:first-child { text-align: right }
form { margin: 0 } td:first-child { white-space: nowrap }
button.link { all: unset; cursor: pointer; color: LinkText; text-decoration: underline }
pre { overflow-x: auto }
`

export function page(title: string, body: string): string {
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>${escapeHtml(title)}</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>
</head>
<body>
${body}
</body>
</html>
`
}

/** Every command with its parameters: what only shows is a link, what changes something a button. */
export function homePage(routes: Iterable<AdminRoute>, state: string, version: string): string {
  const rows = [...routes].filter(({ path }) => path !== '/').map(routeRows)
  return page(
    'Outrigger admin',
    `<h1>Outrigger admin <small>${escapeHtml(state)}, ${escapeHtml(version)}</small></h1>
<table>
<thead><tr><th>Command</th><th>Description</th></tr></thead>
<tbody>
${rows.join('')}</tbody>
</table>`,
  )
}

function routeRows({ path, help, post, parameters }: AdminRoute): string {
  // Relative, so that the page also works behind a path of a reverse proxy.
  const name = path.slice(1)
  const shown = escapeHtml(name)
  const button = post ? `<button>${shown}</button>` : `<button class="link">${shown}</button>`
  const command =
    post || parameters.length > 0
      ? `<form action="${shown}" method="${post ? 'post' : 'get'}" id="${shown}">${button}</form>`
      : `<a href="${shown}">${shown}</a>`
  return `<tr><td>${command}</td><td>${escapeHtml(help)}</td></tr>\n${parameterRows(name, parameters, new URLSearchParams(), '')}`
}

/** One row for each parameter of the form `form`, showing what `values` has; `onChange`: script of each field. */
export function parameterRows(form: string, parameters: readonly AdminParameter[], values: URLSearchParams, onChange: string): string {
  return parameters.map(parameter => parameterRow(form, parameter, values, onChange)).join('')
}

function parameterRow(form: string, { name, help, kind }: AdminParameter, values: URLSearchParams, onChange: string): string {
  const id = escapeHtml(`${form}-${name}`)
  const script = onChange === '' ? '' : ` onchange="${escapeHtml(onChange)}"`
  const common = `name="${escapeHtml(name)}" id="${id}" form="${escapeHtml(form)}"${script}`
  const value = values.get(name)
  let field: string
  if (kind === 'flag') field = `<input type="checkbox" ${common}${value === null ? '' : ' checked'}>`
  else if (kind === 'text') field = `<input type="text" ${common} value="${escapeHtml(value ?? '')}">`
  else {
    const options = kind.map(
      option =>
        `<option value="${escapeHtml(option)}"${option === value ? ' selected' : ''}>${option === '' ? '(none)' : escapeHtml(option)}</option>`,
    )
    field = `<select ${common}>${options.join('')}</select>`
  }
  return `<tr class="parameter"><td>${field}</td><td><label for="${id}">${escapeHtml(help)}</label></td></tr>\n`
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, char => ENTITIES[char]!)
}

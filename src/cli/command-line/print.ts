// How answers are printed, as Consul's commands print them: tables, fields under one another, JSON. Used by every file of commands/.
import { CliError, type CommandIo } from './command-io.js'
import { visibleLine } from './visible.js'

/** Columns padded to their widest cell, two spaces between them; no rows, only the head. A cell is one line, whatever it holds. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return formatRows([head, ...rows.map(row => row.map(visibleLine))])
}

export function formatRows(rows: readonly (readonly string[])[]): string {
  const columns = rows.reduce((most, row) => Math.max(most, row.length), 0)
  const widths = Array.from({ length: columns }, (_, column) => rows.reduce((width, row) => Math.max(width, (row[column] ?? '').length), 0))
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd()
  return rows.map(row => `${line(row)}\n`).join('')
}

/** `Name:   value` lines, the values under one another, from `column` on where that is given; pairs with undefined are left out. */
export function formatFields(fields: readonly (readonly [string, string | undefined])[], column = 0): string {
  const given = fields.filter((field): field is readonly [string, string] => field[1] !== undefined)
  const width = Math.max(column, ...given.map(([name]) => name.length + 3))
  return given.map(([name, value]) => `${`${name}:`.padEnd(width)}${value}\n`.replace(/ +\n$/, '\n')).join('')
}

/** Indented as Consul does. */
export function formatJson(value: unknown): string {
  return `${JSON.stringify(value, null, 4)}\n`
}

/** `-format`: JSON, or what `pretty` makes. */
export function printAs(format: string | undefined, value: unknown, pretty: () => string, io: CommandIo): void {
  if (format !== undefined && format !== 'pretty' && format !== 'json') throw new CliError(`--format "${format}": must be pretty or json`)
  io.out(format === 'json' ? formatJson(value) : pretty())
}

/** What a command did: a line, or with --json an object. */
export function printDone(json: boolean | undefined, value: object, line: string, io: CommandIo): void {
  io.out(json === true ? formatJson(value) : `${line}\n`)
}

export const FORMAT_OPTION = ['--format <format>', 'pretty or json (default: pretty)'] as const

export const JSON_OPTION = ['--json', 'print JSON'] as const

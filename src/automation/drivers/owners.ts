// Users and groups by their names, from the system's files, or by their numbers. Called by template-driver.ts.
import { readFileSync } from 'node:fs'

export function lookUpUser(name: string): number {
  return lookUp(name, '/etc/passwd', 'user')
}

export function lookUpGroup(name: string): number {
  return lookUp(name, '/etc/group', 'group')
}

function lookUp(name: string, file: string, what: string): number {
  if (/^\d+$/.test(name)) return Number(name)
  const id = readFileSync(file, 'utf8')
    .split('\n')
    .map(line => line.split(':'))
    .find(([known]) => known === name)?.[2]
  if (id === undefined) throw new Error(`no such ${what}: ${name}`)
  return Number(id)
}

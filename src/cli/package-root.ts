// Where the package is installed: the folder of its package.json, seen from a bundle or from single files alike. Used by the demo, which starts
// the executables of bin/ as a user would.
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder)
  return folder
}

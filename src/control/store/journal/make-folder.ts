// Makes a folder and those above it. Called by JournalStore. Not by `mkdir` with `recursive`, which never ends where a file system takes no
// folders and says ENOENT for it (Node 20 under /proc).
import { mkdir, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'

const OWNER_ONLY = 0o700

export async function makeFolder(path: string): Promise<void> {
  const missing: string[] = []
  for (let at = resolve(path); !(await isThere(at)); at = dirname(at)) missing.unshift(at)
  for (const folder of missing) {
    await mkdir(folder, { mode: OWNER_ONLY }).catch((error: NodeJS.ErrnoException) => {
      // Another process may have made it meanwhile.
      if (error.code !== 'EEXIST')
        throw new Error(`cannot be made: ${error.code === 'ENOENT' ? `${folder}: no folders there` : error.message}`)
    })
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}

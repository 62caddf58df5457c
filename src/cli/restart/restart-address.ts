// Where the processes of one base id find each other: a socket of the file system for each epoch, named by --socket-path, --base-id and
// --restart-epoch. Used by hot-restart.ts. Invariant: without --socket-path the folder belongs to this user alone, so nobody else can be
// given our listening sockets.

import { lstatSync, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const PRIVATE_MODE = 0o700

/** The prefix of all paths; throws where the folder cannot be had. */
export function socketPrefix(socketPath: string): string {
  if (socketPath.startsWith('@')) return `\0${socketPath.slice(1)}_outrigger`
  if (socketPath !== '') return `${socketPath}_outrigger`
  const uid = process.getuid?.() ?? 0
  const folder = join(tmpdir(), `outrigger-${uid}`)
  mkdirSync(folder, { recursive: true, mode: PRIVATE_MODE })
  const { uid: owner, mode } = lstatSync(folder)
  if (owner !== uid || (mode & 0o077) !== 0) throw new Error(`${folder} is not this user's alone`)
  return join(folder, 'restart')
}

export function socketOfEpoch(prefix: string, baseId: number, epoch: number): string {
  return `${prefix}_${baseId}_${epoch}`
}

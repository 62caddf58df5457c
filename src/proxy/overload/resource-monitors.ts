// What the overload manager measures, as the share of it that is used: the heap, the memory of the control group, clients' connections, or
// what a file says (tests, operators). Made by OverloadWatch for each monitor of the bootstrap, read at every refresh.
// Invariant: a reading is a few microseconds and throws what is wrong with it, in one line.

import { closeSync, openSync, readSync } from 'node:fs'
import type { ResourceMonitor } from '../../model/overload.js'
import type { MemoryUse } from '../process-role.js'

export interface MeasuredProcess {
  memoryUse(): MemoryUse
  /** Clients' connections. */
  readonly connectionCount: number
}

/** Of a file that holds one number. */
const MAX_FILE_BYTES = 256
/** Version 2 of control groups, then version 1. */
const CGROUP_FILES = [
  { used: '/sys/fs/cgroup/memory.current', limit: '/sys/fs/cgroup/memory.max' },
  { used: '/sys/fs/cgroup/memory/memory.usage_in_bytes', limit: '/sys/fs/cgroup/memory/memory.limit_in_bytes' },
] as const
/** Version 1 says "no limit" with a number near 2^63. */
const UNLIMITED_BYTES = 2 ** 60

/** The share of the resource that is used; 1 and more: all of it. */
export function pressureOf(monitor: ResourceMonitor, measured: MeasuredProcess): number {
  switch (monitor.kind) {
    case 'fixed-heap': {
      const { heapUsed, external } = measured.memoryUse()
      return (heapUsed + external) / monitor.maxBytes
    }
    case 'downstream-connections':
      return measured.connectionCount / monitor.max
    case 'cgroup-memory':
      return cgroupPressure(monitor.maxBytes)
    case 'injected':
      return injectedPressure(monitor.path)
  }
}

function cgroupPressure(maxBytes: number | null): number {
  for (const { used, limit } of CGROUP_FILES) {
    const usedBytes = readSmall(used)
    if (usedBytes === null) continue
    const limitBytes = maxBytes ?? limitOf(readSmall(limit))
    return limitBytes >= UNLIMITED_BYTES ? 0 : Number(usedBytes) / limitBytes
  }
  throw new Error('this process has no memory control group: neither memory.current nor memory.usage_in_bytes can be read')
}

function limitOf(text: string | null): number {
  return text === null || text === 'max' ? UNLIMITED_BYTES : Number(text)
}

function injectedPressure(path: string): number {
  const text = readSmall(path)
  if (text === null) throw new Error(`${path} cannot be read`)
  const pressure = Number(text)
  if (text === '' || !(pressure >= 0 && pressure <= 1)) throw new Error(`${path} holds no number from 0 to 1`)
  return pressure
}

/** null: there is no such file. */
function readSmall(path: string): string | null {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch {
    return null
  }
  try {
    const buffer = Buffer.alloc(MAX_FILE_BYTES)
    return buffer.toString('latin1', 0, readSync(file, buffer)).trim()
  } finally {
    closeSync(file)
  }
}

// What a proxy costs: CPU time (user + system) and resident memory of a process and all below it, out of /proc. nginx works in a child,
// our proxy may have workers: all of them count.
import { readdirSync, readFileSync } from 'node:fs'

/** Of `getconf CLK_TCK`, 100 on every Linux that Node runs on. */
const TICK_US = 10_000

/** The process and its descendants. */
function tree(pid) {
  const children = new Map()
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const stat = statOf(entry)
    if (stat === null) continue
    const parent = Number(stat[1])
    children.set(parent, [...(children.get(parent) ?? []), Number(entry)])
  }
  const found = []
  const walk = each => {
    found.push(each)
    for (const child of children.get(each) ?? []) walk(child)
  }
  walk(pid)
  return found
}

/** Fields of /proc/<pid>/stat from the third (state) on; null when the process is gone. */
function statOf(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return null
  }
}

/** Time on a CPU of all threads to the nanosecond, which the ticks above round to 10 ms; 0 where the kernel does not tell. */
function scheduledUs(pid) {
  let ns = 0
  try {
    for (const task of readdirSync(`/proc/${pid}/task`))
      ns += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'latin1').split(' ')[0])
  } catch {
    return 0
  }
  return ns / 1000
}

/** `{cpuUs, userUs, systemUs}` since the processes began, with the children that they have waited for. */
export function cpuOf(pid) {
  let cpuUs = 0
  let userUs = 0
  let systemUs = 0
  for (const each of tree(pid)) {
    const stat = statOf(each)
    if (stat === null) continue
    const user = (Number(stat[11]) + Number(stat[13])) * TICK_US
    const system = (Number(stat[12]) + Number(stat[14])) * TICK_US
    userUs += user
    systemUs += system
    cpuUs += scheduledUs(each) || user + system
  }
  return { cpuUs, userUs, systemUs }
}

/** Resident memory in MB. */
export function residentMb(pid) {
  let kb = 0
  for (const each of tree(pid)) {
    try {
      kb += Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${each}/status`, 'latin1'))?.[1] ?? 0)
    } catch {
      // Gone in the meantime.
    }
  }
  return kb / 1024
}

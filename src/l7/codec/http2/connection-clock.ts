// Drives the timed parts of all HTTP/2 connections (settings timeout, keepalive, the end of a drain) with one coarse timer that runs only
// while a connection waits for something. Codecs add themselves; nobody else need know.

const PERIOD_MS = 200

export interface Ticking {
  tick(now: number): void
  /** False: does not wait for anything; taken off the list until added again. */
  readonly wantsTicks: boolean
  currentTime(): number
}

const members = new Set<Ticking>()
let timer: NodeJS.Timeout | null = null

function run(): void {
  for (const member of members) {
    if (member.wantsTicks) member.tick(member.currentTime())
    if (!member.wantsTicks) members.delete(member)
  }
  if (members.size > 0 || timer === null) return
  clearInterval(timer)
  timer = null
}

export const ConnectionClock = {
  add(member: Ticking): void {
    members.add(member)
    if (timer !== null) return
    timer = setInterval(run, PERIOD_MS)
    timer.unref()
  },

  remove(member: Ticking): void {
    members.delete(member)
  },
}

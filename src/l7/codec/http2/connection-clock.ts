// Drives the timed parts of all HTTP/2 connections (settings timeout, keepalive, the end of a drain) with one coarse timer that runs only
// while a connection waits for something. Codecs add themselves; nobody else need know.
// Invariant: a peer is judged by time in which it could be heard. Where this thread was away for long, what was sent meanwhile lies unread
// behind the timer: ten thousand connections that come at once would else be ended for its own lateness, and come again.

const PERIOD_MS = 200
/** Later than this the thread was away. */
const LATE_MS = 1_000

export interface Ticking {
  tick(now: number): void
  /** This thread heard nobody for so long. */
  away(ms: number): void
  /** False: does not wait for anything; taken off the list until added again. */
  readonly wantsTicks: boolean
  currentTime(): number
}

const members = new Set<Ticking>()
let timer: NodeJS.Timeout | null = null
let lastRunAt = 0

function run(): void {
  const now = performance.now()
  const lateMs = now - lastRunAt - PERIOD_MS
  lastRunAt = now
  for (const member of members) {
    if (lateMs > LATE_MS) member.away(lateMs)
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
    lastRunAt = performance.now()
    timer = setInterval(run, PERIOD_MS)
    timer.unref()
  },

  remove(member: Ticking): void {
    members.delete(member)
  },
}

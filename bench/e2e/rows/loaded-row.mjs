// A row that starts a proxy, checks one answer, warms it and loads it, and divides the CPU time that the proxy took by the units of work
// done. `load` gives `{units, seconds, ...}`. Most rows are of this kind.
import { cpuOf, residentMb } from '../measure/process-cost.mjs'
import { startPeer, stopPeer } from '../peers.mjs'

const WARM_UP_SECONDS = 2

export function loadedRow({ name, unit = 'request', origin = 'http1', check = () => {}, load, warmUp = true, figure = 'cpuUs', ...row }) {
  const measure = async (run, peer) => {
    const child = await startPeer(peer, made, run)
    try {
      const { port } = run.ports
      const bench = { ...run, port }
      await check(port)
      if (warmUp && !run.quick) await load({ ...bench, seconds: WARM_UP_SECONDS })
      const before = cpuOf(child.pid)
      const { units, seconds, ...more } = await load(bench)
      const after = cpuOf(child.pid)
      const userUs = (after.userUs - before.userUs) / units
      const systemUs = (after.systemUs - before.systemUs) / units
      return { cpuUs: userUs + systemUs, userUs, systemUs, rate: units / seconds, rssMb: residentMb(child.pid), ...more }
    } finally {
      await stopPeer(child)
    }
  }
  const made = { name, unit, origin, figure, measure, ...row }
  return made
}

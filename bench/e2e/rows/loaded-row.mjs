// A row that starts a proxy, checks one answer, warms it and loads it, and divides the CPU time that the proxy took by the units of work
// done. `load` gives `{units, seconds, ...}`. Most rows are of this kind.
import { cpuOf, residentMb } from '../measure/process-cost.mjs'
import { startPeer, stopPeer } from '../peers.mjs'

const WARM_UP_SECONDS = 1

export function loadedRow({ name, unit = 'request', origin = 'http1', check = () => {}, load, warmUp = true, figure = 'cpuUs', ...row }) {
  /** A started, checked and warm proxy: `sample()` loads it once, `close()` ends it. */
  const open = async (run, peer) => {
    const child = await startPeer(peer, made, run)
    const close = () => stopPeer(child)
    try {
      const bench = { ...run, port: run.ports.port }
      await check(bench.port)
      if (warmUp && !run.quick) await load({ ...bench, seconds: WARM_UP_SECONDS })
      return { sample: () => sample(child.pid, () => load(bench)), close }
    } catch (error) {
      await close()
      throw error
    }
  }
  const measure = async (run, peer) => {
    const proxy = await open(run, peer)
    try {
      return await proxy.sample()
    } finally {
      await proxy.close()
    }
  }
  const made = { name, unit, origin, figure, open, measure, ...row }
  return made
}

async function sample(pid, load) {
  const before = cpuOf(pid)
  const { units, seconds, ...more } = await load()
  const after = cpuOf(pid)
  const each = key => (after[key] - before[key]) / units
  return {
    cpuUs: each('cpuUs'),
    userUs: each('userUs'),
    systemUs: each('systemUs'),
    rate: units / seconds,
    rssMb: residentMb(pid),
    ...more,
  }
}

// A row that starts a proxy, checks one answer, warms it and loads it, and divides the CPU time that the proxy took by the units of work
// done. `load` gives `{units, seconds, ...}`. Most rows are of this kind.
import { cpuOf, residentMb } from '../measure/process-cost.mjs'
import { startPeer, stopPeer } from '../peers.mjs'

/** V8 compiles by how often code has run, and not by time: on a busy machine a second is not enough of it, and the sample is of cold code. */
const WARM_UP_UNITS = { request: 20_000, connection: 2_000 }
const MAX_WARM_UP_SECONDS = 15

export function loadedRow({ name, unit = 'request', origin = 'http1', check = () => {}, load, warmUp = true, figure = 'cpuUs', ...row }) {
  /** A started, checked and warm proxy: `sample()` loads it once, `close()` ends it. */
  const open = async (run, peer) => {
    const child = await startPeer(peer, made, run)
    const close = () => stopPeer(child)
    try {
      const bench = { ...run, port: run.ports.port }
      await check(bench.port)
      if (warmUp && !run.quick) await warm(bench)
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
  const warm = async bench => {
    let units = 0
    for (let second = 0; second < MAX_WARM_UP_SECONDS; second++) {
      units += (await load({ ...bench, seconds: 1 })).units
      if (units >= (WARM_UP_UNITS[unit] ?? 0)) return
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

// Two processes, or two ports of one, that do the same by turns: what a unit of work costs each. Used by the benches that are no rows
// (gateways.mjs, workers.mjs).
import net from 'node:net'
import { cpuOf } from './process-cost.mjs'
import { spread } from './statistics.mjs'

const pause = ms => new Promise(resolve => setTimeout(resolve, ms))

export async function freePort() {
  const server = net.createServer()
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  await new Promise(resolve => server.close(resolve))
  return port
}

export async function until(what, isSo) {
  for (let i = 0; i < 600; i++) {
    if (await isSo().catch(() => false)) return
    await pause(100)
  }
  throw new Error(`not within a minute: ${what}`)
}

export const answers = port => async () => (await fetch(`http://127.0.0.1:${port}/`)).status === 200

/** `sides`: two of `{name, pid, port}`; `load(side)`: `{units, seconds}`, what was done at its port. Prints a line. */
export async function compare(name, unit, sides, rounds, load) {
  const costs = sides.map(() => [])
  const rates = sides.map(() => [])
  for (let round = 0; round < rounds; round++)
    for (const i of round % 2 === 0 ? [0, 1] : [1, 0]) {
      const before = cpuOf(sides[i].pid).cpuUs
      const { units, seconds } = await load(sides[i])
      costs[i].push((cpuOf(sides[i].pid).cpuUs - before) / units)
      rates[i].push(units / seconds)
    }
  const { median, low, high } = spread(costs[1].map((cost, round) => cost / costs[0][round]))
  const of = i => `${sides[i].name} ${spread(costs[i]).median.toFixed(1)} µs a ${unit} (${spread(rates[i]).median.toFixed(0)}/s)`
  const rate = spread(rates[1].map((each, round) => each / rates[0][round])).median
  console.log(
    `${name}: ${of(0)}, ${of(1)}: ${median.toFixed(2)} × the CPU (${low.toFixed(2)}–${high.toFixed(2)}), ${rate.toFixed(2)} × the rate`,
  )
}

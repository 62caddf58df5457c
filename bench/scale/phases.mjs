// What a run of the scale bench goes through, in order: each phase gives its figures. Called by scale-main.mjs with the control planes, the
// simulated sidecars and the shape of the run. What every phase has in common is measured around it (`measured`): CPU of all control planes,
// what was sent, and how long an unrelated request waited meanwhile, which is how long the control plane's thread was away.
import { CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE } from '../../dist/xds/type-urls.js'
import { quantile } from '../control/control-process.mjs'
import { Browsers } from './browsers.mjs'

const REGISTRANTS = 8
const CHANGES = 20
const PROBE_MS = 100
const DEPLOYED_PORT = 8081
const QUIET_MS = 3_000
const IDLE_MS = 10_000
const BROWSERS = 10
/** That sidecars are asked for by default. */
const REPORT_MS = 10_000
const CONSOLE_MS = 20_000
/** At the sizes that matter everything takes minutes on a small machine. */
const timeoutMs = ({ sidecars }) => 120_000 + 150 * sidecars

const round = value => Number(value.toPrecision(4))
const cpuSeconds = planes => planes.reduce((sum, plane) => sum + plane.cpuSeconds(), 0)
const rssMb = planes => Math.max(...planes.map(plane => plane.rssMb()))
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

/** Several at a time, in order. */
async function each(items, task) {
  const rest = items[Symbol.iterator]()
  const worker = async () => {
    for (let { done, value } = rest.next(); !done; { done, value } = rest.next()) await task(value)
  }
  await Promise.all(Array.from({ length: REGISTRANTS }, worker))
}

/** Asks for something small all the time. `end` gives the longest wait. */
function probe(plane) {
  let longest = 0
  let over = false
  const running = (async () => {
    while (!over) {
      const began = performance.now()
      await plane.answers()
      longest = Math.max(longest, performance.now() - began)
      await sleep(PROBE_MS)
    }
  })()
  return async () => {
    over = true
    await running
    return longest
  }
}

async function measured({ planes, simulation }, work) {
  const before = await simulation.stats()
  const cpuBefore = cpuSeconds(planes)
  const stopProbe = probe(planes[0])
  const began = performance.now()
  try {
    const figures = await work()
    const seconds = (performance.now() - began) / 1_000
    const after = await simulation.stats()
    return {
      seconds: round(seconds),
      cpuSeconds: round(cpuSeconds(planes) - cpuBefore),
      sentMb: round((after.bytes - before.bytes) / 2 ** 20),
      sentResources: after.resources - before.resources,
      longestWaitMs: round(await stopProbe()),
      ...figures,
    }
  } catch (error) {
    await stopProbe()
    throw error
  }
}

/** Until nothing has been sent for a while. */
async function quiet(simulation) {
  for (;;) {
    const { lastAt } = await simulation.stats()
    const sinceMs = performance.timeOrigin + performance.now() - lastAt
    if (sinceMs >= QUIET_MS) return
    await sleep(QUIET_MS - sinceMs)
  }
}

/** `planes[i]` takes its share. */
const planeOf = ({ planes }, i) => planes[i % planes.length]

const sidecarsOf = mesh => {
  const { shape } = mesh
  return Array.from({ length: shape.sidecars }, (_, i) => ({ ...shape.proxy(i), address: planeOf(mesh, i).grpc }))
}

const setHealth = (mesh, s, status) => planeOf(mesh, s).put('/v1/txn', mesh.shape.healthOperations(s, status))

/** The changes of a kind, one after another: latency to each subscriber, CPU and bytes of one. `change(i)` gives what to wait for and to write. */
async function changes(mesh, change) {
  const latencies = []
  const all = await measured(mesh, async () => {
    for (let i = 0; i < CHANGES; i++) {
      const { write, ...subscribers } = change(i)
      latencies.push(...(await mesh.simulation.spread({ ...subscribers, timeoutMs: timeoutMs(mesh.run) }, write)))
    }
    return {}
  })
  return {
    changes: CHANGES,
    subscribers: latencies.length / CHANGES,
    p50Ms: round(quantile(latencies, 0.5)),
    p99Ms: round(quantile(latencies, 0.99)),
    cpuMs: round((1_000 * all.cpuSeconds) / CHANGES),
    sentKb: round((1_024 * all.sentMb) / CHANGES),
    resources: round(all.sentResources / CHANGES),
    longestWaitMs: all.longestWaitMs,
  }
}

export const PHASES = {
  /** Nobody is connected: machines, instances with sidecars, then endpoints without, all by transactions. */
  async register(mesh) {
    const plane = mesh.planes[0]
    const emptyMb = rssMb(mesh.planes)
    await plane.put('/v1/config', { Kind: 'proxy-defaults', Name: 'global', Config: { protocol: 'http' } })
    await plane.put('/v1/config', { Kind: 'service-intentions', Name: '*', Sources: [{ Name: '*', Action: 'allow' }] })
    const figures = await measured(mesh, async () => {
      await each(mesh.shape.transactions(), operations => plane.put('/v1/txn', operations))
      return {}
    })
    return { ...figures, emptyMb, rssMb: rssMb(mesh.planes), perSecond: round(mesh.run.endpoints / figures.seconds) }
  },

  /** One endpoint's health changes every second, nobody is connected: what that costs is for nobody. */
  async unconnected(mesh) {
    return measured(mesh, async () => {
      for (let i = 0; i < 10; i++) {
        await setHealth(mesh, 0, i % 2 === 0 ? 'critical' : 'passing')
        await sleep(1_000)
      }
      return {}
    })
  },

  /** All at once, and none has anything yet. */
  async connect(mesh) {
    const figures = await measured(mesh, async () => {
      await mesh.simulation.open(sidecarsOf(mesh), mesh.shape.upstreams, timeoutMs(mesh.run))
      return {}
    })
    const { sidecars } = mesh.run
    await quiet(mesh.simulation)
    return {
      ...figures,
      cpuMsEach: round((1_000 * figures.cpuSeconds) / sidecars),
      kbEach: round((1_024 * figures.sentMb) / sidecars),
      rssMb: rssMb(mesh.planes),
    }
  },

  async idle(mesh) {
    const before = cpuSeconds(mesh.planes)
    await sleep(IDLE_MS)
    return { corePercent: round((100 * (cpuSeconds(mesh.planes) - before)) / (IDLE_MS / 1_000)), rssMb: rssMb(mesh.planes) }
  },

  endpointChange(mesh) {
    const { services, sidecars } = mesh.run
    const callers = mesh.shape.upstreams * (sidecars / services)
    const service = i => (7 * Math.floor(i / 2)) % services
    return changes(mesh, i => ({
      typeUrl: ENDPOINT_TYPE,
      prefix: `svc-${service(i)}.`,
      count: callers,
      write: () => setHealth(mesh, service(i), i % 2 === 0 ? 'critical' : 'passing'),
    }))
  },

  intentionChange(mesh) {
    const { services, sidecars } = mesh.run
    return changes(mesh, i => ({
      typeUrl: LISTENER_TYPE,
      prefix: 'public_listener',
      count: sidecars / services,
      write: () =>
        planeOf(mesh, i).put('/v1/config', {
          Kind: 'service-intentions',
          Name: `svc-${(11 * i) % services}`,
          Sources: [{ Name: `caller-${i}`, Action: 'allow' }],
        }),
    }))
  },

  /** An entry that every sidecar is made from: the dearest single write there is. */
  async changeForAll(mesh) {
    const { sidecars } = mesh.run
    return measured(mesh, async () => {
      const subscribers = { typeUrl: CLUSTER_TYPE, prefix: 'local_app', count: sidecars, timeoutMs: timeoutMs(mesh.run) }
      const latencies = await mesh.simulation.spread(subscribers, () =>
        mesh.planes[0].put('/v1/config', {
          Kind: 'proxy-defaults',
          Name: 'global',
          Config: { protocol: 'http', local_connect_timeout_ms: 4_000 },
        }),
      )
      await quiet(mesh.simulation)
      return { p50Ms: round(quantile(latencies, 0.5)), p99Ms: round(quantile(latencies, 0.99)) }
    })
  },

  /** A twentieth of the services is deployed anew, one instance of each: it goes, and comes back with another port, all as fast as it is taken. */
  async deployStorm(mesh) {
    const { services } = mesh.run
    const deployed = Math.max(5, Math.round(services / 20))
    const figures = await measured(mesh, async () => {
      await each(Array(deployed).keys(), async s => {
        await setHealth(mesh, s, 'critical')
        await planeOf(mesh, s).put('/v1/txn', mesh.shape.sidecarOperations(s, DEPLOYED_PORT))
      })
      await quiet(mesh.simulation)
      return {}
    })
    return {
      ...figures,
      deployed,
      cpuMsEach: round((1_000 * figures.cpuSeconds) / deployed),
      kbEach: round((1_024 * figures.sentMb) / deployed),
    }
  },

  /** A new root: the bundle grows for all, then every service gets a leaf under it. */
  async caRotation(mesh) {
    const [plane] = mesh.planes
    const outdated = async () => {
      const { text } = await plane.client.ask('GET', '/v1/outrigger/certificates')
      return JSON.parse(text).OutdatedLeaves
    }
    return measured(mesh, async () => {
      const began = performance.now()
      await plane.put('/v1/outrigger/ca/rotate-root')
      while ((await outdated()) > 0) {
        if (performance.now() - began > timeoutMs(mesh.run)) throw new Error('leaves of the old root are left')
        await sleep(2_000)
      }
      const signedSeconds = round((performance.now() - began) / 1_000)
      await quiet(mesh.simulation)
      return { signedSeconds }
    })
  },

  /** Every connection breaks; they come back with what they have. */
  async reconnect(mesh) {
    const figures = await measured(mesh, async () => {
      await mesh.simulation.drop(true, timeoutMs(mesh.run))
      return {}
    })
    return { ...figures, rssMb: rssMb(mesh.planes) }
  },

  /** `kill -9` of a control plane: it starts from its store, and its sidecars come back with what they have. */
  async restart(mesh) {
    const [plane] = mesh.planes
    let readySeconds = 0
    const figures = await measured(mesh, async () => {
      const began = performance.now()
      await plane.end('SIGKILL')
      await plane.run()
      readySeconds = (performance.now() - began) / 1_000
      await mesh.simulation.configured(timeoutMs(mesh.run))
      return {}
    })
    // The new process began at nothing.
    return { ...figures, cpuSeconds: round(plane.cpuSeconds()), readySeconds: round(readySeconds), rssMb: rssMb(mesh.planes) }
  },

  /** An endpoint changes each second; then every sidecar reports its load besides, then the console is open in ten browsers as well. */
  async console(mesh) {
    const [plane] = mesh.planes
    const share = async ms => {
      const before = cpuSeconds(mesh.planes)
      const began = performance.now()
      for (let i = 0; i < ms / 1_000; i++) {
        await setHealth(mesh, 0, i % 2 === 0 ? 'critical' : 'passing')
        await sleep(1_000)
      }
      return (100_000 * (cpuSeconds(mesh.planes) - before)) / (performance.now() - began)
    }
    const changesPercent = await share(CONSOLE_MS)
    mesh.simulation.report(REPORT_MS)
    await share(2 * REPORT_MS)
    const withReports = await share(CONSOLE_MS)
    const browsers = new Browsers(plane.http, BROWSERS)
    await share(REPORT_MS)
    const { reads, bytes } = browsers
    const allPercent = await share(CONSOLE_MS)
    const figures = {
      allPercent: round(allPercent),
      changesPercent: round(changesPercent),
      reportsPercent: round(withReports - changesPercent),
      browsersPercent: round(allPercent - withReports),
      readsPerSecond: round(((browsers.reads - reads) * 1_000) / CONSOLE_MS),
      readKb: round((browsers.bytes - bytes) / 1_024 / Math.max(1, browsers.reads - reads)),
    }
    browsers.close()
    return figures
  },
}

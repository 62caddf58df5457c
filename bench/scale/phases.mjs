// What a run of the scale bench goes through, in order: each phase gives its figures. Called by scale-main.mjs with the control planes, the
// simulated sidecars and the shape of the run. What every phase has in common is measured around it (`measured`): CPU of all control planes,
// what was sent, and how long an unrelated request waited meanwhile, which is how long the control plane's thread was away.
import { CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE } from '../../dist/xds/type-urls.js'
import { nativeOperation, quantile, registration } from '../control/control-process.mjs'
import { Browsers } from './browsers.mjs'

const REGISTRANTS = 24
const CHANGES = 20
/** Of a transaction. */
const OPERATIONS = 128
const NATIVE_NODE = 'bench-native'
const PROBE_MS = 100
const QUIET_MS = 3_000
const IDLE_MS = 10_000
const BROWSERS = 10
/** That sidecars are asked for by default. */
const REPORT_MS = 10_000
const CONSOLE_MS = 30_000
/** At the sizes that matter everything takes minutes on a small machine. */
const timeoutMs = ({ sidecars }) => 120_000 + 60 * sidecars

const round = value => Number(value.toPrecision(4))
const cpuSeconds = planes => planes.reduce((sum, plane) => sum + plane.cpuSeconds(), 0)
const rssMb = planes => Math.max(...planes.map(plane => plane.rssMb()))
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

async function each(count, task) {
  let next = 0
  const worker = async () => {
    for (let i = next++; i < count; i = next++) await task(i)
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
  const { sidecars, services } = mesh.run
  return Array.from({ length: sidecars }, (_, i) => {
    const [s, k] = [i % services, Math.floor(i / services)]
    return { id: `svc-${s}-${k}-sidecar-proxy`, address: planeOf(mesh, i).grpc }
  })
}

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
  /** Nobody is connected: instances with sidecars one by one, then endpoints without by transactions. */
  async register(mesh) {
    const { sidecars, services, endpoints } = mesh.run
    const plane = mesh.planes[0]
    const emptyMb = rssMb(mesh.planes)
    await plane.put('/v1/config', { Kind: 'proxy-defaults', Name: 'global', Config: { protocol: 'http' } })
    await plane.put('/v1/config', { Kind: 'service-intentions', Name: '*', Sources: [{ Name: '*', Action: 'allow' }] })
    const figures = await measured(mesh, async () => {
      await each(sidecars, i =>
        plane.put('/v1/agent/service/register', registration(i % services, Math.floor(i / services), services, mesh.upstreams)),
      )
      await plane.put('/v1/catalog/register', { Node: NATIVE_NODE, Address: '10.255.0.1' })
      const native = Array.from({ length: endpoints - sidecars }, (_, i) => sidecars + i)
      await each(Math.ceil(native.length / OPERATIONS), batch => {
        const some = native.slice(batch * OPERATIONS, (batch + 1) * OPERATIONS)
        return plane.put(
          '/v1/txn',
          some.map(i => nativeOperation(NATIVE_NODE, i % services, Math.floor(i / services))),
        )
      })
      return {}
    })
    return { ...figures, emptyMb, rssMb: rssMb(mesh.planes), perSecond: round(endpoints / figures.seconds) }
  },

  /** One endpoint's health changes every second, nobody is connected: what that costs is for nobody. */
  async unconnected(mesh) {
    const plane = mesh.planes[0]
    return measured(mesh, async () => {
      for (let i = 0; i < 10; i++) {
        await plane.put(`/v1/agent/check/${i % 2 === 0 ? 'fail' : 'pass'}/svc-0-0-ttl`)
        await sleep(1_000)
      }
      return {}
    })
  },

  /** All at once, and none has anything yet. */
  async connect(mesh) {
    const figures = await measured(mesh, async () => {
      await mesh.simulation.open(sidecarsOf(mesh), mesh.upstreams, timeoutMs(mesh.run))
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
    const callers = mesh.upstreams * (sidecars / services)
    const service = i => `svc-${(7 * Math.floor(i / 2)) % services}`
    return changes(mesh, i => ({
      typeUrl: ENDPOINT_TYPE,
      prefix: `${service(i)}.`,
      count: callers,
      write: () => planeOf(mesh, i).put(`/v1/agent/check/${i % 2 === 0 ? 'fail' : 'pass'}/${service(i)}-0-ttl`),
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
      await each(deployed, async s => {
        const before = registration(s, 0, services, mesh.upstreams)
        await planeOf(mesh, s).put(`/v1/agent/check/fail/${before.ID}-ttl`)
        const { Port } = before
        await planeOf(mesh, s).put('/v1/agent/service/register', { ...before, Port: Port + 1 })
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

  /** Every sidecar reports its load, then the console is open in ten browsers as well, while an endpoint changes each second. */
  async console(mesh) {
    const [plane] = mesh.planes
    const share = async ms => {
      const before = cpuSeconds(mesh.planes)
      for (let i = 0; i < ms / 1_000; i++) {
        await plane.put(`/v1/agent/check/${i % 2 === 0 ? 'fail' : 'pass'}/svc-0-0-ttl`)
        await sleep(1_000)
      }
      return (100 * (cpuSeconds(mesh.planes) - before)) / (ms / 1_000)
    }
    mesh.simulation.report(REPORT_MS)
    await share(2 * REPORT_MS)
    const reportsPercent = await share(CONSOLE_MS)
    const browsers = new Browsers(plane.http, BROWSERS)
    await share(REPORT_MS)
    const { reads, bytes } = browsers
    const allPercent = await share(CONSOLE_MS)
    const figures = {
      reportsPercent: round(reportsPercent),
      browsersPercent: round(allPercent - reportsPercent),
      readsPerSecond: round(((browsers.reads - reads) * 1_000) / CONSOLE_MS),
      readKb: round((browsers.bytes - bytes) / 1_024 / Math.max(1, browsers.reads - reads)),
    }
    browsers.close()
    return figures
  },
}

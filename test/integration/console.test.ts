// The web console in a real Chromium before a real control plane: every page, by mouse and by keyboard, light and dark, narrow and wide,
// with ACLs and with more services than anybody scrolls through. Skipped where there is no Chromium.
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ConsoleBrowser, hasChromium } from '../support/console-browser.js'
import { backgroundColor, faintTexts, keptOutsideOfTheTab, namelessControls, overflowPx } from '../support/console-page-checks.js'

const MANAGEMENT = '8a1f0a3e-7f0b-4a70-9d0b-9b5f5a2b7c11'
const totals = (RequestsPerSecond: number, SuccessRate = 1) => ({
  Requests: RequestsPerSecond * 60,
  Failures: Math.round(RequestsPerSecond * 60 * (1 - SuccessRate)),
  RequestsPerSecond,
  SuccessRate,
  P50: 1.2,
  P90: 4.5,
  P99: 12.3,
  Active: 1,
})
const TRAFFIC = {
  Edges: [
    { Source: 'web', Destination: 'api', Subset: 'v1', Totals: totals(90) },
    { Source: 'web', Destination: 'api', Subset: 'v2', Totals: totals(10, 0.9) },
  ],
  Inbound: [
    { Proxy: 'api-1-sidecar-proxy', Node: 'node-1', Service: 'api', Totals: totals(90) },
    { Proxy: 'api-2-sidecar-proxy', Node: 'node-1', Service: 'api', Totals: totals(10, 0.9) },
  ],
}

/** What is measured is tested where it is measured; here it is what is drawn of it. */
async function withTraffic(page: Page): Promise<void> {
  await page.route('**/v1/outrigger/traffic?*', route => route.fulfill({ json: TRAFFIC }))
  await page.route('**/v1/outrigger/traffic/series?*', route =>
    route.fulfill({
      json: [90, 95, 100].map((perSecond, i) => ({
        At: new Date(1_800_000_000_000 + i * 10_000).toISOString(),
        Totals: totals(perSecond),
      })),
    }),
  )
}

describe.skipIf(!hasChromium)('the console', () => {
  let mesh: ConsoleBrowser
  beforeAll(async () => {
    mesh = await ConsoleBrowser.start()
    const instance = (id: string, name: string, version: string, upstreams: readonly string[] = []) => ({
      ID: id,
      Name: name,
      Port: 80,
      Tags: ['http', version],
      Meta: { version },
      Check: { CheckID: `alive:${id}`, Name: 'alive', TTL: '10m', Status: id === 'api-2' ? 'critical' : 'passing' },
      Connect: {
        SidecarService: { Proxy: { Upstreams: upstreams.map((DestinationName, i) => ({ DestinationName, LocalBindPort: 9_100 + i })) } },
      },
    })
    for (const service of [
      instance('web', 'web', 'v1', ['api']),
      instance('api-1', 'api', 'v1'),
      instance('api-2', 'api', 'v2'),
      instance('batch', 'batch', 'v1', ['api']),
    ])
      await mesh.put('/v1/agent/service/register', service)
    const Subsets = { v1: { Filter: 'Service.Meta.version == v1' }, v2: { Filter: 'Service.Meta.version == v2' } }
    const Splits = [
      { Weight: 90, ServiceSubset: 'v1' },
      { Weight: 10, ServiceSubset: 'v2' },
    ]
    await mesh.put('/v1/config', { Kind: 'service-defaults', Name: 'api', Protocol: 'http' })
    await mesh.put('/v1/config', { Kind: 'service-resolver', Name: 'api', Subsets })
    await mesh.put('/v1/config', { Kind: 'service-splitter', Name: 'api', Splits })
    await mesh.put('/v1/config', { Kind: 'service-intentions', Name: 'api', Sources: [{ Name: 'web', Action: 'allow' }] })
    await mesh.put('/v1/kv/app/config/colour', 'blue')
  })
  afterAll(() => mesh?.stop())

  /** One for all cases that need none of their own: a new one costs more than most of them. */
  let shared: Page | undefined
  const open = async (path: string): Promise<Page> => {
    shared ??= await own('/ui/favicon.svg')
    await shared.goto(path)
    return shared
  }
  const own = async (path: string, options = {}): Promise<Page> => {
    const page = await mesh.open('/ui/favicon.svg', options)
    await withTraffic(page)
    await page.goto(path)
    return page
  }

  it.each([
    ['services', 'Services', '4 services'],
    ['services/api', 'api', 'By version'],
    ['topology', 'Topology', '100/s'],
    ['intentions', 'Intentions', 'what none speaks of is denied'],
    ['diagnose?from=batch&to=api', 'Why 403 or 503?', 'a request gets 403'],
    ['proxies', 'Proxies', 'not connected'],
    ['nodes', 'Nodes', 'node-1'],
    ['nodes/node-1', 'node-1', 'About this node'],
    ['certificates', 'Certificates', 'Trusted roots'],
    ['config', 'Configuration', 'service-splitter'],
    ['kv/app/config', 'Key/Value', 'colour'],
    ['access', 'Access', 'ACLs are off'],
    ['events', 'Events', 'service-intentions/api'],
  ])('shows %s, with a name for everything that is pressed, and nothing that breaks its policy', async (path, title, text) => {
    const page = await open(`/ui/${path}`)
    await page.getByRole('heading', { level: 1, name: title }).waitFor()
    await page.getByText(text).first().waitFor()
    expect(await page.evaluate(namelessControls)).toEqual([])
    expect(mesh.problems).toEqual([])
  })

  it('draws the chain of a service, and its versions with their share', async () => {
    const page = await open('/ui/services/api')
    await page.getByRole('img', { name: /Discovery chain: .*\(90 %\)/ }).waitFor()
    await page.getByRole('row', { name: /^v1 .*90 %/ }).waitFor()
    await page.getByRole('row', { name: /^v2 .*10 %.*90\.0 %/ }).waitFor()
  })

  it('leads from a denied edge to its reason in two clicks', async () => {
    const page = await open('/ui/topology')
    await page.getByRole('button', { name: /batch calls api: denied/ }).click({ position: { x: 2, y: 2 }, force: true })
    await page.getByRole('link', { name: 'Why?' }).click()
    await page.getByText('no intention matched batch -> api; the default is deny').waitFor()
  })

  it('lets an intention be made by the keyboard alone, with a look at its effect before', async () => {
    const page = await open('/ui/intentions')
    // The matrix is one stop of the tab key; arrows walk it.
    await page.getByRole('button', { name: /^api to api/ }).focus()
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('Home')
    await page
      .getByRole('button', { name: /^batch to api: denied by default/ })
      .and(page.locator(':focus'))
      .waitFor()
    await page.keyboard.press('Enter')
    await page.getByText('no intention matched batch -> api').waitFor()
    await page.getByRole('radio', { name: 'none' }).focus()
    await page.keyboard.press('ArrowUp')
    await page.keyboard.press('ArrowUp')
    await page.getByText(/batch → api.*allowed from now on/).waitFor()
    await page.getByRole('button', { name: 'Save' }).focus()
    await page.keyboard.press('Enter')
    await page.getByRole('button', { name: /^batch to api: allowed by its own intention/ }).waitFor()
  })

  it('checks a config entry while it is typed, and saves it', async () => {
    const page = await open('/ui/config?new=service-defaults')
    await page.getByText('the server would take it').waitFor()
    const field = page.getByLabel('Entry, in JSON')
    await field.fill('{"Kind": "service-defaults", "Name": "billing", "Protocol": "carrier-pigeon"}')
    await page.getByText('Protocol', { exact: true }).waitFor()
    expect(await page.getByRole('button', { name: 'Save' }).isDisabled()).toBe(true)
    await field.fill('{"Kind": "service-defaults", "Name": "billing", "Protocol": "grpc"}')
    await page.getByText('the server would take it').waitFor()
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('heading', { name: 'service-defaults/billing' }).waitFor()
  })

  it('edits a key', async () => {
    const page = await open('/ui/kv/app/config')
    await page.getByRole('link', { name: 'colour' }).click()
    await page.getByLabel('Value').fill('green')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('Saved.').waitFor()
    const stored = await fetch(`http://${mesh.plane.httpAddress}/v1/kv/app/config/colour?raw`)
    expect(await stored.text()).toBe('green')
  })

  it('edits a key without its flags being lost, and the one that is meant, whatever it is called', async () => {
    const address = `http://${mesh.plane.httpAddress}/v1/kv/`
    const key = encodeURIComponent('app/../=odd//key')
    await fetch(`${address}${key}?flags=42`, { method: 'PUT', body: 'one\r\ntwo' })
    await mesh.put('/v1/kv/key', 'another')
    const page = await open('/ui/kv')
    for (const name of ['app/', '../', '=odd/', '(no name)/', 'key']) await page.getByRole('link', { name, exact: true }).click()
    await page.getByLabel('Value').fill('one\nthree')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('Saved.').waitFor()
    const [pair] = (await (await fetch(`${address}${key}`)).json()) as { Value: string; Flags: number }[]
    expect([atob(pair!.Value), pair!.Flags]).toEqual(['one\r\nthree', 42])
    await page.getByRole('button', { name: 'Delete' }).click()
    await page.getByRole('button', { name: 'Really delete it' }).click()
    await page.getByText('Nothing is here').waitFor()
    expect(await Promise.all([key, 'key'].map(async name => (await fetch(address + name)).status))).toEqual([404, 200])
  })

  it('shows longer times where a Prometheus is named, and has the choice in its address', async () => {
    const page = await own('/ui/services')
    await page.route('**/v1/outrigger/console', async route => {
      const answer = await route.fetch()
      await route.fulfill({ response: answer, json: { ...((await answer.json()) as object), LongRanges: true } })
    })
    await page.goto('/ui/services/api')
    const asked = page.waitForRequest(/series\?window=24h&destination=api$/)
    await page.getByRole('radio', { name: 'a day' }).check({ force: true })
    await asked
    await page.waitForURL(/range=24h$/)
    // The real Envoy tells no latencies: they are unknown, and not zero.
    const untold = { ...totals(5), P50: null, P90: null, P99: null }
    await page.route('**/v1/outrigger/traffic/series?*', route =>
      route.fulfill({ json: [0, 1].map(i => ({ At: new Date(1_800_000_000_000 + i * 60_000).toISOString(), Totals: untold })) }),
    )
    await page.reload()
    await page.getByText('p99 –').waitFor()
    await page.close()
  })

  it('keeps what was typed into an entry when somebody else writes it, and does not write over that', async () => {
    const entry = { Kind: 'service-defaults', Name: 'shared', Protocol: 'http' }
    await mesh.put('/v1/config', entry)
    const page = await open('/ui/config/service-defaults/shared')
    const field = page.getByLabel('Entry, in JSON')
    const mine = JSON.stringify({ ...entry, MaxInboundConnections: 7 })
    await field.fill(mine)
    await mesh.put('/v1/config', { ...entry, Protocol: 'grpc' })
    await page.getByText('Somebody else has changed this entry meanwhile').waitFor()
    expect(await field.inputValue()).toBe(mine)
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('nothing was written').waitFor()
    await page.getByRole('button', { name: 'Show theirs' }).click()
    expect(JSON.parse(await field.inputValue())).toMatchObject({ Protocol: 'grpc' })
    await field.fill(JSON.stringify({ ...entry, Protocol: 'http2' }))
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('Saved.').waitFor()
    const stored = await fetch(`http://${mesh.plane.httpAddress}/v1/config/service-defaults/shared`)
    expect(await stored.json()).toMatchObject({ Protocol: 'http2' })
  })

  it('lets the keyboard skip the navigation', async () => {
    const page = await open('/ui/services')
    await page.getByRole('heading', { level: 1, name: 'Services' }).waitFor()
    await page.getByRole('link', { name: 'Skip to the page' }).focus()
    await page.keyboard.press('Enter')
    expect(await page.evaluate('document.activeElement.id')).toBe('main')
    await page.getByRole('heading', { level: 1, name: 'Services' }).waitFor()
  })

  it('hears of what changes without being asked', async () => {
    const page = await open('/ui/services')
    await page.getByRole('link', { name: 'web', exact: true }).waitFor()
    await mesh.put('/v1/agent/service/register', { Name: 'newcomer', Port: 1 })
    await page.getByRole('link', { name: 'newcomer' }).waitFor()
  })

  it('is dark where the system is, light where it is chosen, and keeps the choice', async () => {
    const page = await own('/ui/services', { colorScheme: 'dark' })
    const background = () => page.evaluate(backgroundColor)
    const dark = await background()
    await page.getByRole('button', { name: 'Switch to light colours' }).click()
    const light = await background()
    expect(light).not.toBe(dark)
    await page.reload()
    expect(await background()).toBe(light)
    await page.context().close()
  })

  it.each(['light', 'dark'] as const)('has text that can be read, in %s colours', async colorScheme => {
    const page = await own('/ui/services', { colorScheme })
    for (const path of ['services', 'services/api', 'intentions?source=web&destination=api', 'proxies', 'events']) {
      await page.goto(`/ui/${path}`)
      await page.locator('main table, main .panel').first().waitFor()
      expect({ path, faint: await page.evaluate(faintTexts) }).toEqual({ path, faint: [] })
    }
    await page.context().close()
  })

  it('fits a phone: no page is wider than the screen, and the navigation opens', async () => {
    const page = await own('/ui/services', { viewport: { width: 390, height: 844 }, isMobile: true })
    for (const path of [
      'services/api',
      'topology',
      'intentions?source=web&destination=api',
      'diagnose?from=batch&to=api',
      'proxies',
      'certificates',
      'config?new=mesh',
      'kv',
      'events',
      'services',
    ]) {
      await page.goto(`/ui/${path}`)
      await page.locator('main table, main svg, main form, main .empty').first().waitFor()
      expect({ path, wider: await page.evaluate(overflowPx) }).toEqual({ path, wider: 0 })
    }
    await page.getByRole('button', { name: 'Menu' }).click()
    await page.getByRole('link', { name: 'Certificates' }).click()
    await page.getByRole('heading', { level: 1, name: 'Certificates' }).waitFor()
    await page.context().close()
  })
})

describe.skipIf(!hasChromium)('the console behind ACLs', () => {
  let mesh: ConsoleBrowser
  beforeAll(async () => {
    mesh = await ConsoleBrowser.start({ acl: { defaultPolicy: 'deny', initialManagement: MANAGEMENT } })
    await mesh.put('/v1/agent/service/register', { Name: 'web', Port: 1 }, MANAGEMENT)
  })
  afterAll(() => mesh?.stop())

  it('shows nothing of the mesh without a token, refuses one that nobody knows, and keeps a good one for its tab', async () => {
    const page = await mesh.open('/ui/services')
    await page.getByText('No service is registered').waitFor()
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByLabel('Token').fill('nobody-knows-it')
    await page.getByRole('dialog').getByRole('button', { name: 'Sign in' }).click()
    await page.getByText('Nobody knows this token.').waitFor()
    await page.getByLabel('Token').fill(MANAGEMENT)
    await page.getByRole('dialog').getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('link', { name: 'web' }).waitFor()
    await page.reload()
    await page.getByRole('link', { name: 'web' }).waitFor()
    expect(await page.evaluate(keptOutsideOfTheTab)).toEqual([])
    expect(page.url()).not.toContain(MANAGEMENT)
    await page.getByRole('link', { name: 'Access' }).click()
    await page.getByText('global-management').first().waitFor()
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByText('This token may not see it').first().waitFor()
    expect(mesh.problems).toEqual([])
    await page.context().close()
  })
})

describe.skipIf(!hasChromium)('the console of 500 services and 5,000 instances', () => {
  let mesh: ConsoleBrowser
  beforeAll(async () => {
    mesh = await ConsoleBrowser.start()
    const services = Array.from({ length: 5_000 }, (_, i) => ({
      Name: `service-${String(i % 500).padStart(3, '0')}`,
      ID: `instance-${i}`,
      Port: 1_000 + i,
      Tags: ['http'],
    }))
    expect((await mesh.plane.apply({ services })).errors).toEqual([])
  })
  afterAll(() => mesh?.stop())

  it('has few rows in the document wherever it is scrolled to', async () => {
    const page = await mesh.open('/ui/services')
    await page.getByText('501 services, 5,001 instances').waitFor()
    const rows = () => page.locator('tbody tr').count()
    expect(await rows()).toBeLessThanOrEqual(200)
    await page.locator('.table-view').evaluate(view => {
      view.scrollTop = view.scrollHeight
    })
    await page.getByRole('link', { name: 'service-499' }).waitFor()
    expect(await rows()).toBeLessThanOrEqual(200)
    await page.getByLabel('Name, tag or version').fill('service-25')
    await page.getByRole('link', { name: 'service-259' }).waitFor()
    expect(await page.locator('tbody tr').count()).toBe(10)
    await page.context().close()
  })
})

// Chromium before the console of a control plane in this process: for tests that look at pages as a person does. Every page that is opened
// is watched: what breaks the Content-Security-Policy or is an error of the console's own fails the test that asks `problems`.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { ControlPlane, type ControlPlaneOptions } from '../../src/control/control-plane.js'

const CHROMIUM = process.env['CHROMIUM_BIN'] ?? '/usr/bin/chromium'
export const hasChromium = existsSync(CHROMIUM)

const CONSOLE_FOLDER = join(import.meta.dirname, '../../dist/console')

export class ConsoleBrowser {
  readonly problems: string[] = []

  private constructor(
    readonly plane: ControlPlane,
    private readonly browser: Browser,
  ) {}

  static async start(options: ControlPlaneOptions = {}): Promise<ConsoleBrowser> {
    const plane = new ControlPlane({
      httpAddr: '127.0.0.1:0',
      grpcAddr: '127.0.0.1:0',
      nodeName: 'node-1',
      consoleFolder: CONSOLE_FOLDER,
      ...options,
    })
    await plane.start()
    const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] })
    return new ConsoleBrowser(plane, browser)
  }

  async stop(): Promise<void> {
    await this.browser.close()
    await this.plane.stop()
  }

  /** A page in a browser context of its own: no token, no theme of another test. */
  async open(path: string, options: BrowserContextOptions = {}): Promise<Page> {
    const context = await this.browser.newContext({ baseURL: `http://${this.plane.httpAddress}`, ...options })
    const page = await context.newPage()
    page.setDefaultTimeout(30_000)
    page.on('pageerror', error => void this.problems.push(`${path}: ${error.message}`))
    page.on('console', message => {
      // The browser says by itself that an answer was no 2xx; what the console makes of it is what counts.
      if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) this.problems.push(`${path}: ${message.text()}`)
    })
    await page.goto(path)
    return page
  }

  async put(path: string, body: unknown, token?: string): Promise<void> {
    const response = await fetch(`http://${this.plane.httpAddress}${path}`, {
      method: 'PUT',
      headers: token === undefined ? {} : { 'x-consul-token': token },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    })
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
  }
}

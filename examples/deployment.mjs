// What the deployments of these examples have in common: applications, a control plane with the files of a folder, the commands of
// bin/outrigger against it, and an end that leaves nothing behind. Used by the run.mjs of each folder.
import { execFile, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const STARTS_WITHIN_MS = 60_000

export const bin = name => join(import.meta.dirname, '../bin', name)

export async function get(url, headers = {}) {
  const response = await fetch(url, { headers })
  return { status: response.status, text: (await response.text()).trim() }
}

export function expectOk(answer) {
  if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`)
  return answer
}

/** What `task` gives, once it does not throw. */
export async function until(what, task) {
  const end = Date.now() + STARTS_WITHIN_MS
  for (;;) {
    try {
      return await task()
    } catch (error) {
      if (Date.now() > end) throw new Error(`${what}: ${error.message}`)
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  }
}

export class Deployment {
  dir = mkdtempSync(join(tmpdir(), 'outrigger-example-'))
  children = []
  servers = []

  /**
   * `folder` has the config entries and services; `http`, `grpc` and `dns` are the control plane's addresses, `flags` what else it is started
   * with.
   */
  constructor({ folder, http, grpc, dns = 'off', flags = [] }) {
    Object.assign(this, { folder, http, grpc, dns, flags })
  }

  /** `answer` gives a request's text, and may set the response's status. */
  application(port, answer, host = '127.0.0.1') {
    const server = createServer(async (request, response) => response.end(await answer(request, response)))
    this.servers.push(server.listen(port, host))
    server.once('error', error => {
      console.error(error.message)
      this.stop()
      process.exit(1)
    })
  }

  /** A script; its process. */
  start(...argv) {
    return this.program(process.execPath, ...argv)
  }

  program(file, ...argv) {
    const child = spawn(file, argv, { stdio: ['ignore', 'ignore', 'inherit'] })
    this.children.push(child)
    return child
  }

  /** A command of bin/outrigger; what it prints. */
  async remote(command, ...argv) {
    const all = [bin('outrigger'), ...command.split(' '), '--http-addr', this.http, ...argv]
    return (await promisify(execFile)(process.execPath, all)).stdout
  }

  /** The control plane with all that the folder has. */
  async control() {
    const addresses = ['--http-addr', this.http, '--grpc-addr', this.grpc, '--dns-addr', this.dns, ...this.flags]
    this.start(bin('outrigger'), 'control', '--data-dir', join(this.dir, 'state'), ...addresses, '--log-level', 'error')
    await until('control plane', () => get(`http://${this.http}/v1/status/leader`))
    await this.applyFolder()
  }

  async applyFolder() {
    const filesOf = name => readdirSync(join(this.folder, name)).map(file => join(this.folder, name, file))
    process.stdout.write(await this.remote('apply', ...filesOf('config-entries')))
    process.stdout.write(await this.remote('register', ...filesOf('services')))
  }

  /** `show` brings it up and tells about it; it ends with Ctrl-C, or at once with --once. */
  async run(show, running) {
    try {
      await show()
      if (!process.argv.includes('--once')) {
        console.log(`Running: ${running} Ctrl-C ends it.`)
        await new Promise(resolve => process.once('SIGINT', resolve).once('SIGTERM', resolve))
      }
    } finally {
      this.stop()
    }
  }

  stop() {
    for (const child of this.children) child.kill('SIGKILL')
    for (const server of this.servers) server.close()
    rmSync(this.dir, { recursive: true, force: true })
  }
}

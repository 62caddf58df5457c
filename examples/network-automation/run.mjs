// Runs this deployment on one machine: `node examples/network-automation/run.mjs` (README.md). nginx, which must be installed, follows the
// catalog: one instance, then two; and a setting that nginx refuses changes nothing. Ends with Ctrl-C, or with --once after it has shown that.
import { execFile, spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { bin, Deployment, expectOk, get, until } from '../deployment.mjs'

const WEB = 'http://127.0.0.1:28491'
const STATUS_PORT = '28458'
const folder = import.meta.dirname
const deployment = new Deployment({ folder, http: '127.0.0.1:28450', grpc: '127.0.0.1:28452' })

/** The files of this folder for a place where nobody needs to be root. */
function placed(file) {
  const path = join(deployment.dir, file)
  writeFileSync(
    path,
    readFileSync(join(folder, file), 'utf8')
      .replaceAll('/etc/nginx', deployment.dir)
      .replaceAll('nginx.conf.tmpl', `${deployment.dir}/nginx.conf.tmpl`),
  )
  return path
}

/** Who has answered, once these have. */
function answered(...names) {
  return until(`answers of ${names}`, async () => {
    const seen = new Set()
    for (let i = 0; i < 20; i++) seen.add(expectOk(await get(WEB)).text)
    if ([...seen].sort().join() !== names.join()) throw new Error(`${[...seen]} answered`)
    return [...seen].sort().join(' and ')
  })
}

async function tasks() {
  const all = [bin('outrigger'), 'sync', 'task', 'list', '--port', STATUS_PORT]
  return (await promisify(execFile)(process.execPath, all)).stdout
}

await deployment.run(async () => {
  deployment.application(28401, () => 'web-1')
  deployment.application(28402, () => 'web-2')
  await deployment.control()
  placed('nginx.conf.tmpl')
  const config = placed('tasks.hcl')
  process.stdout.write(await deployment.remote('sync', '--once', '--config', config))
  const nginx = spawn('nginx', ['-c', join(deployment.dir, 'nginx.conf'), '-g', 'daemon off;'], { stdio: ['ignore', 'ignore', 'inherit'] })
  deployment.children.push({ kill: () => nginx.kill('SIGTERM') })
  console.log(`\nnginx asks ${await answered('web-1')}`)
  deployment.start(bin('outrigger'), 'sync', '--config', config, '--http-addr', deployment.http, '--log-level', 'warning')
  process.stdout.write(await deployment.remote('register', join(folder, 'later/web-2.hcl')))
  console.log(`nginx asks ${await answered('web-1', 'web-2')}\n`)
  await deployment.remote('kv put', 'web/max-body', 'a lot')
  await until('a refused change', async () => {
    if (!(await tasks()).includes('check nginx')) throw new Error('nothing was refused')
  })
  console.log(`${await tasks()}\nnginx still asks ${await answered('web-1', 'web-2')}`)
}, `${WEB} is nginx, http://${deployment.http} the control plane.`)

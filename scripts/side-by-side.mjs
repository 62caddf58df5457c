// Runs the commands that its arguments are, as many at once as there are cores: `npm run check` is several that use one core each.
// What a command prints comes in one piece when it has ended, with the seconds that it took. All run to their end; exits 1 if one failed.
import { spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'

const waiting = process.argv.slice(2)
let failed = false

function run(command) {
  const started = Date.now()
  const child = spawn(command, { shell: true, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', text => (output += text))
  return new Promise(resolve =>
    child.once('close', code => {
      if (code !== 0) failed = true
      process.stdout.write(`${code === 0 ? 'ok' : 'FAILED'}  ${command}  ${((Date.now() - started) / 1000).toFixed(1)} s\n${output}`)
      resolve()
    }),
  )
}

async function work() {
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await run(next)
}

await Promise.all(Array.from({ length: Math.max(2, availableParallelism()) }, work))
if (failed) process.exit(1)

// Runs the fuzz targets of test/fuzz: `npm run fuzz -- --seconds 60 [--target http2] [--seed 123]`. A target is a module *-fuzz.ts with
// `fuzzOnce(random)`. Each round has a seed of its own, printed on failure: `--seed <it> --seconds 0 --target <it>` runs that round alone.
// Exit 1 on the first failure. The targets are compiled by tsc into node_modules/.cache, so that they run at the speed of dist/.
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const out = join(root, 'node_modules/.cache/outrigger-fuzz')
const suffix = '-fuzz.ts'
const all = readdirSync(join(root, 'test/fuzz'))
  .filter(file => file.endsWith(suffix))
  .map(file => file.slice(0, -suffix.length))

function usage(problem) {
  process.stderr.write(`fuzz: ${problem}\nusage: npm run fuzz -- --seconds N [--target ${all.join('|')}] [--seed N]\n`)
  process.exit(2)
}

function parsed() {
  try {
    return parseArgs({ options: { seconds: { type: 'string' }, target: { type: 'string' }, seed: { type: 'string' } } }).values
  } catch (error) {
    return usage(error.message)
  }
}

function wholeNumber(name, text) {
  if (!/^\d{1,10}$/.test(text)) usage(`--${name} must be a whole number, got "${text}"`)
  return Number(text)
}

function compile() {
  rmSync(out, { recursive: true, force: true })
  mkdirSync(out, { recursive: true })
  writeFileSync(join(out, 'package.json'), '{"type":"module"}')
  const config = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: { noEmit: false, rootDir: root, outDir: out, sourceMap: true, typeRoots: [join(root, 'node_modules/@types')] },
    include: [join(root, 'test/fuzz/*.ts'), join(root, 'src/**/*.d.ts')],
    exclude: [join(root, 'test/fuzz/*.test.ts')],
  }
  writeFileSync(join(out, 'tsconfig.json'), JSON.stringify(config))
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', join(out, 'tsconfig.json')], { stdio: 'inherit' })
}

const options = parsed()
const seconds = wholeNumber('seconds', options.seconds ?? '30')
const first = wholeNumber('seed', options.seed ?? String(Date.now() % 1_000_000_000)) >>> 0
const targets = options.target === undefined ? all : [options.target]
for (const target of targets) if (!all.includes(target)) usage(`--target "${target}" is not one of ${all.join(', ')}`)

compile()
const { seeded } = await import(pathToFileURL(join(out, 'test/fuzz/seeded.js')).href)
const shareMs = (seconds * 1000) / targets.length
for (const target of targets) {
  const { fuzzOnce } = await import(pathToFileURL(join(out, `test/fuzz/${target}-fuzz.js`)).href)
  const until = performance.now() + shareMs
  let rounds = 0
  do {
    const seed = (first + rounds) >>> 0
    try {
      fuzzOnce(seeded(seed))
    } catch (error) {
      process.stderr.write(
        `fuzz: ${target} failed in round ${rounds + 1}; repeat it with --target ${target} --seed ${seed} --seconds 0\n${error.stack}\n`,
      )
      process.exit(1)
    }
    rounds++
  } while (performance.now() < until)
  process.stdout.write(`fuzz: ${target}: ${rounds} rounds from seed ${first}, no failure\n`)
}

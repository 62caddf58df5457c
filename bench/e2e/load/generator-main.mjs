// One load generator as a process. argv: its name in generators.mjs, its options as JSON. Prints its result as one line of JSON.
const generators = await import('./generators.mjs')
const [kind, options] = process.argv.slice(2)
try {
  const result = await generators[kind](JSON.parse(options))
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0))
} catch (error) {
  process.stderr.write(`${error.message}\n`, () => process.exit(1))
}

// What a filter compiles from a part of the configuration at its first use: a route's override, a policy. Kept as long as that part is.

export function compileOnce<Config extends object, Compiled extends object>(
  compile: (config: Config) => Compiled,
): (config: Config) => Compiled {
  const byConfig = new WeakMap<Config, Compiled>()
  return config => {
    let compiled = byConfig.get(config)
    if (compiled === undefined) {
      compiled = compile(config)
      byConfig.set(config, compiled)
    }
    return compiled
  }
}

// MT19937 (Matsumoto and Nishimura, 1998): the seeded shuffle of bounded-load hashing, so that an overloaded key goes to the same next
// host as with Envoy. Used by hash-load-balancer only when a host is over its bound.

const LENGTH = 624
const MIDDLE = 397
const state = new Uint32Array(LENGTH)

/** Only one sequence at a time: `seed` starts it, `next` draws 32 bits. */
export const mersenneTwister = {
  at: LENGTH,

  seed(seed: number): void {
    state[0] = seed
    for (let i = 1; i < LENGTH; i++) {
      const previous = state[i - 1]! ^ (state[i - 1]! >>> 30)
      state[i] = Math.imul(1812433253, previous) + i
    }
    this.at = LENGTH
  },

  next(): number {
    if (this.at === LENGTH) {
      for (let i = 0; i < LENGTH; i++) {
        const y = (state[i]! & 0x80000000) | (state[(i + 1) % LENGTH]! & 0x7fffffff)
        state[i] = state[(i + MIDDLE) % LENGTH]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0)
      }
      this.at = 0
    }
    let y = state[this.at++]!
    y ^= y >>> 11
    y ^= (y << 7) & 0x9d2c5680
    y ^= (y << 15) & 0xefc60000
    y ^= y >>> 18
    return y >>> 0
  },

  /** Uniform in [0, count), by division and rejection as Envoy does it. */
  below(count: number): number {
    const divisor = Math.floor(4294967296 / count)
    let value = count
    while (value >= count) value = Math.floor(this.next() / divisor)
    return value
  },
}

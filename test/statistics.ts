// For tests that compare samples: the two-sample Kolmogorov-Smirnov test, and a generator whose numbers are the same
// in every run.

/** The level below which two samples count as different, p2p-wire(7): once in 10,000 comparisons by chance. */
export const ALPHA = 0.0001

/** The probability that two samples of one distribution lie as far apart as these, by the largest gap between them. */
export function sameDistribution(a: readonly number[], b: readonly number[]): number {
  const [x, y] = [a.toSorted((p, q) => p - q), b.toSorted((p, q) => p - q)]
  let [i, j, gap] = [0, 0, 0]
  while (i < x.length && j < y.length) {
    const at = Math.min(x[i] as number, y[j] as number)
    while (x[i] === at) i++
    while (y[j] === at) j++
    gap = Math.max(gap, Math.abs(i / x.length - j / y.length))
  }
  const root = Math.sqrt((x.length * y.length) / (x.length + y.length))
  return tail((root + 0.12 + 0.11 / root) * gap) // Stephens 1970: good from about four of each on
}

/** The distance of a sample to the uniform distribution on [from, to), as a probability. */
export function isUniform(sample: readonly number[], from: number, to: number): number {
  const sorted = sample.toSorted((p, q) => p - q)
  const gap = sorted.reduce((most, value, n) => {
    const at = (value - from) / (to - from)
    return Math.max(most, Math.abs(at - n / sorted.length), Math.abs(at - (n + 1) / sorted.length))
  }, 0)
  const root = Math.sqrt(sorted.length)
  return tail((root + 0.12 + 0.11 / root) * gap)
}

/** Kolmogorov's distribution. */
function tail(lambda: number): number {
  if (lambda < 0.3) return 1
  let sum = 0
  for (let k = 1; k <= 100; k++) sum += 2 * (k % 2 === 1 ? 1 : -1) * Math.exp(-2 * k * k * lambda * lambda)
  return Math.min(1, Math.max(0, sum))
}

/** Numbers in [0, 1) that depend on the seed alone (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

export function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const out = [...items]
  for (let at = out.length - 1; at > 0; at--) {
    const other = Math.floor(random() * (at + 1))
    ;[out[at], out[other]] = [out[other] as T, out[at] as T]
  }
  return out
}

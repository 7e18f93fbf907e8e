// When to try again, as pure functions. The delay grows with the age of the outage, as qmail's does: often at first,
// never more seldom than every four hours, spread by jitter so that a thousand homes do not call at once.

/** Seconds: the k of qmail-send's (sqrt(age) + k)^2: attempts at 400, 1600, 3600 s ... after the first failure. */
const STEP = 20

/** Seconds between two attempts, at most. */
const GAP_MAX = 4 * 3600

/** Each delay is shortened or lengthened by up to this part of it. */
const JITTER = 0.1

/**
 * When to try again (Unix ms), after an attempt at `now` that failed like all since `first` (Unix ms).
 * `fraction` in [0, 1) is the jitter.
 */
export function nextAttempt(first: number, now: number, fraction: number): number {
  const age = Math.max(0, (now - first) / 1000)
  const gap = Math.min(GAP_MAX, (Math.sqrt(age) + STEP) ** 2 - age)
  return Math.round(now + gap * (1 + JITTER * (2 * fraction - 1)) * 1000)
}

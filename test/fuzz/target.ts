// What is fuzzed: a parser with its properties. A target takes any bytes and says whether they were taken; it throws
// only if a property does not hold, or if the parser threw what it must not.

import { isDeepStrictEqual } from 'node:util'

import { Failure, Malformed } from '../../lib/base/fail.ts'

export interface Target {
  name: string
  /** Bytes of the longest input. */
  max: number
  /** What the format is made of: mutations put these in. */
  words: readonly (string | Uint8Array)[]
  /** Inputs to begin with, most of them valid. */
  seeds(seed: number): Uint8Array[] | Promise<Uint8Array[]>
  /** Files whose coverage guides. */
  code: RegExp
  /** Whether the parser took it. Throws if it broke a promise. */
  run(input: Uint8Array): boolean | Promise<boolean>
}

/** A property that did not hold. */
export class Broken extends Error {}

/** True for an error that a parser may throw at foreign bytes. */
export function isTyped(error: unknown): boolean {
  return error instanceof Malformed || error instanceof Failure
}

/** What `parse` gives; undefined if it refused with a typed error. Anything else that is thrown goes on. */
export function taken<T>(parse: () => T): { value: T } | undefined {
  try {
    return { value: parse() }
  } catch (error) {
    if (isTyped(error)) return undefined
    throw error
  }
}

/** The same for what takes its time. */
export async function takenLater<T>(parse: () => Promise<T>): Promise<{ value: T } | undefined> {
  try {
    return { value: await parse() }
  } catch (error) {
    if (isTyped(error)) return undefined
    throw error
  }
}

/** Throws Broken unless the two are equal; bytes by their bytes, whatever kind of array holds them. */
export function same(actual: unknown, expected: unknown, what: string): void {
  const equal =
    actual instanceof Uint8Array && expected instanceof Uint8Array
      ? Buffer.compare(actual, expected) === 0
      : isDeepStrictEqual(actual, expected)
  if (!equal) throw new Broken(`${what} differs`)
}

/** Throws Broken unless it holds. */
export function holds(condition: boolean, what: string): void {
  if (!condition) throw new Broken(what)
}

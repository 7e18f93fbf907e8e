// Inputs from inputs: bits, bytes, numbers, words of the format, pieces moved, doubled and taken from others. What comes
// out is decided by the dice alone.

import type { Dice } from '../soak/random.ts'

const EDGES = [0, 1, 2, 0x09, 0x0a, 0x0d, 0x20, 0x22, 0x2f, 0x3c, 0x3d, 0x5c, 0x7b, 0x7f, 0x80, 0xc0, 0xe2, 0xed, 0xf4, 0xfe, 0xff]
const NUMBERS = [0n, 1n, 2n, 127n, 128n, 255n, 256n, 4096n, 32_767n, 32_768n, 65_535n, 65_536n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 32n - 1n]
const LARGE = [2n ** 32n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]
const DIGITS = ['0', '-0', '-1', '1', '48', '49', '255', '256', '65536', '1e400', '1.5', '9007199254740991', '9007199254740993', '9'.repeat(30)]

/** So many of the corpus led furthest, as far as is known. */
const LATE = 4

/** Beyond this a doubled piece is only rarely prolonged: most inputs are to be quick. */
const USUAL_MAX = 4096

export class Mutator {
  readonly #dice: Dice
  readonly #words: Uint8Array[]
  readonly #max: number

  constructor(dice: Dice, words: readonly (string | Uint8Array)[], max: number) {
    this.#dice = dice
    this.#words = words.map((word) => (typeof word === 'string' ? new Uint8Array(Buffer.from(word)) : word))
    this.#max = max
  }

  /** One of `corpus`, often a late one, changed one to eight times; never longer than allowed. */
  next(corpus: readonly Uint8Array[]): Uint8Array {
    const late = this.#dice.chance(0.4) ? corpus.slice(-LATE) : corpus
    let bytes: Uint8Array = new Uint8Array(this.#dice.pick(late))
    for (let times = this.#dice.chance(0.5) ? 1 : this.#dice.between(2, 8); times > 0; times--) {
      bytes = this.#change(bytes, corpus)
    }
    return bytes.length > this.#max ? bytes.slice(0, this.#max) : bytes
  }

  #change(bytes: Uint8Array, corpus: readonly Uint8Array[]): Uint8Array {
    const dice = this.#dice
    const at = dice.between(0, Math.max(0, bytes.length - 1))
    switch (dice.between(0, 13)) {
      case 0:
        return this.#set(bytes, at, (bytes[at] ?? 0) ^ (1 << dice.between(0, 7)))
      case 1:
        return this.#set(bytes, at, dice.between(0, 255))
      case 2:
        return this.#set(bytes, at, dice.pick(EDGES))
      case 3:
        return this.#set(bytes, at, (bytes[at] ?? 0) + dice.pick([-1, 1, 16, -16]))
      case 4:
        return splice(bytes, at, 0, Uint8Array.from({ length: dice.between(1, 16) }, () => dice.between(0, 255)))
      case 5:
        return splice(bytes, at, this.#length(bytes), NOTHING)
      case 6:
        return this.#double(bytes, at)
      case 7:
        return this.#number(bytes, at)
      case 8:
        return this.#digits(bytes)
      case 9:
        return splice(bytes, at, 0, this.#word())
      case 10: {
        const word = this.#word()
        return splice(bytes, at, word.length, word)
      }
      case 11:
        return this.#cross(bytes, at, dice.pick(corpus))
      case 12: {
        const piece = bytes.slice(at, at + this.#length(bytes))
        return splice(splice(bytes, at, piece.length, NOTHING), dice.between(0, bytes.length), 0, piece)
      }
      default:
        return bytes.slice(0, at)
    }
  }

  /** The same array: it is a copy already. */
  #set(bytes: Uint8Array, at: number, value: number): Uint8Array {
    if (at < bytes.length) bytes[at] = value
    return bytes
  }

  #length(bytes: Uint8Array): number {
    return this.#dice.chance(0.8) ? this.#dice.between(1, 8) : this.#dice.between(1, Math.max(1, bytes.length))
  }

  #word(): Uint8Array {
    return this.#words.length === 0 ? NOTHING : this.#dice.pick(this.#words)
  }

  #double(bytes: Uint8Array, at: number): Uint8Array {
    const piece = bytes.slice(at, at + this.#length(bytes))
    const room = this.#dice.chance(0.002) ? this.#max : Math.min(this.#max, USUAL_MAX)
    const most = Math.max(1, Math.floor((room - bytes.length) / Math.max(1, piece.length)))
    const times = this.#dice.chance(0.9) ? 1 : Math.min(most, 2 ** this.#dice.between(1, 20))
    const out = new Uint8Array(piece.length * times)
    for (let n = 0; n < times; n++) out.set(piece, n * piece.length)
    return splice(bytes, at, 0, out)
  }

  #number(bytes: Uint8Array, at: number): Uint8Array {
    const size = this.#dice.pick([1, 2, 4, 8])
    const value = BigInt.asUintN(size * 8, this.#dice.pick(size === 8 ? [...NUMBERS, ...LARGE] : NUMBERS))
    const view = Buffer.alloc(8)
    view.writeBigUInt64BE(value)
    return splice(bytes, at, size, view.subarray(8 - size))
  }

  /** A number in digits, if there is one behind some place. */
  #digits(bytes: Uint8Array): Uint8Array {
    const from = this.#dice.between(0, bytes.length)
    const start = bytes.findIndex((byte, at) => at >= from && byte >= 0x30 && byte <= 0x39)
    if (start < 0) return bytes
    let end = start
    while (end < bytes.length && (bytes[end] as number) >= 0x30 && (bytes[end] as number) <= 0x39) end++
    return splice(bytes, start, end - start, Buffer.from(this.#dice.pick(DIGITS)))
  }

  #cross(bytes: Uint8Array, at: number, other: Uint8Array): Uint8Array {
    const from = this.#dice.between(0, other.length)
    const piece = other.subarray(from, from + this.#dice.between(1, Math.max(1, other.length - from)))
    return this.#dice.chance(0.5) ? splice(bytes, at, bytes.length, piece) : splice(bytes, at, piece.length, piece)
  }
}

const NOTHING = new Uint8Array(0)

function splice(bytes: Uint8Array, at: number, remove: number, put: Uint8Array): Uint8Array {
  const end = Math.min(bytes.length, at + remove)
  const start = Math.min(at, bytes.length)
  const out = new Uint8Array(start + put.length + bytes.length - end)
  out.set(bytes.subarray(0, start))
  out.set(put, start)
  out.set(bytes.subarray(end), start + put.length)
  return out
}

// Ids of 64 hexadecimal digits by small numbers, from 1 on in the order in which they come: 40 bytes for each, where a
// map of texts takes 200.

import { hexWord, mixWords, wordHex } from './hexword.ts'

const WORDS = 8
const FIRST_ROOM = 1024

export class IdTable {
  #count = 0
  #words = new Uint32Array(0)
  #slots = new Uint32Array(0)
  readonly #id = new Uint32Array(WORDS)
  readonly #draw: () => number
  #seed = 0
  readonly #expected: number

  /** `draw` gives 32 bits that no peer knows, once there is an id; `expected`: how many there may be, so that it need not grow. */
  constructor(draw: () => number, expected = 0) {
    this.#draw = draw
    this.#expected = expected
  }

  #begin(): void {
    this.#seed = this.#draw()
    let room = FIRST_ROOM
    while (room < this.#expected + 2) room *= 2
    this.#words = new Uint32Array(room * WORDS)
    this.#slots = new Uint32Array(2 * room)
  }

  /** The highest number. */
  get count(): number {
    return this.#count
  }

  /** Its number, a new one if it has none; 0 for what is no id. */
  take(id: string): number {
    if (!this.#parse(id)) return 0
    if (this.#slots.length === 0) this.#begin()
    const known = this.#slots[this.#slot()] as number
    if (known !== 0) return known
    if ((this.#count + 1) * WORDS >= this.#words.length) this.#grow()
    this.#count += 1
    this.#words.set(this.#id, this.#count * WORDS)
    this.#slots[this.#slot()] = this.#count
    return this.#count
  }

  /** Its number, or 0. */
  find(id: string): number {
    return this.#count > 0 && this.#parse(id) ? (this.#slots[this.#slot()] as number) : 0
  }

  /** The id with this number. */
  text(number: number): string {
    return Array.from(this.#words.subarray(number * WORDS, (number + 1) * WORDS), wordHex).join('')
  }

  #parse(id: string): boolean {
    if (id.length !== 8 * WORDS) return false
    for (let word = 0; word < WORDS; word++) {
      const value = hexWord(id, 8 * word)
      if (value < 0) return false
      this.#id[word] = value
    }
    return true
  }

  #slot(): number {
    const mask = this.#slots.length - 1
    for (let slot = mixWords(this.#id, this.#seed) & mask; ; slot = (slot + 1) & mask) {
      const number = this.#slots[slot] as number
      if (number === 0 || this.#isAt(number)) return slot
    }
  }

  #isAt(number: number): boolean {
    for (let word = 0; word < WORDS; word++) if (this.#words[number * WORDS + word] !== this.#id[word]) return false
    return true
  }

  #grow(): void {
    const words = new Uint32Array(2 * this.#words.length)
    words.set(this.#words)
    this.#words = words
    this.#slots = new Uint32Array(2 * this.#slots.length)
    const mask = this.#slots.length - 1
    for (let number = 1; number <= this.#count; number++) {
      let slot = mixWords(words.subarray(number * WORDS, (number + 1) * WORDS), this.#seed) & mask
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask
      this.#slots[slot] = number
    }
  }
}

// The digests of all mails as a table: a row of numbers for each mail, by its place in the roll, and one for each id that
// any of them names; 92 bytes for a mail with its id. Guarantee: rows about one id are found in the order in which they
// were linked, and of two mails with one id the first counts. What is in it was said by peers: who may say what is not
// judged here.

import { IdTable } from '../base/idtable.ts'
import { MESSAGE_TYPES, type MessageType } from '../wire/record.ts'
import type { Digest } from './mailindex.ts'

/** What is kept of a digest. */
export type Facts = Omit<Digest, 'media'>

/** Columns of a row. The numbers of KEYs, ids and types begin at 1; 0 is none. */
const [TYPE, KEY, TO_KEY, ID, REPLY, TARGET, NEXT] = [0, 1, 2, 3, 4, 5, 6]
const COLUMNS = 7
/** Columns of an id: whose it is, whom it went to, the row it is in (from 1 on), and the first and last rows about it. */
const [KNOWN, BY, TO, ROW, FIRST, LAST] = [0, 1, 2, 3, 4, 5]
const ID_COLUMNS = 6

/** Rows that fit before the table grows, beside those that there are. */
const SPARE = 1024

export class DigestTable {
  readonly #ids: IdTable
  #rows: Uint32Array
  /** By the number of an id. */
  #about: Uint32Array
  readonly #keys: string[] = ['']
  /** Of each as it was met, and in small letters. */
  readonly #keyNumbers = new Map<string, number>()

  /** `draw`: see IdTable; `expected`: how many mails there are. */
  constructor(draw: () => number, expected: number) {
    this.#rows = new Uint32Array(COLUMNS * (expected + SPARE))
    this.#about = new Uint32Array(ID_COLUMNS * (expected + SPARE))
    this.#ids = new IdTable(draw, expected)
  }

  /** Sets a row. */
  note(row: number, { id, key, toKey, reply, type, target }: Digest): void {
    if ((row + 1) * COLUMNS > this.#rows.length) this.#rows = doubled(this.#rows)
    const number = (text: string | undefined): number => (text === undefined ? 0 : this.#ids.take(text))
    const kind = MESSAGE_TYPES.includes(type) ? type : 'foreign' // of a later version
    const columns = [MESSAGE_TYPES.indexOf(kind) + 1, this.keyNumber(key), this.keyNumber(toKey), number(id), number(reply), number(target), 0]
    this.#rows.set(columns, row * COLUMNS)
  }

  /** A row that is noted is the one of its id from now on, unless there is one, and one more about its target. */
  link(row: number): void {
    const id = this.idOf(row)
    if (id === 0 || this.#ofId(id, ROW) !== 0) return
    this.#setOfId(id, ROW, row + 1)
    this.party(id, this.senderOf(row), this.recipientOf(row))
    const target = this.targetOf(row)
    if (target === 0) return
    const last = this.#ofId(target, LAST)
    if (last === 0) this.#setOfId(target, FIRST, row + 1)
    else this.#rows[(last - 1) * COLUMNS + NEXT] = row + 1
    this.#setOfId(target, LAST, row + 1)
  }

  /** The message with this id is there, and between these two went it. */
  party(id: number, key: number, toKey: number): void {
    this.#setOfId(id, KNOWN, 1)
    this.#setOfId(id, BY, key)
    this.#setOfId(id, TO, toKey)
  }

  /** False for a mail that vanished before it was looked at. */
  isKnown(row: number): boolean {
    return this.#get(row, TYPE) !== 0
  }

  facts(row: number): Facts {
    return {
      id: this.idText(this.idOf(row)),
      key: this.keyOf(this.senderOf(row)),
      toKey: this.keyOf(this.recipientOf(row)),
      reply: this.idText(this.replyOf(row)),
      target: this.idText(this.targetOf(row)),
      type: this.typeOf(row) ?? 'foreign',
    }
  }

  /** Undefined for a row that is not known. */
  typeOf(row: number): MessageType | undefined {
    return MESSAGE_TYPES[this.#get(row, TYPE) - 1]
  }

  /** Numbers for keyOf() and idText(); 0 for none. */
  senderOf(row: number): number {
    return this.#get(row, KEY)
  }

  recipientOf(row: number): number {
    return this.#get(row, TO_KEY)
  }

  idOf(row: number): number {
    return this.#get(row, ID)
  }

  replyOf(row: number): number {
    return this.#get(row, REPLY)
  }

  targetOf(row: number): number {
    return this.#get(row, TARGET)
  }

  /** The number of an id that some mail names; 0 if none does. */
  idNumber(id: string): number {
    return this.#ids.find(id)
  }

  idText(id: number): string | undefined {
    return id === 0 ? undefined : this.#ids.text(id)
  }

  /** The row of the message with this id, or -1. */
  rowOf(id: number): number {
    return this.#ofId(id, ROW) - 1
  }

  /** Whether there is a message with this id; then from whom and to whom it went, as numbers for keyOf(). */
  isThere(id: number): boolean {
    return this.#ofId(id, KNOWN) !== 0
  }

  byOf(id: number): number {
    return this.#ofId(id, BY)
  }

  toOf(id: number): number {
    return this.#ofId(id, TO)
  }

  /** The rows that name this id as their target, oldest first. */
  rowsAbout(id: number): number[] {
    const rows: number[] = []
    for (let at = this.#ofId(id, FIRST); at !== 0; at = this.#get(at - 1, NEXT)) rows.push(at - 1)
    return rows
  }

  /** One number for a KEY in whatever case: mail programs fold it. */
  keyNumber(key: string | undefined): number {
    if (key === undefined) return 0
    const known = this.#keyNumbers.get(key)
    if (known !== undefined) return known
    const folded = key.toLowerCase()
    const number = this.#keyNumbers.get(folded) ?? this.#keys.push(key) - 1
    this.#keyNumbers.set(key, number).set(folded, number)
    return number
  }

  /** The KEY with this number, in the case in which it was first met. */
  keyOf(number: number): string | undefined {
    return number === 0 ? undefined : this.#keys[number]
  }

  #get(row: number, column: number): number {
    return this.#rows[row * COLUMNS + column] ?? 0
  }

  #ofId(id: number, column: number): number {
    return id === 0 ? 0 : (this.#about[id * ID_COLUMNS + column] ?? 0)
  }

  #setOfId(id: number, column: number, value: number): void {
    while ((id + 1) * ID_COLUMNS > this.#about.length) this.#about = doubled(this.#about)
    this.#about[id * ID_COLUMNS + column] = value
  }
}

function doubled(array: Uint32Array): Uint32Array<ArrayBuffer> {
  const wider = new Uint32Array(2 * array.length)
  wider.set(array)
  return wider
}

// The ids of what stands in the inbox, for the one question whether a message that `seen` does not know is there all the
// same: then `seen` was put back to an older state or deleted, and the message is marked as a possible duplicate. Eight
// bytes a message: a look at the folder for each commit would take far longer where a hundred thousand lie in it.

import type { Home } from './home.ts'

/** Digits of an id that are compared; 48 bits fit into a number. One in 2^31 is marked in vain beside 100,000 others. */
const DIGITS = 12

const NAME = /^\d{1,17}\.([0-9a-f]{12})[0-9a-f]{20}\.p2p(?:$|:)/

export class Present {
  /** Ascending. */
  readonly #ids: Float64Array

  private constructor(ids: Float64Array) {
    this.#ids = ids
  }

  /** As the inbox is now. */
  static async read(home: Home): Promise<Present> {
    const names = [...(await home.files.list(home.at('inbox', 'new'))), ...(await home.files.list(home.at('inbox', 'cur')))]
    const ids = new Float64Array(names.length)
    let count = 0
    for (const name of names) {
      const digits = NAME.exec(name)?.[1]
      if (digits !== undefined) ids[count++] = parseInt(digits, 16)
    }
    return new Present(ids.subarray(0, count).sort())
  }

  /** True if the message of this id (hex) was there. */
  has(id: string): boolean {
    const wanted = parseInt(id.slice(0, DIGITS), 16)
    let low = 0
    let high = this.#ids.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#ids[middle] as number) < wanted) low = middle + 1
      else high = middle
    }
    return this.#ids[low] === wanted
  }
}

// In the place of what the terminal library takes from Unicode's tables: where a text is cut into what stands as one, how
// wide that is, what is an emoji, patterns that most lines never meet. The answers are the same for every text; but the
// tables, which take 30 ms to load, are asked only about texts that need them. bundle.ts puts this in.

/**
 * Ranges of code units of which none joins another one of them, and none takes no column: letters and signs without
 * marks, joiners and halves of pairs.
 */
const ALONE = [
  [0x20, 0x7e],
  [0xa0, 0xac],
  [0xae, 0x2ff], // Latin
  [0x370, 0x482], // Greek, Cyrillic
  [0x48a, 0x52f],
  [0x5d0, 0x5ea], // Hebrew
  [0x621, 0x64a], // Arabic
  [0x1e00, 0x1fff],
  [0x2010, 0x2027], // punctuation
  [0x2030, 0x205f],
  [0x2070, 0x20cf],
  [0x2100, 0x2bff], // arrows, boxes, symbols
  [0x3001, 0x3029], // kana, ideographs
  [0x3030, 0x3096],
  [0x309b, 0x3163],
  [0x3165, 0x9fff],
  [0xff01, 0xff60],
] as const

const alone = new Uint8Array(0x10000)
for (const [first, last] of ALONE) alone.fill(1, first, last + 1)

/** A single unit that is a whole character to read, and takes a column or two. */
export function isAlone(text: string): boolean {
  return text.length === 1 && alone[text.charCodeAt(0)] === 1
}

type Cut = Pick<Intl.SegmentData, 'segment' | 'index' | 'input'>

/** As Intl.Segmenter, which it asks only where a text is not made of such units, or words are wanted. */
export class Segmenter {
  readonly #how: [string | undefined, Intl.SegmenterOptions | undefined]
  #whole: Intl.Segmenter | undefined

  constructor(locale?: string, options?: Intl.SegmenterOptions) {
    this.#how = [locale, options]
  }

  segment(text: string): Iterable<Cut> {
    const found: Cut[] = []
    for (let index = 0; index < text.length; index++) {
      if (alone[text.charCodeAt(index)] === 0 || this.#how[1]?.granularity === 'word') return (this.#whole ??= new Intl.Segmenter(...this.#how)).segment(text)
      found.push({ segment: text.charAt(index), index, input: text })
    }
    return found
  }
}

/** As `\p{RGI_Emoji}` between ^ and $. Of those made of one code point, with or without VS16, a smaller table tells. */
export class Emoji {
  #all: RegExp | undefined

  test(text: string): boolean {
    const code = text.codePointAt(0) ?? 0
    const length = code > 0xffff ? 2 : 1
    if (text.length === length) return /^\p{Emoji_Presentation}$/u.test(text) && !/^\p{Regional_Indicator}$/u.test(text)
    if (text.length === length + 1 && text.endsWith('\ufe0f')) return code > 0x7f && /^(?!\p{Emoji_Presentation})\p{Emoji}/u.test(text)
    return (this.#all ??= new RegExp('^\\p{RGI_Emoji}$', 'v')).test(text)
  }
}

/** A pattern that is read when it is first asked. */
export class Pattern {
  readonly source: string
  readonly #flags: string
  #made: RegExp | undefined

  constructor(source: string, flags: string) {
    this.source = source
    this.#flags = flags
  }

  test(text: string): boolean {
    return (this.#made ??= new RegExp(this.source, this.#flags)).test(text)
  }
}

// JSON as RFC 8259 has it and nothing more, for text that others wrote: a key stands once per object, every string
// is well-formed Unicode, nesting and size are bounded before anything is built, and an integer that a double cannot
// hold is refused rather than rounded. Two readers of one text therefore never see two meanings.

import { fromUtf8, utf8 } from '../base/bytes.ts'
import { Malformed } from '../base/fail.ts'

/** `depth`: levels of arrays and objects (a scalar is 0 levels); `size`: bytes of UTF-8. */
export interface JsonLimits {
  depth: number
  size: number
}

const BLANK = /[ \t\n\r]*/y
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
const ESCAPED = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y
const ESCAPE = /\\(?:u([0-9a-fA-F]{4})|(.))/g
const LONE_SURROGATE = /[\ud800-\udfff]/u // with the u flag a pair is one code point and does not match
const SHORT: Record<string, string> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }

/**
 * The value of one JSON text (RFC 8259), from strict UTF-8 or a string.
 * Objects are plain and hold own properties only, `__proto__` included. Throws Malformed.
 */
export function parseStrict(input: Uint8Array | string, limits: JsonLimits): unknown {
  if (input.length > limits.size) throw new Malformed('JSON text too long') // UTF-16 units never outnumber bytes
  const text = typeof input === 'string' ? input : fromUtf8(input)
  if (typeof input === 'string' && text.length * 3 > limits.size && utf8(text).length > limits.size) {
    throw new Malformed('JSON text too long')
  }
  const parser = new Parser(text, limits.depth)
  return parser.document()
}

class Parser {
  readonly #text: string
  readonly #depth: number
  #at = 0
  /** The last string has neither escapes nor what may be a surrogate. */
  #plain = false

  constructor(text: string, depth: number) {
    this.#text = text
    this.#depth = depth
  }

  document(): unknown {
    this.#blank()
    const value = this.#value(0)
    this.#blank()
    if (this.#at !== this.#text.length) throw new Malformed('text after the JSON value')
    return value
  }

  #blank(): void {
    if (this.#text.charCodeAt(this.#at) > 0x20) return
    BLANK.lastIndex = this.#at
    BLANK.test(this.#text)
    this.#at = BLANK.lastIndex
  }

  #value(level: number): unknown {
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object(level + 1)
      case '[':
        return this.#array(level + 1)
      case '"':
        return this.#string()
      case 't':
        return this.#word('true', true)
      case 'f':
        return this.#word('false', false)
      case 'n':
        return this.#word('null', null)
      default:
        return this.#number()
    }
  }

  #enter(level: number): void {
    if (level > this.#depth) throw new Malformed('JSON nested too deeply')
    this.#at += 1
    this.#blank()
  }

  /** After an element: true if another follows, false if `close` ended the list. */
  #more(close: string): boolean {
    this.#blank()
    const next = this.#text[this.#at]
    this.#at += 1
    if (next === close) return false
    if (next !== ',') throw new Malformed('not JSON')
    this.#blank()
    return true
  }

  #object(level: number): Record<string, unknown> {
    this.#enter(level)
    const entries = new Map<string, unknown>()
    if (this.#text[this.#at] === '}') {
      this.#at += 1
      return {}
    }
    do {
      const key = this.#string()
      if (entries.has(key)) throw new Malformed('JSON key repeated')
      this.#blank()
      if (this.#text[this.#at] !== ':') throw new Malformed('not JSON')
      this.#at += 1
      this.#blank()
      entries.set(key, this.#value(level))
    } while (this.#more('}'))
    return Object.fromEntries(entries) // defines, never assigns: `__proto__` stays an ordinary key
  }

  #array(level: number): unknown[] {
    this.#enter(level)
    const items: unknown[] = []
    if (this.#text[this.#at] === ']') {
      this.#at += 1
      return items
    }
    do items.push(this.#value(level))
    while (this.#more(']'))
    return items
  }

  #string(): string {
    const raw = this.#rawString()
    if (this.#plain) return raw
    const text = raw.includes('\\') ? raw.replace(ESCAPE, unescape) : raw
    if (LONE_SURROGATE.test(text)) throw new Malformed('lone surrogate in JSON')
    return text
  }

  /** Between the quotes, escapes checked but not resolved. By hand: V8's regular expressions recurse on long text. */
  #rawString(): string {
    if (this.#text[this.#at] !== '"') throw new Malformed('not JSON')
    const start = this.#at + 1
    let at = start
    this.#plain = true
    for (;;) {
      const code = this.#text.charCodeAt(at) // NaN at the end of the text
      if (code === 0x22) break
      if (!(code >= 0x20)) throw new Malformed('not JSON') // RFC 8259 7: control characters must be escaped
      if (code === 0x5c || code >= 0xd800) this.#plain = false
      at = code === 0x5c ? this.#afterEscape(at) : at + 1
    }
    this.#at = at + 1
    return this.#text.slice(start, at)
  }

  #afterEscape(at: number): number {
    ESCAPED.lastIndex = at
    if (!ESCAPED.test(this.#text)) throw new Malformed('not JSON')
    return ESCAPED.lastIndex
  }

  #number(): number {
    NUMBER.lastIndex = this.#at
    const found = NUMBER.exec(this.#text)
    if (found === null) throw new Malformed('not JSON')
    this.#at = NUMBER.lastIndex
    const value = Number(found[0])
    const whole = !/[.eE]/.test(found[0])
    if (!Number.isFinite(value) || (whole && !Number.isSafeInteger(value))) throw new Malformed('JSON number too large')
    return value
  }

  #word<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) throw new Malformed('not JSON')
    this.#at += word.length
    return value
  }
}

function unescape(_: string, unit: string | undefined, letter: string): string {
  return unit === undefined ? (SHORT[letter] ?? letter) : String.fromCharCode(Number.parseInt(unit, 16))
}

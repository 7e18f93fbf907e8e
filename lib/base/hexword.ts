// Hexadecimal digits in groups of eight as numbers of 32 bits: how ids are kept where there are very many of them.

/** Eight lower-case digits at a place in a text; -1 if there are none. */
export function hexWord(text: string, at: number): number {
  let word = 0
  for (let i = at; i < at + 8; i++) {
    const code = text.charCodeAt(i) // NaN behind the end
    const digit = code >= 48 && code <= 57 ? code - 48 : code >= 97 && code <= 102 ? code - 87 : -1
    if (digit < 0) return -1
    word = word * 16 + digit
  }
  return word
}

/** Back to eight digits. */
export function wordHex(word: number): string {
  return word.toString(16).padStart(8, '0')
}

/**
 * A number of 32 bits from all of these, for tables whose entries a peer chooses: with a secret `seed` nobody can make
 * them meet in one place.
 */
export function mixWords(words: Uint32Array, seed: number): number {
  let mixed = seed
  for (let at = 0; at < words.length; at++) {
    mixed = Math.imul(mixed ^ (words[at] as number), 0x9e3779b1)
    mixed ^= mixed >>> 15
  }
  return mixed >>> 0
}

// What short texts mean, remembered for those that come again and again: the fields of a hundred mails are few different
// ones. Bounded in number and in length, since anybody may have written them.

const TEXTS = 100
const LENGTH = 300

/** `work`, done once for each of the latest short texts: what it gives is shared, and not to be changed. */
export function memo<T>(work: (text: string) => T): (text: string) => T {
  const known = new Map<string, T>()
  return (text) => {
    const before = known.get(text)
    if (before !== undefined) return before
    const made = work(text)
    if (known.size >= TEXTS) known.clear()
    if (text.length <= LENGTH) known.set(text, made)
    return made
  }
}

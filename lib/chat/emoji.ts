// Emoji by their names, as GitHub's list has them (gemoji): `:heart:` in what is typed. The list is loaded when the
// first name asks for it.

/** Suggestions at once. */
const SHOWN = 8

type Names = Record<string, string>

let names: Names | undefined

async function loadEmoji(): Promise<Names> {
  names ??= (await import('gemoji')).nameToEmoji
  return names
}

/** `:heart:` becomes the heart; what is no name stays. */
export async function emojify(text: string): Promise<string> {
  if (!/:[a-z0-9_+-]+:/.test(text)) return text
  const known = await loadEmoji()
  return text.replace(/:([a-z0-9_+-]+):/g, (whole, name: string) => (Object.hasOwn(known, name) ? (known[name] as string) : whole))
}

/** Emoji whose names begin so, the shortest name first, then those that contain it. */
export async function suggest(start: string): Promise<{ name: string; emoji: string }[]> {
  const all = Object.entries(await loadEmoji())
  const first = all.filter(([name]) => name.startsWith(start)).sort(([a], [b]) => a.length - b.length)
  const found = [...first, ...all.filter(([name]) => name.includes(start, 1) && !name.startsWith(start))]
  return found.slice(0, SHOWN).map(([name, emoji]) => ({ name, emoji }))
}

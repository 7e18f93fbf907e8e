// A plot of how a cost grows, as SVG: both axes logarithmic, one line a series, what it was measured on below. Nothing
// in it but numbers and texts of the bench itself.

export interface Series {
  what: string
  /** x and y, both above 0, in order of x. */
  points: [number, number][]
}

export interface Plot {
  title: string
  x: string
  y: string
  series: Series[]
  /** The machine, the versions, the commit. */
  below: string
}

const [WIDTH, HEIGHT] = [720, 420]
const AREA = { left: 70, right: 700, top: 40, bottom: 340 }
const COLOURS = ['#1b6ca8', '#c1440e', '#3a7d34', '#7b4ea3']

const escape = (text: string): string => text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`)
const fixed = (value: number): string => value.toFixed(1)

/** Whole powers of ten around all values. */
function decades(values: number[]): [number, number] {
  const from = Math.floor(Math.log10(Math.min(...values)))
  return [from, Math.max(from + 1, Math.ceil(Math.log10(Math.max(...values))))]
}

/** `1`, `1k`, `10M`: powers of ten as people write them. */
function power(exponent: number): string {
  if (exponent < 0) return String(10 ** exponent)
  const unit = Math.min(3, Math.floor(exponent / 3))
  return `${10 ** (exponent - 3 * unit)}${['', 'k', 'M', 'G'][unit] ?? ''}`
}

export function draw({ title, x, y, series, below }: Plot): string {
  const all = series.flatMap(({ points }) => points)
  const [left, right] = decades(all.map(([at]) => at))
  const [low, high] = decades(all.map(([, at]) => at))
  const across = (value: number): number =>
    AREA.left + ((Math.log10(value) - left) / (right - left)) * (AREA.right - AREA.left)
  const up = (value: number): number => AREA.bottom - ((Math.log10(value) - low) / (high - low)) * (AREA.bottom - AREA.top)
  const text = (at: [number, number], words: string, more = ''): string =>
    `<text x="${fixed(at[0])}" y="${fixed(at[1])}" ${more}>${escape(words)}</text>`
  const line = (from: [number, number], to: [number, number]): string =>
    `<line x1="${fixed(from[0])}" y1="${fixed(from[1])}" x2="${fixed(to[0])}" y2="${fixed(to[1])}" stroke="#ddd"/>`
  const parts: string[] = [text([AREA.left, 22], title, 'font-size="15"')]
  for (let exponent = left; exponent <= right; exponent++) {
    const at = across(10 ** exponent)
    parts.push(line([at, AREA.top], [at, AREA.bottom]), text([at, AREA.bottom + 18], power(exponent), 'text-anchor="middle"'))
  }
  for (let exponent = low; exponent <= high; exponent++) {
    const at = up(10 ** exponent)
    parts.push(line([AREA.left, at], [AREA.right, at]), text([AREA.left - 8, at + 4], power(exponent), 'text-anchor="end"'))
  }
  parts.push(text([AREA.right, AREA.bottom + 36], x, 'text-anchor="end"'), text([8, AREA.top - 8], y))
  for (const [index, { what, points }] of series.entries()) {
    const colour = COLOURS[index % COLOURS.length] ?? 'black'
    const path = points.map((point) => `${fixed(across(point[0]))},${fixed(up(point[1]))}`).join(' ')
    parts.push(`<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`)
    for (const point of points) parts.push(`<circle cx="${fixed(across(point[0]))}" cy="${fixed(up(point[1]))}" r="3" fill="${colour}"/>`)
    parts.push(text([AREA.left, AREA.bottom + 36 + 16 * index], what, `fill="${colour}"`))
  }
  parts.push(text([AREA.left, HEIGHT - 6], below, 'font-size="10" fill="#666"'))
  const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`
  return `${head}\n<rect width="100%" height="100%" fill="white"/>\n${parts.join('\n')}\n</svg>\n`
}

// As much of XML as routers write: elements and their text. Everything is bounded before it is built; what documents do
// not need to describe a router (document types, and with them entities of their own) is refused. Namespaces are cut
// off, attributes skipped. Pure; trusts nobody.

import { Malformed } from '../base/fail.ts'

const SIZE_MAX = 128 * 1024 // characters
const DEPTH_MAX = 32
const ELEMENTS_MAX = 4000

export interface Element {
  /** Without its namespace. */
  readonly name: string
  readonly children: readonly Element[]
  /** Its own characters, entities resolved, blanks around it cut off. */
  readonly text: string
}

interface Open {
  name: string
  children: Open[]
  text: string
}

const ENTITIES: Record<string, string> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }

/** The one root element. Throws Malformed. */
export function parseXml(source: string): Element {
  if (source.length > SIZE_MAX) throw new Malformed('too long')
  const top: Open = { name: '', children: [], text: '' }
  const path: Open[] = [top]
  let [at, count] = [0, 0]
  while (at < source.length) {
    const open = path[path.length - 1] as Open
    const next = source.indexOf('<', at)
    open.text += source.slice(at, next < 0 ? undefined : next)
    if (next < 0) break
    if (source.startsWith('<![CDATA[', next)) throw new Malformed('raw text')
    if (source.startsWith('<!--', next)) {
      at = after(source, '-->', next + 4)
      continue
    }
    if (source.startsWith('<?', next)) {
      at = after(source, '?>', next + 2)
      continue
    }
    if (source.startsWith('<!', next)) throw new Malformed('a document type')
    at = after(source, '>', next)
    const inside = source.slice(next + 1, at - 1)
    const [, slash = '', raw = '', rest = ''] = /^(\/?)([A-Za-z_][\w.:-]*)([^]*)$/.exec(inside) ?? []
    const name = raw.slice(raw.lastIndexOf(':') + 1)
    if (name === '') throw new Malformed('not an element')
    if (slash === '/') {
      if (path.length === 1 || open.name !== name) throw new Malformed('elements overlap')
      path.pop()
      continue
    }
    if (++count > ELEMENTS_MAX) throw new Malformed('too many elements')
    const element: Open = { name, children: [], text: '' }
    open.children.push(element)
    if (rest.endsWith('/')) continue
    path.push(element)
    if (path.length > DEPTH_MAX) throw new Malformed('too deep')
  }
  const [root, another] = top.children
  if (path.length > 1 || root === undefined || another !== undefined) throw new Malformed('not one element')
  return finish(root)
}

function after(source: string, end: string, from: number): number {
  const at = source.indexOf(end, from)
  if (at < 0) throw new Malformed('cut off')
  return at + end.length
}

function finish({ name, children, text }: Open): Element {
  const plain = text.replace(/&(#?)(\w{0,10});?/g, (whole, number: string, word: string) => {
    if (!whole.endsWith(';')) throw new Malformed('a lone &')
    return number === '#' ? character(word) : (ENTITIES[word] ?? unknown())
  })
  return { name, children: children.map(finish), text: plain.trim() }
}

function character(word: string): string {
  const code = /^x[0-9a-fA-F]{1,6}$/.test(word) ? Number.parseInt(word.slice(1), 16) : /^\d{1,7}$/.test(word) ? Number(word) : 0
  if (code === 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) throw new Malformed('no character')
  return String.fromCodePoint(code)
}

function unknown(): never {
  throw new Malformed('an entity')
}

/** All elements below this one, itself included, of that name; in the order of the document. */
export function elementsOf(element: Element, name: string): Element[] {
  return [...(element.name === name ? [element] : []), ...element.children.flatMap((child) => elementsOf(child, name))]
}

/** The text of the first child of that name; empty if there is none. */
export function childText(element: Element, name: string): string {
  return element.children.find((child) => child.name === name)?.text ?? ''
}

/** Text as it may stand in an element. */
export function escapeXml(text: string): string {
  return text.replace(/[<>&"']/g, (sign) => `&#${sign.charCodeAt(0)};`)
}

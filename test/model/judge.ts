// What must hold when nothing is left to do: every message that was promised came once, none came twice, and what is in
// the inbox is what was sent, byte for byte, with its files.

import { readMail } from '../../lib/wire/mailread.ts'
import type { Disk, DirNode } from './disk.ts'
import type { Told } from './sidestate.ts'
import type { World } from './trial.ts'

/**
 * lost, doubled, changed: a message. unnoted: its sender is told wrong things. rest: something is left that nobody would
 * remove. torn: mail names a file that is not there. stuck: they are never done. error: a program failed.
 */
export type Kind = 'lost' | 'doubled' | 'changed' | 'unnoted' | 'rest' | 'torn' | 'stuck' | 'error'

export interface Fault {
  kind: Kind
  text: string
}

export function faultOf(text: string): Fault {
  const kind = /^(?:stuck|unnoted|rest|torn)\b/.exec(text)?.[0] as Kind | undefined
  return { kind: kind ?? 'error', text }
}

/** One side when nothing is left to do. */
export interface Judged {
  readonly disk: Disk
  readonly home: string
  readonly told: readonly Told[]
}

export async function judge(world: World, sides: readonly [Judged, Judged]): Promise<Fault[]> {
  const faults: Fault[] = []
  for (const [number, post] of world.scenario.batches.flat().entries()) {
    const id = world.ids[number] ?? 'none'
    const to = sides[post.from === 0 ? 1 : 0]
    const times = to.disk.placements(id)
    if (times > 1) faults.push({ kind: 'doubled', text: `message ${number} came ${times} times` })
    if (times === 0 && sides[post.from].told[number] === 2) faults.push({ kind: 'lost', text: `message ${number} never came` })
    faults.push(...waiting(sides[post.from], id, number, times))
    const wanted = post.parts.map(({ content }) => Buffer.from(content as Uint8Array).toString('latin1')).join('|')
    for (const found of await mailsOf(to.disk, to.home, id)) {
      if (found === wanted + MARK) faults.push({ kind: 'doubled', text: `message ${number} is marked as a duplicate` })
      else if (found !== wanted) faults.push({ kind: 'changed', text: `message ${number} is ${found}, not ${wanted}` })
    }
  }
  return faults
}

/** At the sender nothing waits, and nothing says that it does. */
function waiting({ disk, home }: Judged, id: string, number: number, times: number): Fault[] {
  const faults: Fault[] = []
  for (const [key, queue] of disk.dir(`${home}/queue`).entries) {
    for (const state of ['new', 'hold', 'failed']) {
      for (const name of (queue.kind === 'dir' ? disk.dir(`${home}/queue/${key}`) : undefined)?.entries.has(state) === true
        ? disk.dir(`${home}/queue/${key}/${state}`).entries.keys()
        : []) {
        if (name.includes(id)) faults.push({ kind: times > 0 ? 'unnoted' : 'lost', text: `message ${number} is in ${state}` })
      }
    }
  }
  for (const name of disk.dir(`${home}/sent/cur`).entries.keys()) {
    if (times > 0 && name.includes(id) && /:2,.*F/.test(name)) faults.push({ kind: 'unnoted', text: `message ${number} came, its copy says not` })
  }
  return faults
}

async function mailsOf(disk: Disk, home: string, id: string): Promise<string[]> {
  const found: string[] = []
  for (const folder of ['new', 'cur']) {
    const dir = disk.find(`${home}/inbox/${folder}`) as DirNode
    for (const [name, node] of dir.entries) {
      if (node.kind === 'file' && name.includes(id)) found.push(await contentOf(disk, home, node.data))
    }
  }
  return found
}

/** All mail of an inbox: its file name, and its parts as one text. */
export async function mailsIn(disk: Disk, home: string): Promise<{ name: string; text: string }[]> {
  const found: { name: string; text: string }[] = []
  for (const folder of ['new', 'cur']) {
    for (const [name, node] of disk.dir(`${home}/inbox/${folder}`).entries) {
      if (node.kind === 'file') found.push({ name, text: await contentOf(disk, home, node.data) })
    }
  }
  return found
}

const MARK = ', marked as a duplicate'

/** Parts by content, of mail that was read already. */
const read = new Map<string, Promise<string>>()

async function contentOf(disk: Disk, home: string, mail: Uint8Array): Promise<string> {
  const text = Buffer.from(mail).toString('latin1')
  let parts = read.get(text)
  if (parts === undefined) read.set(text, (parts = partsOf(mail)))
  return (await parts).replace(/\0EXTERNAL ([^\0]*)\0/g, (_, path: string) => {
    const node = disk.find(`${home}/${path}`)
    return node?.kind === 'file' ? Buffer.from(node.data).toString('latin1') : 'MISSING'
  })
}

async function partsOf(mail: Uint8Array): Promise<string> {
  try {
    const { headers, parts } = await readMail({
      size: mail.length,
      read: (position, length) => Promise.resolve(mail.subarray(position, position + length)),
    })
    const texts = await Promise.all(
      parts.map(async (part) => {
        if (part.external !== undefined) return `\0EXTERNAL ${part.external}\0`
        const pieces: Uint8Array[] = []
        for await (const piece of part.content()) pieces.push(piece)
        return Buffer.concat(pieces).toString('latin1')
      }),
    )
    return texts.join('|') + (headers.has('x-p2p-possible-duplicate') ? MARK : '')
  } catch (error) {
    return `no mail: ${String(error)}`
  }
}

// What must hold after a storm: each letter that was promised is in the other inbox once, byte for byte, or was and was
// deleted; none of the others more than once; and some weeks later nothing is left on either disk that has no business
// there, no lock least of all.

import type { PartSource } from '../../lib/disk/staging.ts'
import type { Disk } from './disk.ts'
import { mailsIn } from './judge.ts'
import type { Machine } from './machine.ts'
import type { Told } from './sidestate.ts'

export interface Letter {
  readonly number: number
  readonly from: 0 | 1
  readonly parts: PartSource[]
  told: Told
}

export async function verdict(letters: readonly Letter[], machines: readonly Machine[]): Promise<string[]> {
  const faults: string[] = []
  for (const [i, { disk, home }] of machines.entries()) {
    const mine = letters.filter(({ from }) => from !== i)
    const wanted = new Map(mine.map((letter) => [textOf(letter), letter]))
    const came = new Map<Letter, number>()
    for (const { name, text } of await mailsIn(disk, home)) {
      const letter = wanted.get(text)
      if (letter === undefined) faults.push(`changed: ${name} is no letter that was sent: ${text.slice(0, 80)}`)
      else came.set(letter, (came.get(letter) ?? 0) + 1)
    }
    const placed = new Set([...disk.placed.keys(), ...disk.changes.flatMap(({ places }) => places ?? [])])
    for (const id of placed) {
      if (disk.placements(id) > 1) faults.push(`doubled: ${id} came ${disk.placements(id)} times`)
    }
    for (const [{ number }, times] of came) if (times > 1) faults.push(`doubled: letter ${number} is there ${times} times`)
    const promised = mine.filter(({ told }) => told === 2).length
    const begun = mine.filter(({ told }) => told === 1).length
    if (placed.size < promised) faults.push(`lost: ${placed.size} of ${promised} letters came`)
    if (placed.size > promised + begun) faults.push(`doubled: ${placed.size} came of ${promised + begun} letters`)
    for (const letter of mine) {
      // What was deleted was seen by its owner; only its number is known then.
      const deleted = placed.size - [...came.values()].reduce((sum, times) => sum + times, 0)
      if (letter.told === 2 && !came.has(letter) && deleted === 0) faults.push(`lost: letter ${letter.number} never came`)
    }
  }
  return faults
}

function textOf({ parts }: Letter): string {
  return parts.map(({ content }) => Buffer.from(content as Uint8Array).toString('latin1')).join('|')
}

/** Weeks after everything is over, and a listener has been there since: what is left, that should not be. */
export function aftermath({ disk, home }: Machine): string[] {
  const faults: string[] = []
  const within = (path: string): string[] => {
    const node = disk.find(`${home}/${path}`)
    return node?.kind === 'dir' ? [...node.entries.keys()] : []
  }
  const none = (path: string, allowed = /^$/): void => {
    for (const name of within(path)) if (!allowed.test(name)) faults.push(`rest: ${path}/${name}`)
  }
  for (const key of within('part')) none(`part/${key}`)
  for (const key of within('queue')) {
    if (key === 'clock') continue
    if (key === 'stage') none('queue/stage')
    else for (const folder of ['new', 'hold', 'failed', 'tmp', 'body', 'opts']) none(`queue/${key}/${folder}`)
  }
  none('sent/tmp')
  none('inbox/tmp')
  for (const name of within('lock')) if (/\.lock$|\.owner$|\.dead\.|^now\./.test(name)) faults.push(`lock: ${name}`)
  for (const folder of ['', 'contacts', 'hello', 'seen.index']) {
    for (const name of within(folder)) if (/\.tmp\.|\.run\.\d+$/.test(name)) faults.push(`rest: ${folder}/${name}`)
  }
  faults.push(...orphans(disk, home, within))
  return faults
}

/** files/ID without a mail, in inbox or sent, that names it: only where nobody has deleted mail. */
function orphans(disk: Disk, home: string, within: (path: string) => string[]): string[] {
  const mails = ['inbox/new', 'inbox/cur', 'sent/new', 'sent/cur'].flatMap(within).join(' ')
  const placed = [...disk.placed.keys()].join(' ')
  return within('files')
    .filter((id) => !mails.includes(id.slice(0, 32)) && !placed.includes(id.slice(0, 32)))
    .map((id) => `rest: ${home}/files/${id}`)
}

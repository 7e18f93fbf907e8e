// What nobody may ever find on a disk, not even right after a power cut, before anything is repaired: mail in a folder
// that names a file outside of it, and the file is not there, or is not what its mail says it is.

import type { Disk } from './disk.ts'
import { numberOf } from './sidestate.ts'

const FOLDERS = ['inbox/new', 'inbox/cur', 'sent/cur']
const NAMED = /name="?(files\/[0-9a-f]{64}\/\d+)"?/g

/** Names of files by content of the mail. */
const named = new Map<number, readonly string[]>()

/** Undefined if there is no such mail. */
export function tornOf(disk: Disk, home: string): string | undefined {
  for (const folder of FOLDERS) {
    for (const [name, node] of disk.dir(`${home}/${folder}`).entries) {
      if (node.kind !== 'file') continue
      const number = numberOf(node.data)
      let files = named.get(number)
      if (files === undefined) {
        const text = Buffer.from(node.data).toString('latin1').replace(/\r?\n[ \t]+/g, ' ')
        named.set(number, (files = [...text.matchAll(NAMED)].map(([, path]) => path as string)))
      }
      for (const path of files) {
        if (disk.find(`${home}/${path}`) === undefined) return `torn: ${folder}/${name} names ${path}, which is not there`
      }
    }
  }
  return undefined
}

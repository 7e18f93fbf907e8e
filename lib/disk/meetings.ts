// What sessions with a contact told about this side and the way between the two: hello/KEY.met, a small JSON object
// written anew at each session (p2p-spool(5)). It is not fsynced and decides little: losing it costs a sentence, or
// searches in vain. What is in it was said by an authenticated contact, who may lie about its own clock.

import { fromUtf8, utf8 } from '../base/bytes.ts'
import { isCode } from '../base/fail.ts'
import type { FileHandle } from './filehandle.ts'
import type { Home } from './home.ts'

/** Changes of a contact's home that are remembered, to see two copies of it take turns: a copy may call once a week. */
export const INSTANCES_MAX = 16

export interface Meeting {
  /** Unix ms of the last session. */
  readonly at: number
  /** Milliseconds by which the contact's clock was ahead of this one. */
  readonly skew?: number
  /** The last time it called from outside the local network: Unix ms, the address it called from, and how. */
  readonly outside?: { readonly at: number; readonly address: string; readonly over?: 'tcp' | 'udp' }
  /** Where it last saw this machine's UDP port: Unix ms, and the address; `here`: addresses of this machine then. */
  readonly seen?: { readonly at: number; readonly address: string; readonly here: readonly string[] }
  /** Number of a token of this identity that the contact holds and that is newer than the one here. */
  readonly newerToken?: string
  /** The contact's homes in the order they were seen, each change once, the present one last; hex. */
  readonly instances: readonly string[]
  /** Unix ms: when two copies of the contact's home last took turns. */
  readonly turns?: number
  /** Unix ms: when the contact said of this home what `turns` says of its own; absent once it no longer does. */
  readonly told?: number
  /** This side had found it by trying ports: its router gives every destination another one. */
  readonly found?: boolean
}

const path = (home: Home, key: string): string => home.at('hello', `${key}.met`)

/** Undefined if there was no session yet, or if the file is none. */
export async function readMeeting(home: Home, key: string): Promise<Meeting | undefined> {
  try {
    // The end of a longer note may follow.
    const [line = ''] = fromUtf8(await home.files.read(path(home, key))).split('\n', 1)
    const found = JSON.parse(line) as Partial<Meeting>
    const { at, instances, newerToken = '0', turns = 0, told = 0 } = found
    const numbers = [at, turns, told].every((value) => typeof value === 'number')
    const good = numbers && Array.isArray(instances) && /^\d{1,20}$/.test(newerToken)
    return good ? (found as Meeting) : undefined
  } catch {
    return undefined // absent, torn, or not ours: the next session writes it anew
  }
}

/**
 * Of two processes that note a meeting at the same time one wins. Over the old note, in one write and never shorter, so
 * that it needs nothing of the journal, which somebody's message is waiting for. All text in it is ASCII.
 */
export async function writeMeeting(home: Home, key: string, meeting: Meeting): Promise<void> {
  const handle = await openNote(home, path(home, key))
  try {
    await handle.write(utf8(`${JSON.stringify(meeting).padEnd((await handle.size()) - 1)}\n`), 0)
  } finally {
    await handle.close()
  }
}

async function openNote({ files }: Home, path: string): Promise<FileHandle> {
  try {
    return await files.open(path, 'update')
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error
  }
  return files.open(path, 'create').catch((error: unknown) => {
    if (!isCode(error, 'EEXIST')) throw error
    return files.open(path, 'update') // another process was first
  })
}

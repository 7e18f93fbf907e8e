// The files of a message in a conversation: saved where somebody wants them, or read to be shown.

import { collect } from '../base/bytes.ts'
import { EX, Failure, ioFailure } from '../base/fail.ts'
import type { Conversation } from '../disk/conversation.ts'
import type { Home } from '../disk/home.ts'
import { openMessage, partContent } from '../disk/inboxview.ts'
import { saveFile } from '../disk/savefile.ts'
import type { ChatMessage } from './message.ts'

/** Saves the files of a message into a folder; the paths. Throws Failure 1 if it has none. */
export async function saveFiles(home: Home, talk: Conversation, message: ChatMessage, folder: string): Promise<string[]> {
  const row = talk.find(message.entry)
  const found = row < 0 ? undefined : await talk.message(row, 'parts')
  if (found === undefined) throw new Failure(EX.NEGATIVE, 'that message was deleted')
  await home.files.mkdir(folder).catch((error: unknown) => {
    throw ioFailure(error, `cannot create ${folder}`)
  })
  return openMessage(talk.view, found, async (mail) => {
    const paths: string[] = []
    for (const part of mail.parts.filter(({ kind }) => kind === 'file')) {
      paths.push(await saveFile(home.files, folder, part.name, () => partContent(home, part)))
    }
    if (paths.length === 0) throw new Failure(EX.NEGATIVE, 'that message has no files')
    return paths
  })
}

/** The bytes of the file at this place among a message's; undefined if it is gone or larger than `most`. */
export async function bytesOfFile(home: Home, talk: Conversation, message: ChatMessage, at: number, most: number): Promise<Uint8Array | undefined> {
  const row = talk.find(message.entry)
  const found = row < 0 ? undefined : await talk.message(row, 'parts')
  if (found === undefined) return undefined
  return openMessage(talk.view, found, async (mail) => {
    const part = mail.parts.filter(({ kind }) => kind === 'file')[at]
    return part === undefined ? undefined : collect(partContent(home, part), most)
  })
}

// The picture in a message, for terminals that show some: small ones only, read when they come into view. The terminal
// decodes it; here it is bytes.

import { hex } from '../base/bytes.ts'
import { EX, Failure } from '../base/fail.ts'
import { createFile } from '../disk/durable.ts'
import type { Home } from '../disk/home.ts'
import { START, typeOfFile } from '../wire/filetype.ts'
import type { Room } from './room.ts'
import type { ChatMessage } from './message.ts'

/** Bytes of a picture that is shown. */
const PICTURE_MAX = 4 << 20

export interface Picture {
  readonly base64: string
  /** A media type. */
  readonly type: string
}

/** What is opened on a desktop: by these bytes it is a picture, whatever its sender calls it. */
const OPENED: Record<string, string> = { 'image/png': 'png', 'image/jpeg': 'jpg', 'image/gif': 'gif', 'image/webp': 'webp' }
const OPENED_MAX = 64 << 20

/** Puts the first picture of a message into a folder, under a name of our own; its path. Throws Failure 1 for what is none. */
export async function picturePath(home: Home, room: Room, message: ChatMessage, folder: string): Promise<string> {
  const at = message.files.findIndex(({ type, size }) => type.startsWith('image/') && size <= OPENED_MAX)
  const bytes = at < 0 ? undefined : await room.fileOf(message, at, OPENED_MAX)
  const ending = bytes === undefined ? undefined : OPENED[typeOfFile('', bytes.subarray(0, START))]
  if (bytes === undefined || ending === undefined) throw new Failure(EX.NEGATIVE, 'that is no picture: /save keeps the file')
  const path = `${folder}/p2p-${hex(home.random.bytes(8))}.${ending}`
  await createFile(home.files, path, bytes)
  return path
}

/** The first picture of a message; undefined if it has none, or only large ones. */
export async function pictureOf(room: Room, message: ChatMessage): Promise<Picture | undefined> {
  const at = message.files.findIndex(({ type, size }) => type.startsWith('image/') && size <= PICTURE_MAX)
  const type = message.files[at]?.type
  if (type === undefined) return undefined
  const bytes = await room.fileOf(message, at, PICTURE_MAX)
  return bytes === undefined ? undefined : { base64: Buffer.from(bytes).toString('base64'), type }
}

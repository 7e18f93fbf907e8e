// The picture in a message, for terminals that show some: small ones only, read when they come into view. The terminal
// decodes it; here it is bytes.

import type { Room } from './room.ts'
import type { ChatMessage } from './message.ts'

/** Bytes of a picture that is shown. */
const PICTURE_MAX = 4 << 20

export interface Picture {
  readonly base64: string
  /** A media type. */
  readonly type: string
}

/** The first picture of a message; undefined if it has none, or only large ones. */
export async function pictureOf(room: Room, message: ChatMessage): Promise<Picture | undefined> {
  const at = message.files.findIndex(({ type, size }) => type.startsWith('image/') && size <= PICTURE_MAX)
  const type = message.files[at]?.type
  if (type === undefined) return undefined
  const bytes = await room.fileOf(message, at, PICTURE_MAX)
  return bytes === undefined ? undefined : { base64: Buffer.from(bytes).toString('base64'), type }
}

// What was typed and not sent: chat/KEY.draft, plain text, one for each contact. The only thing that p2p-chat keeps.

import { fromUtf8, utf8 } from '../base/bytes.ts'
import { replaceFile } from '../disk/durable.ts'
import type { Home } from '../disk/home.ts'

/** Bytes of a draft that are kept. */
const DRAFT_MAX = 1 << 20

function path(home: Home, key: string): string {
  return home.at('chat', `${key}.draft`)
}

/** '' if there is none; a damaged one is none. */
export async function readDraft(home: Home, key: string): Promise<string> {
  const stat = await home.files.stat(path(home, key))
  if (stat === undefined || stat.size > DRAFT_MAX) return ''
  try {
    return fromUtf8(await home.files.read(path(home, key)))
  } catch {
    return ''
  }
}

/** Durable when it resolves; '' removes it. */
export async function writeDraft(home: Home, key: string, text: string): Promise<void> {
  if (text.trim() === '') {
    await home.files.unlink(path(home, key))
    return
  }
  const bytes = utf8(text)
  if (bytes.length > DRAFT_MAX) return
  await home.files.mkdir(home.at('chat'))
  await replaceFile(home.files, home.random, path(home, key), bytes)
}

// References of an answer: mail programs draw a thread from one folder, and what is answered lies in the other one. So
// the mail of an answer names, beside the message that it answers, those that the local copy of that one names. A
// convenience: what cannot be read is left out, and no message is hindered by it.

import type { Home } from './home.ts'

/** Of a long conversation the first and the latest are named. */
const REFERENCES_MAX = 24

const FOLDERS = [['inbox', 'new'], ['inbox', 'cur'], ['sent', 'cur']] as const

/** What finds ancestors: the folders are listed once for all messages of a batch, and not before the first answer. */
export function ancestry(home: Home): (reply: string | undefined) => Promise<string[] | undefined> {
  let listed: Promise<Map<string, string>> | undefined
  return async (reply) => {
    if (reply === undefined) return undefined
    try {
      listed ??= byId(home)
      const path = (await listed).get(reply.slice(0, 32))
      const before = path === undefined ? [] : await referencesOf(home, path)
      const ids = [...before.filter((id) => id !== reply), reply]
      return ids.length <= REFERENCES_MAX ? ids : [...ids.slice(0, 1), ...ids.slice(1 - REFERENCES_MAX)]
    } catch {
      return [reply] // moved by a mail program this very moment, or damaged
    }
  }
}

/** Paths by the first 32 digits of the id. */
async function byId(home: Home): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  for (const folder of FOLDERS) {
    for (const name of await home.files.list(home.at(...folder))) {
      const id = /^\d+\.([0-9a-f]{32})\.p2p/.exec(name)?.[1]
      if (id !== undefined) found.set(id, home.at(...folder, name))
    }
  }
  return found
}

async function referencesOf(home: Home, path: string): Promise<string[]> {
  const { openSource, readHeaders } = await import('../wire/mailread.ts') // most messages answer none
  const handle = await home.files.open(path, 'read')
  try {
    const { headers } = await readHeaders(await openSource(handle))
    return [...(headers.get('references') ?? '').matchAll(/<([^<>@\s]{1,100})@p2p\.invalid>/g)].map(([, id]) => id as string)
  } finally {
    await handle.close()
  }
}

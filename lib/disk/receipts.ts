// queue/KEY/receipts: which messages of a contact came in a bundle, with the proof that goes back in the next one.
// Append-only lines, fsynced; a torn or foreign line is skipped. A receipt that is lost costs nothing: the message is
// offered, or carried, once more and found to be here.

import { fromHex, hex, utf8 } from '../base/bytes.ts'
import { appendRecords, replaceFile } from './durable.ts'
import type { Home } from './home.ts'
import { tryLock } from './lock.ts'
import { queuePath } from './queued.ts'

/** A bundle that was not brought back by then will not be. */
const KEPT_MS = 90 * 86_400_000

/** From this size on a file is looked through for lines that are too old. */
const LONG = 1 << 20

export interface Receipt {
  /** 64 hex digits. */
  id: string
  /** 32 bytes. */
  proof: Uint8Array
}

const LINE = /^([0-9]{1,16}) ([0-9a-f]{64}) ([0-9a-f]{64})$/

/** Notes receipts for a contact, durably; those that are noted already are left out. */
export async function noteReceipts(home: Home, key: string, receipts: readonly Receipt[]): Promise<void> {
  const held = new Set((await readReceipts(home, key)).map(({ id }) => id))
  const fresh = receipts.filter(({ id }) => !held.has(id))
  if (fresh.length === 0) return
  const { files } = home
  if (await files.mkdir(queuePath(home, key))) await files.syncDir(home.at('queue'))
  const path = queuePath(home, key, 'receipts')
  const isNew = (await files.stat(path)) === undefined
  await appendRecords(files, path, fresh.map(({ id, proof }) => `${home.clock.now()} ${id} ${hex(proof)}`), true)
  if (isNew) await files.syncDir(queuePath(home, key))
  if (((await files.stat(path))?.size ?? 0) > LONG) await forgetOld(home, key)
}

/** The receipts for a contact, oldest first, each once. */
export async function readReceipts(home: Home, key: string): Promise<Receipt[]> {
  const found = new Map<string, Receipt>()
  for (const [, id, proof] of await readLines(home, key)) found.set(id, { id, proof: fromHex(proof) })
  return [...found.values()]
}

async function readLines(home: Home, key: string): Promise<[number, string, string][]> {
  const path = queuePath(home, key, 'receipts')
  if ((await home.files.stat(path)) === undefined) return []
  const text = new TextDecoder().decode(await home.files.read(path)) // a torn line may be anything
  const young = home.clock.now() - KEPT_MS
  const lines: [number, string, string][] = []
  for (const line of text.split('\n')) {
    const [, at = '', id = '', proof = ''] = LINE.exec(line) ?? []
    if (id !== '' && Number(at) >= young) lines.push([Number(at), id, proof])
  }
  return lines
}

async function forgetOld(home: Home, key: string): Promise<void> {
  const held = await tryLock(home, `receipts.${key}`, true)
  if (held === undefined) return
  try {
    const path = queuePath(home, key, 'receipts')
    const lines = (await readLines(home, key)).map((fields) => `\n${fields.join(' ')}`).join('')
    if (lines.length < LONG / 2) await replaceFile(home.files, home.random, path, utf8(lines))
  } finally {
    await held.release()
  }
}

// Read receipts, off by default: a message of a contact for whom they are wanted got flag S, by p2p-inbox seen or by any
// mail program, so its sender is told. A receipt is a message like any other. None is sent for a receipt, for a reaction,
// an edit or a recall, for what a program sent, and for what came before receipts were wanted.

import { acceptAll, type Draft } from '../disk/accept.ts'
import type { Config } from '../disk/config.ts'
import { isWelcome } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import { describe, type View } from '../disk/inboxview.ts'
import type { Keyring } from '../disk/keyring.ts'
import { tryLock } from '../disk/lock.ts'
import { listMaildir } from '../disk/maildir.ts'
import { noteRead, readLog } from '../disk/readlog.ts'
import { discard, stageBody } from '../disk/staging.ts'
import type { Hash } from '../wire/envelope.ts'
import { cutColumns } from '../wire/mailtext.ts'
import { typeOf, type MessageInfo } from '../wire/record.ts'

/** A listener waits so long for further changes, and where it is told of none it looks after so long. */
const CALM_MS = 1000
const SELDOM_MS = 600_000
/** Receipts made durable together. */
const BATCH = 256
const SUBJECT_COLUMNS = 72

export interface ReadsOptions {
  home: Home
  keyring: () => Keyring
  config: () => Config
  hash: Hash
}

/** Queues a receipt for each message that was read since; how many. Nothing if another process is at it. */
export async function sendReceipts(options: ReadsOptions): Promise<number> {
  const { home, keyring, config } = options
  if (!config().wantsReceipts) return 0
  const wanted = new Set(keyring().all().filter((contact) => isWelcome(contact) && config().of(contact).receipts).map(({ key }) => key))
  if (wanted.size === 0) return 0
  const held = await tryLock(home, 'reads', true)
  if (held === undefined) return 0
  try {
    return await pass(options, wanted)
  } finally {
    await held.release()
  }
}

async function pass({ home, keyring, config, hash }: ReadsOptions, wanted: ReadonlySet<string>): Promise<number> {
  const { since, told } = await readLog(home)
  const view: View = { home, nameOf: (key) => keyring().byKey(key)?.name }
  const read = (await listMaildir(home, 'inbox')).filter(({ flags, time, id32 }) => {
    return id32 !== undefined && flags.includes('S') && time >= since && !told.has(id32)
  })
  let count = 0
  for (let at = 0; at < read.length; at += BATCH) {
    const ids: string[] = []
    const drafts: Draft[] = []
    for (const entry of read.slice(at, at + BATCH)) {
      const info = (await describe(view, entry, 'parts'))?.info
      if (info?.id === undefined) continue
      ids.push(info.id) // also of what needs none: it is not looked at again
      const to = info.key === undefined || !wanted.has(info.key) ? undefined : keyring().byKey(info.key)
      if (to !== undefined && deserves(info)) drafts.push({ to, ...(await receiptFor(home, hash, info)) })
    }
    await acceptAll(home, hash, keyring().self, drafts, { chatThreads: config().chatThreads })
    for (const { staged } of drafts) await discard(home, staged)
    if (ids.length > 0) await noteRead(home, ids)
    count += drafts.length
  }
  return count
}

function deserves(info: MessageInfo): boolean {
  const type = typeOf(info)
  return info.auto !== true && (type === 'text' || type === 'file')
}

async function receiptFor(home: Home, hash: Hash, { id = '', subject }: MessageInfo): Promise<Pick<Draft, 'staged' | 'header'>> {
  const text = new TextEncoder().encode('Your message was read.\n') // for whoever knows no receipts
  const staged = await stageBody(home, hash, [{ type: 'text/plain', content: text }])
  return { staged, header: { receipt: id, reply: id, auto: true, subject: cutColumns(`read: ${subject ?? ''}`, SUBJECT_COLUMNS) } }
}

/** Looks after each change of inbox/cur, for a listener, and at its beginning; the result ends it. */
export function watchReads(options: ReadsOptions, trouble: (error: unknown) => void): () => void {
  const { home } = options
  let cancel: (() => void) | undefined
  let again = false
  let over = false
  let cancelSeldom = (): void => undefined
  const soon = (): void => {
    again = cancel !== undefined
    if (over || again || !options.config().wantsReceipts) return
    cancelSeldom()
    cancelSeldom = home.clock.after(SELDOM_MS, soon, true)
    cancel = home.clock.after(CALM_MS, () => void sendReceipts(options).catch(trouble).then(rest), true)
  }
  const rest = (): void => {
    cancel = undefined
    if (again) soon()
  }
  const unwatch = home.files.watch(home.at('inbox', 'cur'), soon)
  soon()
  return () => {
    over = true
    unwatch()
    cancelSeldom()
    cancel?.()
  }
}

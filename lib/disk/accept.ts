// The promise of p2p-send: when accept() resolves, the message survives anything but the loss of the disk, and will be
// offered until it is delivered, refused, expired or dropped. Order of the steps (p2p-spool(5), S1 to S3): bodies and
// options durable, head written and fsynced in tmp/, head renamed into new/, new/ fsynced, the copy in sent/ shown.
// What is in new/ is therefore whole; what a crash leaves elsewhere is rubbish for sweep(). Several messages share
// their fsyncs.

import { concat, hex, utf8 } from '../base/bytes.ts'
import { ioFailure } from '../base/fail.ts'
import { forAll } from '../base/parallel.ts'
import { encodeHead, type Hash, type Head, type Header } from '../wire/envelope.ts'
import { ancestry } from './ancestors.ts'
import { createFiles, type NewFile, removeTree, replaceFile } from './durable.ts'
import { type Home, refuseRetired } from './home.ts'
import { bodyPath, headPath, optionsPath, queueName, queuePath, type Queued, type QueuedOptions, STATES } from './queued.ts'
import { markDelivered, preparedPath, prepareSent, publishSent, type PreparedCopy, type SentPart } from './sent.ts'
import { reserveStamps } from './stamp.ts'
import { stagedPart, type Staged } from './staging.ts'

/** Files written at once: enough to keep the disk busy, few enough for any limit on descriptors. */
const PARALLEL = 16

/**
 * Messages whose files are fsynced together. No file is made while others are fsynced: making one waits for the commit of
 * the journal that these are about, and so would all else that this thread has to do.
 */
const SLICE = 256

/** Random bytes of a message: the salt of its head, and the MIME boundary of its copy. Drawn for all at once. */
const SALT = 16
const NOISE = SALT + 16

/** Who a message is from or to. */
export interface Party {
  name: string
  key: string
  identity: Uint8Array
}

export interface Draft {
  to: Party
  staged: Staged
  header: Omit<Header, 'parts'>
  opts?: QueuedOptions
}

export interface AcceptOptions {
  /** False: the copy in sent/ is put into no thread of the day. */
  chatThreads?: boolean | undefined
}

interface Pending {
  draft: Draft
  head: Head
  queued: Queued
  /** For the mail in sent/. */
  boundary: string
  copy?: PreparedCopy
}

/** One message into the queue: see acceptAll(). */
export async function accept(
  home: Home,
  hash: Hash,
  from: Party,
  draft: Draft,
  options: AcceptOptions = {},
): Promise<Queued> {
  return (await acceptAll(home, hash, from, [draft], options))[0] as Queued
}

/**
 * All of the messages into the queue, in this order, or none of them: durable once this resolves. Throws Failure 74
 * (disk full and the like) with nothing left in new/, and Malformed for a header that breaks a rule of the envelope.
 */
export async function acceptAll(
  home: Home,
  hash: Hash,
  from: Party,
  drafts: Draft[],
  options: AcceptOptions = {},
): Promise<Queued[]> {
  if (drafts.length === 0) return []
  let pending: Pending[] = []
  try {
    const first = await reserveStamps(home, drafts.length)
    const noise = home.random.bytes(drafts.length * NOISE)
    pending = drafts.map((draft, i) =>
      prepare(hash, from, draft, first + BigInt(i), noise.subarray(i * NOISE, (i + 1) * NOISE)),
    )
    const keys = [...new Set(drafts.map((draft) => draft.to.key))]
    for (const key of keys) await makeQueue(home, key)
    const ancestorsOf = ancestry(home)
    for (let at = 0; at < pending.length; at += SLICE) {
      const small = await forAll(pending.slice(at, at + SLICE), PARALLEL, async (message) => {
        const references = await ancestorsOf(message.draft.header.reply)
        return write(home, from, message, { ...options, references })
      })
      await createFiles(home.files, small.flat())
    }
    await syncParents(home, pending)
    await refuseRetired(home.path, home.files) // moved elsewhere since this process began: nobody would ever send it
    for (const { queued } of pending) {
      await home.files.rename(queuePath(home, queued.key, 'tmp', queued.file), headPath(home, queued))
    }
    await keepOptions(home, pending)
    await forAll(keys, PARALLEL, (key) => home.files.syncDir(queuePath(home, key, 'new')))
  } catch (error) {
    await forAll(pending, PARALLEL, (message) => takeBack(home, message))
    throw error instanceof Error && 'code' in error ? ioFailure(error, 'cannot queue the message') : error
  }
  try {
    await publishSent(home, pending.flatMap(({ copy }) => copy ?? []))
    await markDelivered(home, await gone(home, pending))
  } catch (error) {
    throw ioFailure(error, 'the message is queued, but its copy in sent/ is lost') // taking it back would race delivery
  }
  return pending.map((message) => message.queued)
}

/** Options that a sweep took, because the clock was set before their head was there, are written again. */
async function keepOptions(home: Home, pending: Pending[]): Promise<void> {
  for (const { queued } of pending) {
    if (Object.keys(queued.opts).length === 0 || (await home.files.stat(optionsPath(home, queued))) !== undefined) continue
    if ((await home.files.stat(headPath(home, queued))) === undefined) continue // delivered meanwhile
    await replaceFile(home.files, home.random, optionsPath(home, queued), optionBytes(queued))
  }
}

/** Those that a listener has delivered already, before it could find their copies in sent/. */
async function gone(home: Home, pending: Pending[]): Promise<Queued[]> {
  const found = await forAll(pending, PARALLEL, async ({ queued }) => {
    for (const state of STATES) {
      if ((await home.files.stat(headPath(home, { ...queued, state }))) !== undefined) return []
    }
    return [queued]
  })
  return found.flat()
}

function prepare(hash: Hash, from: Party, draft: Draft, created: bigint, noise: Uint8Array): Pending {
  const { to, staged, header, opts = {} } = draft
  const head = encodeHead(
    {
      salt: noise.subarray(0, SALT),
      from: from.identity,
      to: to.identity,
      created,
      root: staged.root,
      header: { ...header, parts: staged.parts },
    },
    hash,
  )
  const size = head.bytes.length + staged.size
  const { id } = head
  const queued: Queued = { id, key: to.key, file: queueName(created, id), state: 'new', created, size, opts }
  return { draft, head, queued, boundary: hex(noise.subarray(SALT)) }
}

/** The directories of a contact's queue. tmp/ comes last: where it is, everything else is there and durable. */
async function makeQueue(home: Home, key: string): Promise<void> {
  const { files } = home
  if ((await files.stat(queuePath(home, key, 'tmp'))) !== undefined) return
  await files.mkdir(queuePath(home, key))
  for (const name of ['new', 'hold', 'failed', 'body', 'opts']) await files.mkdir(queuePath(home, key, name))
  await files.syncDir(queuePath(home, key))
  await files.syncDir(home.at('queue'))
  await files.mkdir(queuePath(home, key, 'tmp'))
}

/** Everything of a message but its name in new/; returns the small files that are still to be made durable. */
async function write(
  home: Home,
  from: Party,
  pending: Pending,
  options: AcceptOptions & { references: string[] | undefined },
): Promise<NewFile[]> {
  const { files } = home
  const { draft, head, queued, boundary } = pending
  const { staged } = draft
  const small: NewFile[] = []
  if (staged.directory !== undefined) {
    const body = bodyPath(home, queued)
    await files.mkdir(body)
    for (const index of staged.parts.keys()) await files.link(`${staged.directory}/${index}`, `${body}/${index}`)
    await files.syncDir(body)
  }
  if (Object.keys(queued.opts).length > 0) {
    small.push({ path: optionsPath(home, queued), bytes: optionBytes(queued) })
  }
  const bytes = staged.inline === undefined ? head.bytes : concat(head.bytes, staged.inline)
  small.push({ path: queuePath(home, queued.key, 'tmp', queued.file), bytes })
  const inMemory = staged.inline !== undefined
  const copy = { contact: draft.to, head, parts: sentParts(home, staged), small: inMemory, boundary }
  pending.copy = await prepareSent(home, from, copy, options)
  if (pending.copy.file !== undefined) small.push(pending.copy.file)
  return small
}

const optionBytes = ({ opts }: Queued): Uint8Array => utf8(JSON.stringify(opts))

function sentParts(home: Home, staged: Staged): SentPart[] {
  const { directory } = staged
  return staged.parts.map((_, index) => ({
    content: () => stagedPart(home, staged, index),
    ...(directory !== undefined && { link: (path: string) => home.files.link(`${directory}/${index}`, path) }),
  }))
}

async function syncParents(home: Home, pending: Pending[]): Promise<void> {
  const parents = new Set<string>()
  for (const { draft, queued } of pending) {
    if (draft.staged.directory !== undefined) parents.add(queuePath(home, queued.key, 'body'))
    if (Object.keys(queued.opts).length > 0) parents.add(queuePath(home, queued.key, 'opts'))
  }
  await forAll([...parents], PARALLEL, (path) => home.files.syncDir(path))
}

/** Head first, as always: nothing in new/ without its body. On a full or failing disk this is all that can be done. */
async function takeBack(home: Home, { queued }: Pending): Promise<void> {
  const { files } = home
  await files.unlink(headPath(home, queued)).catch(() => false)
  await files.unlink(queuePath(home, queued.key, 'tmp', queued.file)).catch(() => false)
  await files.unlink(optionsPath(home, queued)).catch(() => false)
  await removeTree(files, bodyPath(home, queued)).catch(() => undefined)
  await removeTree(files, home.at('files', queued.id)).catch(() => undefined)
  await files.unlink(preparedPath(home, queued)).catch(() => false) // last: see prepareSent
}

// The waiting messages as they lie there: read and never changed. Reading costs one listing and the entries asked for, so
// that a queue of a hundred thousand is as easy to look at as one of ten. Changes are in queue.ts.

import { fromUtf8, Reader } from '../base/bytes.ts'
import { isCode, Malformed } from '../base/fail.ts'
import { looksLikeKey } from '../base/key.ts'
import { forAll } from '../base/parallel.ts'
import { BODY_SIZE_AT, bodySizeIn, type Hash } from '../wire/envelope.ts'
import type { Home } from './home.ts'
import { openOutgoing } from './outgoing.ts'
import {
  compareNames,
  headPath,
  isQueueName,
  type Named,
  optionsPath,
  parseQueueName,
  queuePath,
  STATES,
  type Queued,
  type QueuedOptions,
  type QueueState,
} from './queued.ts'

/** System calls at once. */
const PARALLEL = 16

/** KEYs that have a queue, empty or not. */
export async function keys(home: Home): Promise<string[]> {
  return (await home.files.list(home.at('queue'))).filter(looksLikeKey).sort()
}

/** File names of the messages in a state, in order of creation: one listing, nothing else. */
export async function names(home: Home, key: string, state: QueueState = 'new'): Promise<string[]> {
  const found = await home.files.list(queuePath(home, key, state))
  return found.filter(isQueueName).sort(compareNames)
}

/** How many messages are in a state. */
export async function count(home: Home, key: string, state: QueueState = 'new'): Promise<number> {
  return (await names(home, key, state)).length
}

export interface Page {
  /** Only messages after this file name. */
  after?: string
  limit?: number
}

/** The messages in a state, in order of creation, sizes and options included; what goes away meanwhile is left out. */
export async function list(home: Home, key: string, state: QueueState = 'new', page: Page = {}): Promise<Queued[]> {
  const { after, limit = Infinity } = page
  const all = await names(home, key, state)
  const rest = after === undefined ? all : all.filter((name) => compareNames(name, after) > 0)
  return describe(home, key, state, rest.slice(0, limit))
}

/** As list, without what needs a look at each file: a hundred thousand take no longer than their listing. */
export async function waiting(home: Home, key: string): Promise<Named[]> {
  const all = await names(home, key)
  if (all.length === 0) return []
  const withOptions = new Set(await home.files.list(queuePath(home, key, 'opts')))
  const found = all.map((file): Named => {
    const { id, created } = parseQueueName(file) as { id: string; created: bigint }
    return { id, created, key, file, state: 'new', opts: {} }
  })
  await forAll(found.filter(({ file }) => withOptions.has(file)), PARALLEL, async (each) => {
    each.opts = await readOptions(home, each)
  })
  return found
}

/** The messages of all contacts and states whose id starts with `prefix` (hex digits). */
export async function find(home: Home, prefix: string): Promise<Queued[]> {
  const found: Queued[] = []
  for (const key of await keys(home)) {
    for (const state of STATES) {
      const hits = (await names(home, key, state)).filter((name) => parseQueueName(name)?.id.startsWith(prefix) === true)
      if (hits.length > 0) found.push(...(await describe(home, key, state, hits)))
    }
  }
  return found
}

/** What lies beside the heads, of which most have nothing: ids with a body of its own, file names with options. */
export async function extras(home: Home, key: string): Promise<{ bodies: Set<string>; options: Set<string> }> {
  const [bodies, options] = await Promise.all([home.files.list(queuePath(home, key, 'body')), home.files.list(queuePath(home, key, 'opts'))])
  return { bodies: new Set(bodies), options: new Set(options) }
}

/** Sizes and options for file names of names(); what is gone by now is left out. */
export async function describe(home: Home, key: string, state: QueueState, files: string[]): Promise<Queued[]> {
  if (files.length === 0) return []
  const { bodies: withBody, options: withOptions } = await extras(home, key)
  const found = await forAll(files, PARALLEL, async (file): Promise<Queued | undefined> => {
    const { id, created } = parseQueueName(file) as { id: string; created: bigint }
    const size = await envelopeSize(home, headPath(home, { key, state, file }), withBody.has(id))
    if (size === undefined) return undefined
    const opts = withOptions.has(file) ? await readOptions(home, { key, file }) : {}
    return { id, key, file, state, created, size, opts }
  })
  return found.filter((queued) => queued !== undefined)
}

/** What a listing tells of a message. */
export interface Listed {
  queued: Queued
  /** Of its head, unless that is damaged. */
  subject: string | undefined
}

/**
 * As describe, with the subjects. Each file is read once; its head is taken apart, and its sum looked at, only if there
 * is a subject in it to be told.
 */
export async function listed(home: Home, hash: Hash, key: string, state: QueueState, files: string[]): Promise<Listed[]> {
  if (files.length === 0) return []
  const { bodies: withBody, options: withOptions } = await extras(home, key)
  const found = await forAll(files, PARALLEL, async (file): Promise<Listed | undefined> => {
    const { id, created } = parseQueueName(file) as { id: string; created: bigint }
    const bytes = await readHead(home, { key, state, file })
    if (bytes === undefined) return undefined
    const size = bytes.length + (withBody.has(id) ? bodySize(bytes) : 0)
    const opts = withOptions.has(file) ? await readOptions(home, { key, file }) : {}
    const queued = { id, key, file, state, created, size, opts }
    return { queued, subject: await subjectIn(home, hash, queued, bytes) }
  })
  return found.filter((each) => each !== undefined)
}

async function readHead(home: Home, queued: Pick<Queued, 'key' | 'state' | 'file'>): Promise<Uint8Array | undefined> {
  try {
    return await home.files.read(headPath(home, queued))
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined
    throw error
  }
}

/** What a head says of a body that lies elsewhere; 0 if it is damaged. */
function bodySize(head: Uint8Array): number {
  try {
    return bodySizeIn(head)
  } catch (error) {
    if (error instanceof Malformed) return 0
    throw error
  }
}

/** Heads are as wire/envelope writes them: without the word in it there is no subject. */
async function subjectIn(home: Home, hash: Hash, queued: Queued, bytes: Uint8Array): Promise<string | undefined> {
  if (!Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes('"subject"')) return undefined
  try {
    const outgoing = await openOutgoing(home, hash, queued, bytes)
    await outgoing?.close()
    return outgoing?.head.header.subject
  } catch (error) {
    if (error instanceof Malformed) return undefined
    throw error
  }
}

async function envelopeSize(home: Home, path: string, withBody: boolean): Promise<number | undefined> {
  const stat = await home.files.stat(path)
  if (stat === undefined || !withBody) return stat?.size
  try {
    const handle = await home.files.open(path, 'read')
    try {
      return stat.size + new Reader(await handle.read(BODY_SIZE_AT, 8)).size()
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined
    throw error
  }
}

/** Options are written whole or not at all; a file that does not parse is one that a power cut emptied. */
async function readOptions(home: Home, queued: Pick<Queued, 'key' | 'file'>): Promise<QueuedOptions> {
  try {
    return JSON.parse(fromUtf8(await home.files.read(optionsPath(home, queued)))) as QueuedOptions
  } catch {
    return {}
  }
}

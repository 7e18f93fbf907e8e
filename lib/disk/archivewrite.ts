// The files of a home in the order in which they go into an archive while others may be at work in it. Nothing is lost
// by that order: the seen log is cut where it stood before the inbox is listed (a message that comes later may come
// once more, none is missing), what waits is taken whole or not at all, and what vanishes meanwhile was settled.

import { EX, Failure, ioFailure, isCode } from '../base/fail.ts'
import { looksLikeKey } from '../base/key.ts'
import { FIRST, placeOf } from './archivename.ts'
import { readIdentity } from './identityfile.ts'
import { withLock } from './lock.ts'
import { listMaildir, type MailEntry, withMail } from './maildir.ts'
import { keys, names } from './queueread.ts'
import { compareNames, headPath, parseQueueName, queuePath, STATES, type QueueState } from './queued.ts'
import { PLAIN, SEALED } from './secret.ts'
import { settleParts } from './settleparts.ts'

import type { Hash } from '../wire/envelope.ts'
import type { TarFile } from '../wire/tar.ts'
import type { FileHandle } from './filehandle.ts'
import type { Home } from './home.ts'

/** Bytes read at once. */
const BLOCK = 1 << 18

export interface Scope {
  /** What waits, is held back or has failed. */
  queue: boolean
  /** Inbox, copies of what was sent, and the large files of both. */
  mail: boolean
}

export interface Contents {
  contacts: number
  /** Messages of the queue. */
  waiting: number
  mails: number
}

/** The files of a home, each once; `contents` counts along. Throws Failure 75 if a file shrinks while it is read. */
export async function* homeFiles(home: Home, hash: Hash, scope: Scope, contents: Contents): AsyncGenerator<TarFile> {
  yield* counted(files(home, hash, scope), contents)
}

async function* counted(source: AsyncIterable<TarFile>, contents: Contents): AsyncGenerator<TarFile> {
  for await (const file of source) {
    const kind = placeOf(file.name)?.kind
    if (kind === undefined) throw new Error(`no place in an archive for ${file.name}`)
    if (kind === 'contact') contents.contacts++
    else if (kind === 'waiting') contents.waiting++
    else if (kind === 'mail') contents.mails++
    yield file
  }
}

async function* files(home: Home, hash: Hash, scope: Scope): AsyncGenerator<TarFile> {
  for (const file of await people(home)) yield file
  for (const name of await home.files.list(home.at('hello'))) {
    if (placeOf(`hello/${name}`) !== undefined) yield* file(home, `hello/${name}`)
  }
  for (const name of await home.files.list(home.at('queue', 'clock'))) {
    if (placeOf(`queue/clock/${name}`) !== undefined) yield* file(home, `queue/clock/${name}`)
  }
  const seen = (await home.files.stat(home.at('seen')))?.size ?? 0
  if (scope.mail) await settleParts(home, hash)
  if (seen > 0) yield* file(home, 'seen', seen)
  // The list of sent mail before the queue: a copy in it is of a message that waits, or that says so no more.
  const sent = scope.mail ? await listMaildir(home, 'sent') : []
  if (scope.queue) for (const key of await keys(home)) yield* queue(home, key)
  if (!scope.mail) return
  yield* file(home, 'read.log')
  for (const entry of [...sent, ...(await listMaildir(home, 'inbox'))]) yield* mail(home, entry)
  for (const id of await home.files.list(home.at('files'))) {
    for (const part of await home.files.list(home.at('files', id))) {
      if (placeOf(`files/${id}/${part}`) !== undefined) yield* file(home, `files/${id}/${part}`)
    }
  }
  for (const name of await home.files.list(home.at('hooks', 'pending'))) {
    if (placeOf(`hooks/pending/${name}`) !== undefined) yield* file(home, `hooks/pending/${name}`)
  }
}

/** Identity and contacts as they are at one instant; small enough to be held in memory, so that no lock is held long. */
async function people(home: Home): Promise<TarFile[]> {
  return withLock(home, 'identity', () =>
    withLock(home, 'keyring', async () => {
      const identity = await readIdentity(home)
      const found = [await held(home, FIRST)]
      found.push({ ...(await held(home, identity.name)), name: identity.sealed ? SEALED : PLAIN })
      found.push(await held(home, 'transport.key'), await held(home, 'token'))
      for (const name of ['transport.old.key', 'config.toml']) {
        if ((await home.files.stat(home.at(name))) !== undefined) found.push(await held(home, name))
      }
      for (const folder of ['contacts', 'invites']) {
        for (const name of await home.files.list(home.at(folder))) {
          if (placeOf(`${folder}/${name}`) !== undefined) found.push(await held(home, `${folder}/${name}`))
        }
      }
      return found
    }),
  )
}

async function held(home: Home, name: string): Promise<TarFile> {
  const path = home.at(name)
  const bytes = await home.files.read(path).catch((error: unknown) => {
    throw isCode(error, 'ENOENT') ? new Failure(EX.CONFIG, `${path} is missing`) : ioFailure(error, `cannot read ${path}`)
  })
  const mtimeMs = (await home.files.stat(path))?.mtimeMs ?? 0
  const content = async function* (): AsyncGenerator<Uint8Array> {
    yield bytes
  }
  return { name, size: bytes.length, mtimeMs, content: content() }
}

/** A file as far as it goes now, or up to `limit`; nothing if it is gone. */
async function* file(home: Home, name: string, limit = Infinity): AsyncGenerator<TarFile> {
  const handle = await open(home, home.at(name))
  if (handle === undefined) return
  try {
    yield await described(home, name, handle, limit)
  } finally {
    await handle.close()
  }
}

async function open(home: Home, path: string): Promise<FileHandle | undefined> {
  try {
    return await home.files.open(path, 'read')
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined
    throw error
  }
}

async function described(home: Home, name: string, handle: FileHandle, limit = Infinity): Promise<TarFile> {
  const size = Math.min(limit, await handle.size())
  const mtimeMs = (await home.files.stat(home.at(name)))?.mtimeMs ?? home.clock.now()
  const content = async function* (): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < size; ) {
      const bytes = await handle.read(at, Math.min(BLOCK, size - at))
      if (bytes.length === 0) throw new Failure(EX.TEMPORARY, `${home.at(name)} has changed while it was read`)
      yield bytes
      at += bytes.length
    }
  }
  return { name, size, mtimeMs, content: content() }
}

/** All messages for one contact, whatever their state, and the log of what happened to them. */
async function* queue(home: Home, key: string): AsyncGenerator<TarFile> {
  for (const name of ['log.0', 'log']) yield* file(home, `queue/${key}/${name}`)
  const found = new Set<string>()
  // Twice: a message may move to a state that was listed already, but hardly to and fro.
  for (const state of [...STATES, ...STATES]) for (const name of await names(home, key, state)) found.add(name)
  for (const name of [...found].sort(compareNames)) yield* message(home, key, name)
}

/** Options, body and last the head of a waiting message; nothing if it was settled or dropped meanwhile. */
async function* message(home: Home, key: string, name: string): AsyncGenerator<TarFile> {
  const { id } = parseQueueName(name) as { id: string }
  const opened: [string, FileHandle][] = []
  const take = async (path: string): Promise<void> => {
    const handle = await open(home, home.at(path))
    if (handle !== undefined) opened.push([path, handle])
  }
  try {
    const body = await home.files.list(queuePath(home, key, 'body', id))
    for (const part of body.sort((a, b) => Number(a) - Number(b))) await take(`queue/${key}/body/${id}/${part}`)
    await take(`queue/${key}/opts/${name}`)
    // Heads go first: while there is one, what was opened above is all of the message.
    const state = await stateOf(home, key, name)
    if (state === undefined) return
    const head = `queue/${key}/${state}/${name}`
    const handle = await open(home, headPath(home, { key, state, file: name }))
    if (handle === undefined) return yield* message(home, key, name) // moved, or gone by now
    opened.push([head, handle])
    for (const [path, each] of opened) yield await described(home, path, each)
  } finally {
    for (const [, handle] of opened) await handle.close()
  }
}

async function stateOf(home: Home, key: string, file: string): Promise<QueueState | undefined> {
  for (const state of [...STATES, ...STATES]) {
    if ((await home.files.stat(headPath(home, { key, state, file }))) !== undefined) return state
  }
  return undefined
}

/** A mail wherever it has moved to; nothing if it was deleted. */
async function* mail(home: Home, entry: MailEntry): AsyncGenerator<TarFile> {
  const found = await withMail(home, entry, async (_, at) => {
    const handle = await open(home, at.path)
    return { path: at.path, handle }
  })
  if (found?.handle === undefined) return
  try {
    const name = found.path.slice(home.path.length + 1)
    if (placeOf(name) !== undefined) yield await described(home, name, found.handle)
  } finally {
    await found.handle.close()
  }
}

const KNOWN =
  /^(?:home\.json|identity\..*|transport\..*|token|config\.toml|.*\.tmp\.\w+|contacts|hello|queue|seen|seen\.index|read\.log|mail\.index|part|inbox|sent|files|hooks|lock|requests|listen\.sock)$/

/** What lies in this home that no archive takes along: files of other programs, folders that a mail program has made. */
export async function strangers(home: Home, scope: Scope): Promise<string[]> {
  const found = (await home.files.list(home.path)).filter((name) => !KNOWN.test(name))
  for (const box of scope.mail ? ['inbox', 'sent'] : []) {
    for (const name of await home.files.list(home.at(box))) {
      const stat = await home.files.stat(home.at(box, name))
      if (stat?.kind === 'dir' && !['tmp', 'new', 'cur'].includes(name)) found.push(`${box}/${name}`)
    }
  }
  return found.sort()
}

/** Equal at two times if nothing was accepted, settled, delivered or learned in between. */
export async function fingerprint(home: Home): Promise<string> {
  const lines = [`seen ${(await home.files.stat(home.at('seen')))?.size ?? 0}`]
  lines.push(...(await home.files.list(home.at('queue', 'clock'))))
  for (const key of (await home.files.list(home.at('queue'))).filter(looksLikeKey).sort()) {
    for (const state of ['tmp', ...STATES]) {
      lines.push(...(await home.files.list(queuePath(home, key, state))).map((name) => `${key} ${state} ${name}`).sort())
    }
  }
  for (const path of ['token', 'config.toml', ...(await home.files.list(home.at('contacts'))).sort().map((name) => `contacts/${name}`)]) {
    const stat = await home.files.stat(home.at(path))
    lines.push(`${path} ${stat?.ino} ${stat?.mtimeMs} ${stat?.size}`)
  }
  return lines.join('\n')
}

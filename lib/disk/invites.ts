// Invites given out: invites/ID while nobody has used one, invites/ID.KEY from then on (p2p-spool(5)). The rename is
// what binds an invite to its user: one of two that try it wins, it is durable before anybody is answered, and KEY may
// come again until the invite ends, so that neither a crash nor a lost packet locks anybody out. Beside them the form
// of the file, which contacts/KEY.invite has as well: an invite that was received and is not answered yet.

import { equal, hex } from '../base/bytes.ts'
import { EX, Failure, ioFailure, isCode } from '../base/fail.ts'
import { foldName } from '../base/text.ts'
import { INVITE_SECRET, type Invite, inviteProof, isOver } from '../wire/invite.ts'
import { replaceFile } from './durable.ts'
import { decodeSecret, encodeSecret, readSecret } from './secret.ts'

import type { Suite } from '../crypto/suite.ts'
import type { Home } from './home.ts'

const FOLDER = 'invites'
const HEAD = '# p2p invite: whoever has the last line is let in, once\n'
const LABEL = 'P2P-INVITE-1'
const FILE = /^([0-9a-f]{16})(?:\.([1-9A-HJ-NP-Za-km-z]{32,44}))?$/
const LEFTOVER = /\.tmp\.[0-9a-f]+$/ // replaceFile's

/** Not used and not over, at a time: each costs every caller that brings one an HMAC. */
export const INVITES_MAX = 64

export interface GivenInvite extends Invite {
  /** 16 hexadecimal digits. */
  readonly id: string
  /** What its user will be called here. */
  readonly name: string
  /** KEY of who has used it. */
  readonly user: string | undefined
}

/** Notes a new invite durably; earlier ones of the same name that nobody has used are void then, `replaced` of them. */
export async function giveInvite(home: Home, name: string, expires: number): Promise<{ invite: Invite; replaced: number }> {
  const { files, random } = home
  const held = await listInvites(home)
  const older = held.filter((each) => each.user === undefined && foldName(each.name) === foldName(name))
  wipe(held)
  if (held.length - older.length >= INVITES_MAX) {
    throw new Failure(EX.CANNOT_CREATE, `${held.length} invites are not used yet: no more at a time`, 'p2p-id requests')
  }
  const invite = { secret: random.bytes(INVITE_SECRET), expires }
  try {
    if (await files.mkdir(home.at(FOLDER))) await files.syncDir(home.path)
    const path = home.at(FOLDER, hex(random.bytes(8)))
    await replaceFile(files, random, path, encodeInvite(invite, name))
    for (const { id } of older) await files.unlink(home.at(FOLDER, id))
    await files.syncDir(home.at(FOLDER))
  } catch (error) {
    throw ioFailure(error, `cannot write into ${home.at(FOLDER)}`)
  }
  return { invite, replaced: older.length }
}

/** Those that are not over, their secrets to be wiped. What is over, or torn, is removed. */
export async function listInvites(home: Home): Promise<GivenInvite[]> {
  const found: GivenInvite[] = []
  for (const name of await home.files.list(home.at(FOLDER))) {
    const invite = await load(home, name)
    if (invite !== undefined && !isOver(invite, home.clock.now())) found.push(invite)
    else if (FILE.test(name) || LEFTOVER.test(name)) await home.files.unlink(home.at(FOLDER, name))
  }
  return found
}

/** The invite that this proof was made with; changes nothing on the disk, whoever asks. */
export async function findInvite(
  home: Home,
  suite: Pick<Suite, 'hmac'>,
  proof: Uint8Array,
  caller: { ephemeral: Uint8Array; identity: Uint8Array; transport: Uint8Array },
): Promise<GivenInvite | undefined> {
  let found: GivenInvite | undefined
  for (const name of await home.files.list(home.at(FOLDER))) {
    const invite = await load(home, name)
    if (invite === undefined) continue
    const fits = equal(inviteProof(suite, invite.secret, caller), proof)
    wipe([invite])
    if (fits && !isOver(invite, home.clock.now())) found = invite
  }
  return found
}

/** Makes an invite KEY's, durably, whatever crashes; false if it is somebody else's by now, or gone. */
export async function bindInvite(home: Home, { id, user }: GivenInvite, key: string): Promise<boolean> {
  if (user !== undefined && user !== key) return false
  try {
    if (user === undefined) await home.files.rename(home.at(FOLDER, id), home.at(FOLDER, `${id}.${key}`))
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error
    if ((await home.files.stat(home.at(FOLDER, `${id}.${key}`))) === undefined) return false
  }
  await home.files.syncDir(home.at(FOLDER)) // also of a rename that an earlier call may not have brought to disk
  return true
}

/** Removes, durably, the invites that KEY has used; it is known by now, or forgotten. */
export async function endInvites(home: Home, key: string): Promise<void> {
  await remove(home, (_, user) => user === key)
}

/** Removes, durably, the invites for NAME that nobody has used; how many. */
export async function withdrawInvites(home: Home, name: string): Promise<number> {
  const invites = await listInvites(home)
  wipe(invites)
  const meant = invites.filter((each) => each.user === undefined && foldName(each.name) === foldName(name))
  return remove(home, (id) => meant.some((each) => each.id === id))
}

async function remove(home: Home, which: (id: string, user: string | undefined) => boolean): Promise<number> {
  let removed = 0
  for (const name of await home.files.list(home.at(FOLDER))) {
    const match = FILE.exec(name)
    if (match !== null && which(match[1] ?? '', match[2]) && (await home.files.unlink(home.at(FOLDER, name)))) removed++
  }
  if (removed > 0) await home.files.syncDir(home.at(FOLDER))
  return removed
}

export function wipe(invites: readonly Invite[]): void {
  for (const { secret } of invites) secret.fill(0)
}

/** Undefined for what is no invite: torn, or just renamed. Throws 77 if others can read it. */
async function load(home: Home, file: string): Promise<GivenInvite | undefined> {
  const match = FILE.exec(file)
  if (match === null || (await home.files.stat(home.at(FOLDER, file))) === undefined) return undefined
  const bytes = await readSecret(home, `${FOLDER}/${file}`).catch((error: unknown) => {
    if (error instanceof Failure && error.exit === EX.CONFIG) return undefined // gone meanwhile
    throw error
  })
  const decoded = bytes === undefined ? undefined : decodeInvite(bytes)
  return decoded?.name === undefined ? undefined : { ...decoded, name: decoded.name, id: match[1] ?? '', user: match[2] }
}

function encodeInvite({ secret, expires }: Invite, name?: string): Uint8Array {
  return encodeSecret(`${HEAD}${name === undefined ? '' : `name ${name}\n`}expires ${expires}\n`, LABEL, secret)
}

function decodeInvite(bytes: Uint8Array): (Invite & { name: string | undefined }) | undefined {
  const found = decodeSecret(bytes, LABEL, INVITE_SECRET)
  const expires = /^expires (\d{1,10})$/m.exec(found?.head ?? '')?.[1]
  if (found === undefined || expires === undefined) return undefined
  return { secret: found.secret, expires: Number(expires), name: /^name (.+)$/m.exec(found.head)?.[1] }
}

const held = (key: string): string => `contacts/${key}.invite`

/** Keeps an invite that was received until it is answered, durably. */
export async function keepInvite(home: Home, key: string, invite: Invite): Promise<void> {
  await replaceFile(home.files, home.random, home.at(held(key)), encodeInvite(invite))
}

/** The invite received from KEY, its secret to be wiped; undefined if there is none. Throws 77 if others can read it. */
export async function keptInvite(home: Home, key: string): Promise<Invite | undefined> {
  if ((await home.files.stat(home.at(held(key)))) === undefined) return undefined
  return decodeInvite(await readSecret(home, held(key)))
}

/** Forgets the invite received from KEY, durably. */
export async function dropInvite(home: Home, key: string): Promise<void> {
  if (await home.files.unlink(home.at(held(key)))) await home.files.syncDir(home.at('contacts'))
}

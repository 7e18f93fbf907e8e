// How things stand in a home, for `p2p` alone: a few counts and the one step that leads on. Reads file names and the
// keyring, asks the listener for its greeting, and nobody else.

import { EX, Failure } from '../base/fail.ts'
import { type Contact, isWelcome } from '../disk/contact.ts'
import { listInvites, wipe } from '../disk/invites.ts'
import { type Doors, type Home, locateHome, openHome, realDoors } from '../disk/home.ts'
import { type Keyring, loadKeyring } from '../disk/keyring.ts'
import { listMaildir } from '../disk/maildir.ts'
import { readMeeting } from '../disk/meetings.ts'
import { listRequests } from '../disk/quarantine.ts'
import { count, keys } from '../disk/queueread.ts'
import { KEY_AGE_MS, keyAge } from '../disk/rotation.ts'
import { systemdHome } from '../edge/setupservice.ts'
import { findListener } from './control.ts'

export interface Step {
  /** Runnable, without --home. */
  readonly command: string
  /** What it is good for, in a few words. */
  readonly why: string
}

export interface Status {
  readonly name?: string
  readonly key?: string
  /** Absolute. */
  readonly home: string
  readonly port?: number
  readonly listener: boolean
  /** Of the listener. */
  readonly pid?: number
  readonly contacts: number
  readonly unverified: number
  /** Received and not marked as seen. */
  readonly unread: number
  /** Not delivered yet, held ones included. */
  readonly waiting: number
  /** Given up. */
  readonly failed: number
  readonly next: Step
  /** Why the home cannot be used. */
  readonly failure?: Failure
}

/** Starts the unit now and with every session. */
export const SYSTEMD = 'systemctl --user enable --now p2p-listen'

const NOTHING = { listener: false, contacts: 0, unverified: 0, unread: 0, waiting: 0, failed: 0 }

/** Never throws for a home that is not there or not usable: that is a status, with `failure`. */
export async function statusOf(
  from: { flag: string | undefined; env: NodeJS.ProcessEnv },
  doors: Doors = realDoors,
): Promise<Status> {
  const { path } = locateHome(from.flag, from.env)
  let home: Home
  let keyring: Keyring
  try {
    home = await openHome(from, doors)
    keyring = await loadKeyring(home)
  } catch (failure) {
    if (!(failure instanceof Failure)) throw failure
    return { ...NOTHING, home: path, next: await firstStep(failure), failure }
  }
  const { self } = keyring
  const listener = await findListener(home)
  const contacts = keyring.all().filter(isWelcome)
  const counts = { waiting: 0, failed: 0 }
  for (const key of await keys(home)) {
    counts.waiting += (await count(home, key, 'new')) + (await count(home, key, 'hold'))
    counts.failed += await count(home, key, 'failed')
  }
  const unread = (await listMaildir(home, 'inbox')).filter(({ flags }) => !flags.includes('S')).length
  const status = {
    name: self.name,
    key: self.key,
    home: home.path,
    port: home.port,
    listener: listener !== undefined && listener !== 'hung',
    ...(typeof listener === 'object' && { pid: listener.pid }),
    contacts: keyring.all().length,
    unverified: contacts.filter(({ verified }) => verified === undefined).length,
    unread,
    ...counts,
  }
  return { ...status, next: await nextStep(home, keyring, status, contacts, listener === 'hung') }
}

/** Without a usable home: to make one, or whatever its failure says. */
async function firstStep(failure: Failure): Promise<Step> {
  if (failure.exit === EX.CONFIG && failure.hint === 'p2p-id init') {
    return { command: 'p2p-id init', why: 'makes your identity; the other person does the same' }
  }
  return { command: failure.hint ?? 'p2p-id doctor', why: 'the home cannot be used' }
}

type Counts = Pick<Status, 'listener' | 'unread' | 'waiting' | 'failed'>

/** The first of these that is not done: be somebody, know somebody, be reachable, mend, read, trust, write. */
async function nextStep(
  home: Home,
  keyring: Keyring,
  counts: Counts,
  contacts: Contact[],
  hung: boolean,
): Promise<Step> {
  const [first] = contacts
  if (hung || keyring.problems.length > 0) return { command: 'p2p-id doctor', why: 'something is wrong' }
  const invites = (await listInvites(home)).filter(({ user }) => user === undefined)
  wipe(invites)
  const asking = await listRequests(home)
  if (first === undefined && invites.length + asking.length === 0) {
    // Who has an invite calls here; nobody can where no way leads.
    return keyring.self.token.addresses.length > 0
      ? { command: 'p2p-id invite NAME', why: 'a line for the other person; given one yourself: p2p-id add NAME' }
      : { command: 'p2p-id token', why: 'hand this line to the other person, and add theirs: p2p-id add NAME' }
  }
  if (!counts.listener) return { command: await startCommand(home), why: 'receives, and delivers what waits' }
  if (counts.failed > 0) return { command: 'p2p-queue list', why: 'shows what could not be delivered, and why' }
  if (counts.unread > 0) {
    return { command: 'p2p-inbox list --new', why: 'then p2p-inbox show ID, and when it is read p2p-inbox seen ID' }
  }
  if (asking.length > 0) return { command: 'p2p-id requests', why: `${asking.length} ask to be contacts` }
  if (first === undefined) return { command: 'p2p-id requests', why: `not used yet: the invite for ${invites[0]?.name}` }
  const stranger = contacts.find(({ verified }) => verified === undefined)
  if (stranger !== undefined) {
    const { name } = stranger
    const why = `compare 12 words by telephone; or write at once: p2p-send ${name}`
    return { command: `p2p-id verify ${name}`, why }
  }
  if (counts.waiting > 0) return { command: 'p2p-queue list', why: 'shows what waits, and why' }
  if (((await keyAge(home)) ?? 0) > KEY_AGE_MS) return { command: 'p2p-id rotate', why: 'the transport key is over 90 days old' }
  const met = await readMeeting(home, first.key)
  const typing = 'type a message, end with Ctrl-D'
  const why = met === undefined ? `${typing}; ${first.name} must have added you, too` : typing
  return { command: `p2p-send ${first.name}`, why }
}

/** Where a unit may stand: under the user's own configuration, and where make install and packages put it. */
const UNIT_FOLDERS = ['/etc', '/usr/lib', '/usr/local/share', '/usr/share']

/**
 * How the listener of this home is started here: by the user's service manager, if one runs and has a unit for this
 * home. The unit of a package is for the home that needs no naming.
 */
export async function startCommand(home: Home, env = process.env): Promise<string> {
  const { HOME = '/nonexistent', XDG_CONFIG_HOME = `${HOME}/.config`, XDG_RUNTIME_DIR = '/nonexistent' } = env
  const unit = async (folder: string): Promise<string | undefined> => {
    const bytes = await home.files.read(`${folder}/systemd/user/p2p-listen.service`).catch(() => undefined)
    return bytes === undefined ? undefined : new TextDecoder().decode(bytes)
  }
  const plain = 'p2p-listen -q &'
  if ((await home.files.stat(`${XDG_RUNTIME_DIR}/systemd`)) === undefined) return plain
  const own = await unit(XDG_CONFIG_HOME)
  if (own?.includes(systemdHome(home.path)) === true) return SYSTEMD
  if (own !== undefined || home.source !== '$HOME') return plain
  for (const folder of [`${HOME}/.local/share`, ...UNIT_FOLDERS]) if ((await unit(folder)) !== undefined) return SYSTEMD
  return plain
}

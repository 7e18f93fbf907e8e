// Doctor's look at the home on disk: who may read it, what it lies on, whether its files say what they should. Reads
// only, but for the probe, which makes a file in lock/ and takes it away again.

import { utf8 } from '../base/bytes.ts'
import { Failure, ioFailure, isCode } from '../base/fail.ts'
import { shellWord } from '../base/quoting.ts'
import { createFile, removeTree } from '../disk/durable.ts'
import { checkOneDevice, DIRECTORIES, type Home, UNSOUND } from '../disk/home.ts'
import { loadTransportKeys } from '../disk/identity.ts'
import { isAlive } from '../disk/lock.ts'
import { listMaildir } from '../disk/maildir.ts'
import { KEY_AGE_MS, keyAge } from '../disk/rotation.ts'
import { readSeen, seenEnd } from '../disk/seenlog.ts'
import { bad, type Check, few, good, type Patient, plural, span } from './check.ts'
import { probeSocket } from './control.ts'
import { floorFor } from './limits.ts'

const SECRETS = ['identity.age', 'identity.key', 'transport.key', 'transport.old.key']

/** statfs(2) magic numbers of what people have; the name is only shown. */
const KINDS = new Map([
  [0xef53, 'ext4'],
  [0x9123683e, 'btrfs'],
  [0x58465342, 'xfs'],
  [0x01021994, 'tmpfs'],
  [0x794c7630, 'overlayfs'],
  [0x2fc12fc1, 'zfs'],
  [0xf2f52010, 'f2fs'],
  [0xca451a4e, 'bcachefs'],
  [0x65735546, 'FUSE'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB'],
  [0x1a, 'APFS'],
])

/** Network file systems that are not refused by name. */
const DOUBTFUL = new Set(['FUSE', 'CIFS', 'SMB'])

/** Longer than any message: is there room for the largest? */
const LARGE = 2 ** 20

/** The last record of `seen` lies in so many bytes at its end. */
const SEEN_TAIL = 2048

export async function checkModes({ home }: Patient): Promise<Check> {
  const open: string[] = []
  for (const name of ['.', ...DIRECTORIES, ...SECRETS]) {
    const stat = await home.files.stat(home.at(name))
    if (stat === undefined || stat.kind === 'link' || (stat.mode & 0o077) === 0) continue
    open.push(name === '.' ? home.path : name)
  }
  const hint = `chmod -R go= ${shellWord(home.path)}`
  if (open.length > 0) return bad('modes', `others have rights to ${few(open)}`, hint)
  return good('modes', 'only you can read it')
}

export async function checkOwner({ home }: Patient): Promise<Check> {
  const uid = process.getuid?.()
  const strange: string[] = []
  for (const name of ['.', ...DIRECTORIES, ...SECRETS, 'home.json', 'token', 'seen']) {
    const stat = await home.files.stat(home.at(name))
    if (uid !== undefined && stat !== undefined && stat.uid !== uid) strange.push(name === '.' ? home.path : name)
  }
  if (strange.length === 0) return good('owner', 'all of it is yours')
  return bad('owner', `${few(strange)} belongs to another user`, `sudo chown -R "$(id -u)" ${shellWord(home.path)}`)
}

/** Everything is there, on one device. */
export async function checkFolders({ home }: Patient): Promise<Check> {
  const missing: string[] = []
  for (const name of DIRECTORIES) {
    const stat = await home.files.stat(home.at(name))
    if (stat?.kind !== 'dir' && stat?.kind !== 'link') missing.push(name)
  }
  if (missing.length > 0) {
    const paths = missing.map((name) => shellWord(home.at(name))).join(' ')
    return bad('folders', `${few(missing)} missing`, `mkdir -m 700 -p ${paths}`)
  }
  await checkOneDevice(home)
  return good('folders', home.path)
}

export async function checkFilesystem({ home }: Patient): Promise<Check> {
  const { type } = await home.files.statfs(home.path)
  const unsound = UNSOUND.get(type)
  const move = `cp -a ${shellWord(home.path)} /path/on/a/local/disk`
  if (unsound !== undefined) return bad('filesystem', `${unsound} cannot keep messages safe`, move)
  const kind = KINDS.get(type) ?? `kind 0x${type.toString(16)}`
  const lacking = await probe(home)
  if (lacking !== undefined) return bad('filesystem', `${kind}: ${lacking} does not work here`, move)
  if (kind === 'tmpfs') return good('filesystem', 'tmpfs: everything is gone when the machine restarts')
  if (DOUBTFUL.has(kind)) return good('filesystem', `${kind}: keeps what it promises only if the system behind it does`)
  return good('filesystem', `${kind}: rename, link and socket work`)
}

/** What does not work, of what every delivery needs; undefined if all does. */
async function probe(home: Home): Promise<string | undefined> {
  const { files } = home
  const folder = home.at('lock', `probe.${process.pid}`)
  let doing = 'making a folder'
  try {
    await removeTree(files, folder)
    await files.mkdir(folder)
    doing = 'writing'
    for (const name of ['a', 'b']) {
      await createFile(files, `${folder}/${name}`, utf8(name))
    }
    doing = 'link'
    await files.link(`${folder}/a`, `${folder}/c`)
    if ((await files.stat(`${folder}/a`))?.ino !== (await files.stat(`${folder}/c`))?.ino) return doing
    doing = 'rename'
    await files.rename(`${folder}/a`, `${folder}/b`)
    if ((await files.stat(`${folder}/a`)) !== undefined) return doing
    doing = 'fsync of a folder'
    await files.syncDir(folder)
    doing = 'a Unix socket'
    return (await probeSocket(home)) ? undefined : doing
  } catch (error) {
    if (isCode(error, 'ENOSPC', 'EDQUOT', 'EROFS')) throw ioFailure(error, doing)
    return doing
  } finally {
    await removeTree(files, folder).catch(() => undefined)
  }
}

export async function checkSpace({ home, config }: Patient): Promise<Check> {
  const wanted = config instanceof Failure ? undefined : config.free
  const { free, total } = await home.files.statfs(home.path)
  const text = `${size(free)} free`
  const hint = `du -sh ${shellWord(home.path)}/*`
  const least = floorFor(0, total, wanted)
  if (free < least) return bad('space', `${text}: nothing is accepted below ${size(least)}`, hint)
  const floor = floorFor(LARGE, total, wanted)
  if (free < floor) return bad('space', `${text}: only small messages are accepted below ${size(floor)}`, hint)
  return good('space', text)
}

function size(bytes: number): string {
  for (const [unit, step] of [['GiB', 2 ** 30], ['MiB', 2 ** 20]] as const) {
    if (bytes >= step) return `${(bytes / step).toFixed(1)} ${unit}`
  }
  return `${Math.round(bytes / 1024)} KiB`
}

export async function checkIdentity({ home, suite, self }: Patient): Promise<Check> {
  if (self === undefined) return bad('identity', `${home.at('token')} is damaged`, 'p2p-id token --addr HOST')
  const kinds = await Promise.all(SECRETS.slice(0, 2).map((name) => home.files.stat(home.at(name))))
  if (kinds.every((stat) => stat === undefined)) {
    return bad('identity', 'neither identity.age nor identity.key is there: without it no new token can be signed')
  }
  await loadTransportKeys(home, suite)
  const how = kinds[0] === undefined ? 'in a plain file' : 'sealed with a passphrase'
  return good('identity', `${self.name}, ${how}`)
}

/** Secrets that are in use every day are renewed now and then. */
export async function checkKeyAge({ home }: Patient): Promise<Check> {
  const age = await keyAge(home)
  if (age === undefined) return bad('key', `${home.at('transport.key')} is missing`)
  const old = age > KEY_AGE_MS
  return good('key', `the transport key is ${span(age)} old${old ? ': time for a new one' : ''}`, old ? 'p2p-id rotate' : undefined)
}

export async function checkLocks({ home }: Patient): Promise<Check> {
  const dead: string[] = []
  for (const file of (await home.files.list(home.at('lock'))).filter((name) => name.endsWith('.lock'))) {
    const name = file.slice(0, -'.lock'.length)
    if (!(await isAlive(home, home.at('lock', `${name}.owner`)))) dead.push(name)
  }
  if (dead.length === 0) return good('locks', 'none is stale')
  const those = `${plural(dead.length, 'lock')} of a process that died (${few(dead)})`
  return good('locks', `${those}: whoever needs it next takes it`)
}

export async function checkConfig({ home, keyring, config }: Patient): Promise<Check> {
  if (config instanceof Failure) return bad('config', config.message, config.hint)
  const strangers = keyring === undefined ? [] : config.strangers(keyring)
  if (strangers.length > 0) return bad('config', few(strangers), 'p2p-id list')
  const there = (await home.files.stat(home.at('config.toml'))) !== undefined
  return good('config', there ? home.at('config.toml') : 'no config.toml: everything is as usual')
}

export async function checkContacts({ keyring }: Patient): Promise<Check[]> {
  if (keyring === undefined) return []
  const wrong = keyring.problems.map(({ failure }) => bad('contacts', failure.message, moveAside(failure)))
  if (wrong.length > 0) return wrong
  const all = keyring.all()
  if (all.length === 0) return [good('contacts', 'none yet', 'p2p-id add NAME < TOKEN')]
  const unverified = all.filter(({ verified, blocked, revoked }) => verified === undefined && !blocked && !revoked)
  const [first] = unverified
  const names = few(unverified.map(({ name }) => name))
  const text = `${all.length}, ${first === undefined ? 'all verified' : `not verified: ${names}`}`
  return [good('contacts', text, first === undefined ? undefined : `p2p-id verify ${first.name}`)]
}

/** The file stands at the head of the text. */
function moveAside(failure: Failure): string | undefined {
  const path = /^(\/.*\.json) is damaged/.exec(failure.message)?.[1]
  return path === undefined ? failure.hint : `mv ${shellWord(path)} ${shellWord(`${path}.damaged`)}`
}

/** Signs that this home, or a part of it, was put back to an older state. */
export async function checkRestore({ home, self, keyring, meetings }: Patient): Promise<Check> {
  for (const [key, { newerToken = '0' }] of meetings) {
    if (self === undefined || BigInt(newerToken) <= self.token.seq) continue
    const name = keyring?.byKey(key)?.name ?? key
    const text = `${name} holds a newer token of yours: this home is an old copy, or another copy of it is in use`
    return bad('restore', text, 'p2p-id token --addr HOST')
  }
  const end = await seenEnd(home)
  const runs = await home.files.list(home.at('seen.index'))
  if (runs.some((name) => Number(/^\d+-(\d+)\.run$/.exec(name)?.[1] ?? 0) > end)) {
    return bad('restore', "'seen' is shorter than it was: messages delivered meanwhile may come a second time")
  }
  let newest = 0n
  for await (const { time } of readSeen(home, Math.max(0, end - SEEN_TAIL))) newest = time
  const unrecorded = (await listMaildir(home, 'inbox')).filter(({ id32, time }) => id32 !== undefined && time > newest)
  if (unrecorded.length === 0) return good('restore', 'seen and inbox agree')
  const those = `${plural(unrecorded.length, 'message')} in the inbox`
  const why = 'it was put back to an older state; they may come twice, marked'
  return bad('restore', `'seen' knows nothing of ${those}: ${why}`)
}

// p2p-id export, import and unretire as a person sees them: what is asked, what is refused before anything is done, what
// is told at the end. The work is done in lib/disk/archive*.ts, loaded only here.

import { resolve } from 'node:path'

import { EX, Failure } from '../base/fail.ts'
import { loadSuite } from '../crypto/suite.ts'
import { locateHome, openHome, realDoors } from '../disk/home.ts'
import { loadSelf } from '../disk/self.ts'
import { checkPassphrase, readIdentity } from '../disk/identityfile.ts'
import { refuseExisting } from '../disk/outfile.ts'
import { stdinChunks, stdinIsTerminal } from '../edge/input.ts'

import type { Home } from '../disk/home.ts'
import type { Call } from '../edge/cli.ts'

/** Asks for a passphrase, twice with `confirm`. */
type Ask = (prompt: string, confirm: boolean) => Promise<Uint8Array>

/** p2p-id export. */
export async function exportArchive(call: Call, ask: Ask): Promise<void> {
  const { exportFile, archive, moveHome } = await import('../disk/archive.ts')
  const { strangers } = await import('../disk/archivewrite.ts')
  const output = call.value('output')
  const path = output === undefined || output === '-' ? undefined : resolve(output)
  const move = call.flag('move')
  const usage = (why: string): Failure => new Failure(EX.USAGE, why, 'p2p-id export -o me.age')
  if (path === undefined && move) throw usage("'--move' needs '-o FILE': this home is retired once that is on disk")
  if (path === undefined && call.quiet) throw usage("with '-q' nothing is written to standard output")
  if (path === undefined && call.out.terminal) throw usage('an archive is not written to a terminal')
  const home = await openHome({ flag: call.value('home'), env: process.env })
  if (path !== undefined) await refuseExisting(home.files, path)
  const all = call.flag('all')
  const scope = { queue: all || call.flag('queue'), mail: all }
  const passphrase = await archivePassphrase(home, ask)
  const options = { hash: await loadSuite(process.env), scope, passphrase, signal: call.signal }
  const stop = call.waiting('writing the archive')
  if (path === undefined) {
    for await (const piece of archive(home, options, { contacts: 0, waiting: 0, mails: 0 })) {
      if (call.out.closed.aborted) break
      await call.out.raw(piece)
    }
  } else {
    const { size, contacts, waiting, mails } = await (move ? moveHome : exportFile)(home, path, options)
    const counts = { path, size, contacts, waiting, mails }
    const told = `${contacts} contacts, ${waiting} waiting messages, ${mails} mails`
    const moved = move ? '; this home is retired' : ''
    await call.out.record(
      { v: 1, type: 'exported', ...counts, ...(move && { moved: true }) },
      () => `${path}  ${size} bytes: ${told}${moved}`,
    )
  }
  stop()
  passphrase.fill(0)
  if (!scope.queue) await tellWaiting(call, home)
  const left = await strangers(home, scope)
  if (left.length > 0) call.warn(`not in the archive: ${left.slice(0, 5).join(', ')}${left.length > 5 ? ', ...' : ''}`)
}

async function tellWaiting(call: Call, home: Home): Promise<void> {
  const { countWaiting } = await import('../disk/archive.ts')
  const waiting = await countWaiting(home)
  if (waiting > 0) call.info(`${waiting === 1 ? '1 message waits' : `${waiting} messages wait`} here and stay: --queue takes them along`)
}

/** What opens the identity opens the archive; of a plain identity a new passphrase. */
async function archivePassphrase(home: Home, ask: Ask): Promise<Uint8Array> {
  const file = await readIdentity(home)
  const prompt = file.sealed ? 'passphrase' : 'passphrase for the archive'
  const passphrase = await ask(prompt, !file.sealed)
  if (file.sealed) await checkPassphrase(home, file, passphrase)
  return passphrase
}

/** p2p-id import. */
export async function importArchive(call: Call, ask: Ask): Promise<void> {
  const { archiveBytes, importHome, vacantPlace } = await import('../disk/archiveread.ts')
  const [from = ''] = call.args
  const location = locateHome(call.value('home'), process.env)
  await vacantPlace(location, realDoors.files)
  if (from === '-' && stdinIsTerminal()) throw new Failure(EX.USAGE, 'an archive is not read from a terminal')
  const source = from === '-' ? stdinChunks() : archiveBytes(realDoors.files, resolve(from), call.signal)
  let asked: Uint8Array | undefined
  let stop = (): void => undefined
  const passphrase = async (): Promise<Uint8Array> => {
    asked = await ask('passphrase of the archive', false)
    stop = call.waiting('reading the archive')
    return asked
  }
  const suite = await loadSuite(process.env)
  const { home, contacts, waiting, mails } = await importHome(location, source, passphrase, suite, realDoors)
  stop()
  asked?.fill(0)
  const { name, key } = await loadSelf(home)
  const record = { v: 1, type: 'imported', name, key, home: home.path, port: home.port, contacts, waiting, mails }
  const told = `${contacts} contacts, ${waiting} waiting messages, ${mails} mails`
  await call.out.record(record, () => `${name}  ${home.path}: ${told}`)
  await summary(call)
}

/** What doctor finds wrong, as words: that is no failure of the command before it. */
async function summary(call: Call): Promise<void> {
  const { examine } = await import('./doctor.ts')
  let good = 0
  for await (const { ok, name, text, hint } of examine({ flag: call.value('home'), env: process.env })) {
    if (ok) good++
    else call.info(`${name}: ${text}`)
    if (!ok && hint !== undefined) call.hint(hint)
  }
  call.info(`${good} other checks are good: p2p-id doctor`)
}

/** p2p-id unretire. */
export async function takeBack(call: Call): Promise<void> {
  const { unretire } = await import('../disk/archive.ts')
  const home = await openHome({ flag: call.value('home'), env: process.env, evenRetired: true })
  if (!(await unretire(home))) return call.info('this home was not moved')
  call.info(`${home.path} is in use again`)
  call.warn('if its archive was imported elsewhere there are two homes of one identity now: a message reaches one of them')
  call.info('and the other never sees it; keep one, and retire the other with p2p-id export --move')
}

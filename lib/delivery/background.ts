// What keeps the listener of a home running with nobody at the keyboard: a unit of the user's systemd, an agent of
// launchd, a line of cron. Each is put in place by one call and taken away by one; what is in place of another home is
// left alone. Only the user's own files are touched, and only those named here.

import { spawnSync } from 'node:child_process'

import { utf8 } from '../base/bytes.ts'
import { shellWord } from '../base/quoting.ts'
import { EX, Failure } from '../base/fail.ts'
import { quote } from '../base/text.ts'
import { dirname, readText, replaceFile } from '../disk/durable.ts'
import type { Home } from '../disk/home.ts'
import { cronLine, launchd, systemd } from '../edge/setupservice.ts'
import type { Surroundings } from '../edge/snippet.ts'

const UNIT = 'p2p-listen'
const LABEL = 'invalid.p2p.listen'
export const KEEPERS = ['systemd', 'launchd', 'cron'] as const
export type Keeper = (typeof KEEPERS)[number]

export interface Place {
  home: Home
  at: Surroundings
  env: NodeJS.ProcessEnv
  uid: number
}

/** The keeper of this name. Throws Failure 64 for a program that keeps nothing running. */
export function keeperOf(program: string): Keeper {
  const keeper = KEEPERS.find((each) => each === program)
  if (keeper === undefined) throw new Failure(EX.USAGE, `${quote(program)} keeps nothing running: there are ${KEEPERS.join(', ')}`)
  return keeper
}

/** Puts it in place and starts it; what was done, for people. Throws Failure 73 where another home's is, 74, 78. */
export async function install(keeper: Keeper, place: Place): Promise<string[]> {
  if (keeper === 'cron') return installCron(place)
  const path = pathOf(keeper, place)
  await refuseOther(place, path)
  const text = keeper === 'systemd' ? systemd(place.at) : launchd(place.at)
  await makeFolder(place.home, dirname(path))
  await replaceFile(place.home.files, place.home.random, path, utf8(text))
  if (keeper === 'systemd') {
    run(place, ['systemctl', '--user', 'daemon-reload'])
    run(place, ['systemctl', '--user', 'enable', '--now', UNIT])
    return [path, 'the listener runs, and will whenever you are logged in', 'to be reachable while you are not: loginctl enable-linger']
  }
  run(place, ['launchctl', 'bootout', `gui/${place.uid}/${LABEL}`], true)
  run(place, ['launchctl', 'bootstrap', `gui/${place.uid}`, path])
  return [path, 'the listener runs, and will whenever you are logged in']
}

/** Ends it and takes it away; what was done. Throws Failure 1 if there is nothing of this home, 74. */
export async function remove(keeper: Keeper, place: Place): Promise<string[]> {
  if (keeper === 'cron') return removeCron(place)
  const path = pathOf(keeper, place)
  await refuseOther(place, path)
  if ((await place.home.files.stat(path)) === undefined) throw new Failure(EX.NEGATIVE, `there is no ${path}`)
  if (keeper === 'systemd') run(place, ['systemctl', '--user', 'disable', '--now', UNIT], true)
  else run(place, ['launchctl', 'bootout', `gui/${place.uid}/${LABEL}`], true)
  await place.home.files.unlink(path)
  if (keeper === 'systemd') run(place, ['systemctl', '--user', 'daemon-reload'], true)
  return [`${path} is gone, and the listener that it kept`]
}

/** What keeps the listener of this home, as files and crontab say; none is an answer. */
export async function keepersOf(place: Pick<Place, 'home' | 'env'>): Promise<Keeper[]> {
  const found: Keeper[] = []
  for (const keeper of ['systemd', 'launchd'] as const) {
    const text = await readText(place.home.files, pathOf(keeper, place)).catch(() => undefined)
    if (text !== undefined && isOf(text, place.home.path)) found.push(keeper)
  }
  if (crontab(place)?.some((line) => isLine(line, place.home.path)) === true) found.push('cron')
  return found
}

function pathOf(keeper: Keeper, { env }: Pick<Place, 'env'>): string {
  const { HOME } = env
  if (HOME === undefined || !HOME.startsWith('/')) throw new Failure(EX.CONFIG, '$HOME names no folder')
  const { XDG_CONFIG_HOME: config = '' } = env
  if (keeper === 'systemd') return `${config.startsWith('/') ? config : `${HOME}/.config`}/systemd/user/${UNIT}.service`
  return `${HOME}/Library/LaunchAgents/${LABEL}.plist`
}

/** Both files name the home in their own quoting; the path of an ordinary home stands in them as it is. */
function isOf(text: string, home: string): boolean {
  return text.includes(`P2P_HOME=${home}"`) || text.includes(`<string>${home}</string>`)
}

async function refuseOther({ home, at }: Place, path: string): Promise<void> {
  const text = await readText(home.files, path)
  if (text === undefined || text === systemd(at) || text === launchd(at) || isOf(text, home.path)) return
  throw new Failure(EX.CANNOT_CREATE, `${path} is of another home, or was written by hand: it stays as it is`, `cat ${shellWord(path)}`)
}

async function makeFolder(home: Home, path: string): Promise<void> {
  if ((await home.files.stat(path)) !== undefined || path === '/') return
  await makeFolder(home, dirname(path))
  await home.files.mkdir(path)
}

/** The user's lines; undefined where there is no cron. */
function crontab({ env }: Pick<Place, 'env'>): string[] | undefined {
  const { status, stdout, error } = spawnSync('crontab', ['-l'], { env, encoding: 'utf8' })
  if (error !== undefined) return undefined
  return status === 0 ? stdout.replace(/\n$/, '').split('\n') : [] // 1: there are none yet
}

function mark(home: string): string {
  return `# p2p-id setup cron: ${home}`.replaceAll('%', '\\%')
}

function isLine(line: string, home: string): boolean {
  return line.endsWith(mark(home))
}

function installCron(place: Place): string[] {
  const lines = crontab(place)
  if (lines === undefined) throw new Failure(EX.CONFIG, 'there is no crontab on this machine')
  const others = lines.filter((line) => line !== '' && !isLine(line, place.home.path))
  writeCrontab(place, [...others, `${cronLine(place.at)} ${mark(place.home.path)}`])
  return ['crontab: the listener starts with the machine', 'for now: p2p-listen -q &']
}

function removeCron(place: Place): string[] {
  const lines = crontab(place) ?? []
  const others = lines.filter((line) => !isLine(line, place.home.path))
  if (others.length === lines.length) throw new Failure(EX.NEGATIVE, 'the crontab has no line of this home')
  writeCrontab(place, others)
  return ['crontab: the line is gone; a listener that runs, runs on']
}

function writeCrontab(place: Place, lines: string[]): void {
  run(place, ['crontab', '-'], false, lines.map((line) => `${line}\n`).join(''))
}

/** Throws Failure 74 with what the program said, unless that does not matter. */
function run({ env }: Place, [program = '', ...args]: string[], anyhow = false, input = ''): void {
  const { status, stderr, error } = spawnSync(program, args, { env, input, encoding: 'utf8' })
  if (anyhow || (error === undefined && status === 0)) return
  const said = error === undefined ? stderr.trim() : 'it is not installed'
  throw new Failure(EX.IO, `${[program, ...args].join(' ')}: ${said === '' ? `exit ${String(status)}` : quote(said)}`)
}

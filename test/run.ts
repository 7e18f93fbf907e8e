// Runs every test/*.test.ts in a process of its own, one more at once than there are processors (a quarter of the time
// tests wait for clocks and for other processes), and closes what uvu leaves open: a file counts only if it exits 0 and its own summary says that all of more than zero tests passed.
// A file with a hook that throws, without test.run(), with test.only left in, or that hangs, is a failure.
//
//   node --import tsx test/run.ts [--dir DIR] [PART-OF-A-FILE-NAME...]
//
// Tests print `skip: what: why` for what they could not do here; the lines are listed at the end, and with CI=true
// each counts as a failure, except where only test data of others is absent that lies outside the repository (such
// lines name P2P_VECTORS; the same tests then run the published values typed into them).
// A file that needs more time than the rule says `// test timeout: 600 s` in a line of its own.

import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { delimiter, join, resolve } from 'node:path'

const TIMEOUT_S = 300 // a file takes up to 30 s; the rest is for slow and busy machines
/** Where tsx keeps what it compiled, below the folder for temporary files: one for all, or each file compiles all anew. */
const TSX = `tsx-${process.geteuid?.() ?? ''}`
const OUTPUT_MAX = 1 << 20 // characters of one file that are kept

interface Result {
  file: string
  passed: number
  failed: number
  seconds: number
  skips: string[]
  why: string | undefined
  output: string
}

interface Job {
  file: string
  timeout: number
}

/** uvu's summary; the last one, since a test may print another. */
function summary(output: string): { total: number; passed: number; skipped: number } | undefined {
  const found = [...output.matchAll(/^ {2}Total: +(\d+)\s+Passed: +(\d+)\s+Skipped: +(\d+)$/gm)].at(-1)
  return found === undefined
    ? undefined
    : { total: Number(found[1]), passed: Number(found[2]), skipped: Number(found[3]) }
}

function judge(
  job: Job,
  output: string,
  code: number | null,
  signal: string | null,
  timedOut: boolean,
): Omit<Result, 'seconds'> {
  const counts = summary(output)
  const skips = [...output.matchAll(/(?:^|[•✘] +)skip: (.+)$/gm)].map((match) => match[1] ?? '')
  const reasons = [
    timedOut ? [`no end within ${job.timeout} s`] : [],
    !timedOut && signal !== null ? [`died by ${signal}`] : [],
    signal === null && code !== 0 ? [`exit ${code}`] : [],
    counts === undefined ? ['no summary: is the last line test.run()?'] : [],
    counts?.total === 0 ? ['no tests'] : [],
    counts !== undefined && counts.skipped > 0 ? ['test.only or test.skip: print `skip: what: why` instead'] : [],
  ].flat()
  const passed = counts?.passed ?? 0
  const missing = (counts?.total ?? 0) - passed
  if (missing > 0) reasons.push(`${missing} of ${counts?.total} failed`)
  const failed = reasons.length === 0 ? 0 : Math.max(1, missing)
  return { file: job.file, passed, failed, skips, why: reasons.length === 0 ? undefined : reasons.join('; '), output }
}

/** Runs one file in its own process group, with a home and a temporary folder that nobody else has. */
async function runFile(dir: string, job: Job, scratch: string): Promise<Result> {
  const own = mkdtempSync(join(scratch, 't'))
  symlinkSync(join(scratch, TSX), join(own, TSX))
  const env: NodeJS.ProcessEnv = { ...process.env, NO_COLOR: '1', TMPDIR: own, HOME: own, LC_ALL: 'C.UTF-8' }
  env['PATH'] = `${join(scratch, 'bin')}${delimiter}${process.env['PATH'] ?? ''}`
  for (const name of Object.keys(env)) {
    if (/^(?:P2P_(?!VECTORS$|CRYPTO$)|XDG_|FORCE_COLOR$|JOURNAL_STREAM$)/.test(name)) delete env[name]
  }
  const started = performance.now()
  const child = spawn(process.execPath, ['--import', 'tsx', join(dir, job.file)], {
    env: { ...env, P2P_MAP: 'false', P2P_LAN: 'false' }, // nothing for this machine's router and neighbours
    detached: true, // a process group: what a test leaves behind is ended with it
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  const keep = (text: string): void => {
    output = (output + text).slice(-OUTPUT_MAX)
  }
  child.stdout.setEncoding('utf8').on('data', keep)
  child.stderr.setEncoding('utf8').on('data', keep)
  let timedOut = false
  const timer = setTimeout(() => {
    timedOut = true
    endGroup(child.pid)
  }, job.timeout * 1000)
  const [code, signal] = await new Promise<[number | null, string | null]>((done) => {
    child.on('error', (error) => {
      keep(String(error))
      done([1, null])
    })
    // 'exit', then a moment for the pipes: a process left behind may hold them open for ever.
    child.on('exit', (exit, by) => {
      const settle = setTimeout(() => {
        endGroup(child.pid)
        done([exit, by])
      }, 2000)
      child.on('close', () => {
        clearTimeout(settle)
        endGroup(child.pid)
        done([exit, by])
      })
    })
  })
  clearTimeout(timer)
  rmSync(own, { recursive: true, force: true, maxRetries: 3 })
  return { ...judge(job, output, code, signal, timedOut), seconds: (performance.now() - started) / 1000 }
}

function endGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // the group is empty, as it should be
  }
}

function show(result: Result): void {
  const tests = `${result.passed} ${result.passed === 1 ? 'test' : 'tests'}`
  const line = `${result.file}  ${tests}  ${result.seconds.toFixed(1)} s`
  if (result.why === undefined) console.log(`ok    ${line}`)
  else console.log(`FAIL  ${line}  (${result.why})\n${result.output.trimEnd().replace(/^/gm, '      ')}\n`)
}

async function main(argv: string[]): Promise<void> {
  const at = argv.indexOf('--dir')
  const dir = resolve(at === -1 ? 'test' : (argv[at + 1] ?? 'test'))
  const parts = at === -1 ? argv : argv.toSpliced(at, 2)
  const files = readdirSync(dir).filter(
    (file) => file.endsWith('.test.ts') && (parts.length === 0 || parts.some((part) => file.includes(part))),
  )
  const jobs = files.map((file) => ({
    file,
    timeout: Number(/^\/\/ test timeout: (\d+) s$/m.exec(readFileSync(join(dir, file), 'utf8'))?.[1] ?? TIMEOUT_S),
  }))
  jobs.sort((a, b) => b.timeout - a.timeout || a.file.localeCompare(b.file)) // the long ones first

  const scratch = mkdtempSync(join(tmpdir(), 'p2p-')) // short: the paths of sockets must fit
  mkdirSync(join(scratch, 'bin'))
  mkdirSync(join(scratch, TSX))
  symlinkSync(process.execPath, join(scratch, 'bin/node')) // `#!/usr/bin/env node` is the node that runs the tests
  const results: Result[] = []
  const work = async (): Promise<void> => {
    for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
      const result = await runFile(dir, job, scratch)
      results.push(result)
      show(result)
    }
  }
  try {
    await Promise.all(Array.from({ length: availableParallelism() + 1 }, work))
  } finally {
    rmSync(scratch, { recursive: true, force: true, maxRetries: 3 })
  }

  const skips = results.flatMap((result) => result.skips.map((skip) => `${skip} (${result.file})`)).sort()
  const strict = process.env['CI'] === 'true'
  const passed = results.reduce((sum, result) => sum + result.passed, 0)
  const failed =
    results.reduce((sum, result) => sum + result.failed, 0) +
    (strict ? skips.filter((skip) => !skip.includes('P2P_VECTORS')).length : 0)
  if (skips.length > 0) console.log(`\nskipped${strict ? ' (failures here, where CI=true)' : ''}:`)
  for (const skip of skips) console.log(`  ${skip}`)
  const broken = results.filter((result) => result.why !== undefined)
  if (broken.length > 0)
    console.log(
      `\nfailed: ${broken
        .map((result) => result.file)
        .sort()
        .join(' ')}`,
    )
  if (results.length === 0) console.log(`no test file matches ${parts.join(' ')}`)
  console.log(`\n${passed} passed, ${failed} failed`)
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0
}

void main(process.argv.slice(2))

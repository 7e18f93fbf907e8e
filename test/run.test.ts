// The runner of the tests catches what uvu would let pass as green: each file in test/falsegreen/ is one such case.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'

import { execa } from 'execa'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

async function run(parts: string[], ci = false, dir = 'test/falsegreen'): Promise<{ code: number | undefined; out: string; last: string }> {
  const done = await execa(process.execPath, ['--import', 'tsx', 'test/run.ts', '--dir', dir, ...parts], {
    reject: false,
    env: { CI: String(ci) },
    stdin: 'ignore',
    all: true,
  })
  return { code: done.exitCode, out: done.all, last: done.all.split('\n').at(-1) ?? '' }
}

const CASES: [string, string, RegExp][] = [
  ['hook', '0 passed, 1 failed', /1 of 1 failed/],
  ['norun', '0 passed, 1 failed', /no summary/],
  ['never', '0 passed, 1 failed', /FAIL/],
  ['exit', '0 passed, 1 failed', /no summary/],
  ['none', '0 passed, 1 failed', /no tests/],
  ['hang', '1 passed, 1 failed', /no end within 3 s/],
  ['fails', '2 passed, 1 failed', /1 of 3 failed[^]*skipped:\n {2}the thing: not here \(fails\.test\.ts\)/],
  ['matches-nothing', '0 passed, 0 failed', /no test file matches/],
]

for (const [part, last, text] of CASES) {
  test(`a false green is caught: ${part}`, async () => {
    const done = await run([part])
    assert.is(done.last, last, done.out)
    assert.match(done.out, text)
    assert.is(done.code, 1)
  })
}

test('a false green is caught: the green file, of whose tests only one runs', async () => {
  const dir = mkdtempSync('dist/only-') // where uvu is found
  try {
    const green = readFileSync('test/falsegreen/green.test.ts', 'utf8')
    writeFileSync(`${dir}/only.test.ts`, green.replace(/^test(?=\('passes')/m, 'test.only'))
    const done = await run([], false, dir)
    assert.is(done.last, '1 passed, 1 failed', done.out)
    assert.match(done.out, /test\.only/)
    assert.is(done.code, 1)
  } finally {
    rmSync(dir, { recursive: true })
  }
})

test('a green file is green, and its skip is listed', async () => {
  const done = await run(['green'])
  assert.is(done.last, '2 passed, 0 failed', done.out)
  assert.match(done.out, /skipped:\n {2}a program: not installed \(green\.test\.ts\)/)
  assert.is(done.code, 0)
})

test('with CI=true a skip is a failure', async () => {
  const done = await run(['green'], true)
  assert.is(done.last, '2 passed, 1 failed', done.out)
  assert.is(done.code, 1)
})

test.run()

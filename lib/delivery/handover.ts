// A token or an invite on its way to a person: one line, or as a QR code on the terminal or in a file.

import { EX, Failure } from '../base/fail.ts'
import { printable } from '../base/text.ts'
import type { Home } from '../disk/home.ts'
import type { Call } from '../edge/cli.ts'

/** What can be refused is, before anything is asked, signed or given out: 64 and 73. */
export async function checkHandOver(call: Call, home: Home): Promise<void> {
  const path = call.value('qr-file')
  if (path === undefined) return
  if (call.flag('qr')) throw new Failure(EX.USAGE, 'only one of --qr and --qr-file')
  if (!/\.(?:svg|png)$/i.test(path)) throw new Failure(EX.USAGE, `${printable(path)} must end in .svg or .png`)
  await (await import('../disk/outfile.ts')).refuseExisting(home.files, path)
}

/**
 * Prints the line; with --qr the code instead, with --qr-file the line, after the code is in its file. A line that is
 * too long for a code is printed in any case: an invite is given out once. Then throws 65.
 */
export async function handOver(call: Call, home: Home, line: string): Promise<void> {
  const path = call.value('qr-file')
  if (!call.flag('qr') && path === undefined) return call.out.datum(line)
  const { qrCode, qrLines, qrPng, qrSvg } = await import('../edge/qrcode.ts')
  const code = qrCode(line)
  const lines = code === undefined || path !== undefined ? undefined : qrLines(code)
  if (lines !== undefined) {
    for (const each of lines) await call.out.datum(each)
    return
  }
  if (code !== undefined && path !== undefined) {
    const { writeOut } = await import('../disk/outfile.ts')
    await writeOut(home.files, home.random, path, once((/svg$/i.test(path) ? qrSvg : qrPng)(code)))
  }
  await call.out.datum(line)
  const what = `a line of ${line.length} characters is too long for a QR code`
  if (code === undefined) throw new Failure(EX.DATA, what)
  if (path === undefined) throw new Failure(EX.DATA, `${what} of 80 columns and 40 lines: --qr-file FILE.png`)
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

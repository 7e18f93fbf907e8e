// How much is done. --quick does a part of it, in less than three minutes: its figures say whether something broke, not
// how fast it is.

export const quick = process.argv.includes('--quick')

export function scaled<T>(whole: T, part: T): T {
  return quick ? part : whole
}

// Times as texts of UTC. The first Date of a process that shows itself reads what the machine says of its time zone,
// which takes a millisecond of each command; this needs none of that.

const DAY_MS = 86_400_000

/** 9999-12-31T23:59:59.999Z: what four digits of a year can say. */
const LAST = 253_402_300_799_999

const WEEKDAYS = ['Thu', 'Fri', 'Sat', 'Sun', 'Mon', 'Tue', 'Wed'] // as of 1970-01-01
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** Days of 400 years, of 100 without the leap day at their end, and of 4. */
const [ERA, CENTURY, LEAP] = [146_097, 36_524, 1461]

/** The day of the Gregorian calendar so many days after 1970-01-01, which is not before it; month 1 to 12. */
function dateOf(days: number): { year: number; month: number; day: number } {
  const since = days + 719_468 // 0000-03-01: the leap day is the last of its year then
  const era = Math.floor(since / ERA)
  const inEra = since % ERA
  const yearOfEra = Math.floor((inEra - Math.floor(inEra / (LEAP - 1)) + Math.floor(inEra / CENTURY) - Math.floor(inEra / (ERA - 1))) / 365)
  const inYear = inEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const fromMarch = Math.floor((5 * inYear + 2) / 153)
  const month = fromMarch < 10 ? fromMarch + 3 : fromMarch - 9
  return { year: era * 400 + yearOfEra + (month <= 2 ? 1 : 0), month, day: inYear - Math.floor((153 * fromMarch + 2) / 5) + 1 }
}

const digits = (value: number, count: number): string => String(value).padStart(count, '0')

function clock(seconds: number): string {
  return `${digits(Math.floor(seconds / 3600), 2)}:${digits(Math.floor(seconds / 60) % 60, 2)}:${digits(seconds % 60, 2)}`
}

/** RFC 3339 with milliseconds, of Unix ms; throws RangeError for what is no time. As Date's toISOString() writes it. */
export function isoTime(ms: number): string {
  const whole = Math.trunc(ms)
  if (!(whole >= 0 && whole <= LAST)) return new Date(ms).toISOString()
  const { year, month, day } = dateOf(Math.floor(whole / DAY_MS))
  const time = clock(Math.floor(whole / 1000) % 86_400)
  return `${digits(year, 4)}-${digits(month, 2)}-${digits(day, 2)}T${time}.${digits(whole % 1000, 3)}Z`
}

/** RFC 5322 3.3, always +0000. */
export function mailDate(ms: number): string {
  const whole = Math.trunc(ms)
  if (!(whole >= 0 && whole <= LAST)) return new Date(ms).toUTCString().replace('GMT', '+0000')
  const days = Math.floor(whole / DAY_MS)
  const { year, month, day } = dateOf(days)
  const time = clock(Math.floor(whole / 1000) % 86_400)
  return `${WEEKDAYS[days % 7]}, ${digits(day, 2)} ${MONTHS[month - 1]} ${digits(year, 4)} ${time} +0000`
}

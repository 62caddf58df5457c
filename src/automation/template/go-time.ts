// A date by one of Go's layouts (`2006-01-02T15:04:05Z07:00`), always in UTC. Called by the function `timestamp`.
const MONTHS = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December']
const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
/** Longer ones before those that they begin with. */
const PART =
  /January|Jan|Monday|Mon|MST|2006|__2|_2|002|0[1-6]|15|[1-5]|PM|pm|Z07:00:00|Z070000|Z07:00|Z0700|Z07|-07:00:00|-070000|-07:00|-0700|-07|[.,]0+(?!\d)|[.,]9+(?!\d)/g
const MS_PER_DAY = 86_400_000

export const RFC3339 = '2006-01-02T15:04:05Z07:00'

export function formatGoTime(ms: number, layout: string): string {
  const date = new Date(ms)
  const two = (value: number): string => String(value).padStart(2, '0')
  const hour12 = date.getUTCHours() % 12 || 12
  const yearDay = Math.floor((ms - Date.UTC(date.getUTCFullYear(), 0, 1)) / MS_PER_DAY) + 1
  return layout.replace(PART, part => {
    switch (part) {
      case 'January':
        return MONTHS[date.getUTCMonth()]!
      case 'Jan':
        return MONTHS[date.getUTCMonth()]!.slice(0, 3)
      case 'Monday':
        return DAYS[date.getUTCDay()]!
      case 'Mon':
        return DAYS[date.getUTCDay()]!.slice(0, 3)
      case 'MST':
        return 'UTC'
      case '2006':
        return String(date.getUTCFullYear()).padStart(4, '0')
      case '06':
        return two(date.getUTCFullYear() % 100)
      case '1':
        return String(date.getUTCMonth() + 1)
      case '01':
        return two(date.getUTCMonth() + 1)
      case '2':
        return String(date.getUTCDate())
      case '_2':
        return String(date.getUTCDate()).padStart(2)
      case '02':
        return two(date.getUTCDate())
      case '__2':
        return String(yearDay).padStart(3)
      case '002':
        return String(yearDay).padStart(3, '0')
      case '15':
        return two(date.getUTCHours())
      case '3':
        return String(hour12)
      case '03':
        return two(hour12)
      case '4':
        return String(date.getUTCMinutes())
      case '04':
        return two(date.getUTCMinutes())
      case '5':
        return String(date.getUTCSeconds())
      case '05':
        return two(date.getUTCSeconds())
      case 'PM':
        return date.getUTCHours() >= 12 ? 'PM' : 'AM'
      case 'pm':
        return date.getUTCHours() >= 12 ? 'pm' : 'am'
    }
    if (part.startsWith('Z')) return 'Z'
    if (part.startsWith('-')) return `+${part.slice(1).replace('7', '0')}`
    return fraction(part, date.getUTCMilliseconds())
  })
}

/** `.000` keeps its zeros, `.999` drops those at the end, and itself where nothing is left. */
function fraction(part: string, ms: number): string {
  const digits = String(ms)
    .padStart(3, '0')
    .padEnd(9, '0')
    .slice(0, part.length - 1)
  if (part[1] === '0') return part[0] + digits
  const short = digits.replace(/0+$/, '')
  return short === '' ? '' : part[0] + short
}
